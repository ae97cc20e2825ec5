"""Stein's risk as a loss: equal to its equation, and in the mean to the error that nobody can see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from toy_objective import Toy, draws, toy_batch

from training.errors import ConfigError
from training.finetuning.stein import stein_risk
from training.objectives import build_objective
from training.objectives.base import inverse_variance, surround_mean
from training.objectives.recorrupted import noise_deviation


class Given:
    """Draws the signs that a tensor had."""

    def __init__(self, signs: np.ndarray) -> None:
        self.signs = signs

    def choice(self, *_: object) -> np.ndarray:
        """The same at every call."""
        return self.signs


@pytest.mark.parametrize("weighting", ["noise", "none"])
def test_the_loss_is_the_estimate_that_judges_fine_tunings(weighting: str) -> None:
    batch, model = toy_batch(), Toy()
    loss = build_objective("sure", weighting=weighting).loss(model, batch, 0.0, draws())
    signs = torch.randint(2, batch.noisy.shape, generator=draws()) * 2 - 1
    variance = noise_deviation(surround_mean(batch.noisy), batch.shot_noise, batch.read_noise).square()

    def denoise(noisy: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(noisy), batch.shot_noise, batch.read_noise).detach().numpy()

    y = batch.noisy.numpy()
    risk = stein_risk(denoise, y, denoise(y), variance.numpy(), Given(signs.numpy()))  # type: ignore[arg-type]
    weight = inverse_variance(batch.noisy, batch.shot_noise, batch.read_noise) if weighting == "noise" else 1
    assert loss.item() == pytest.approx(float((torch.from_numpy(risk) * weight).mean()), rel=1e-9)


def test_in_the_mean_loss_and_gradient_are_those_of_the_error_to_the_clean_image() -> None:
    batch, model, generator = toy_batch(), Toy(), draws()
    level = torch.zeros_like(batch.shot_noise), torch.full_like(batch.read_noise, 0.04)
    objective = build_objective("sure", weighting="none")
    found: list[list[float]] = []
    wanted: list[list[float]] = []
    for _ in range(400):
        noisy = batch.clean + 0.2 * torch.randn(batch.clean.shape, generator=generator, dtype=torch.float64)
        given = dataclasses.replace(batch, noisy=noisy, shot_noise=level[0], read_noise=level[1], clean=None)
        for loss, kept in (
            (objective.loss(model, given, 0.0, generator), found),
            ((model(noisy, *level) - batch.clean).square().mean(), wanted),
        ):
            (gradient,) = torch.autograd.grad(loss, model.parameters_abc)
            kept.append([loss.item(), *gradient.tolist()])
    gaps = np.array(found) - np.array(wanted)
    error = gaps.std(axis=0) / len(gaps) ** 0.5
    assert (np.abs(gaps.mean(axis=0)) < 4 * error + 1e-9).all()
    variance, a = 0.04, 0.8
    assert 10 * error[0] < 2 * variance * a  # the divergence's share of the loss, and of its slope: neither is missed
    assert 10 * error[1] < 2 * variance


def test_an_impossible_step_is_named() -> None:
    with pytest.raises(ConfigError, match="step"):
        build_objective("sure", step=0.0)
