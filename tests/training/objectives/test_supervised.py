"""Supervised and Noise2Noise training: losses equal to their equations in plain loops."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from toy_objective import Toy, draws, pixels, toy_at, toy_batch, value_and_gradient, weight_at

from training.errors import ConfigError
from training.objectives import build_objective


@pytest.mark.parametrize("weighting", ["noise", "none"])
@pytest.mark.parametrize("name", ["supervised", "noise2noise"])
def test_the_loss_is_the_weighted_mean_square_against_the_target(name: str, weighting: str) -> None:
    batch, model = toy_batch(), Toy()
    abc = model.parameters_abc
    loss = build_objective(name, weighting=weighting).loss(model, batch, 0.0, draws())

    target, weighed = (batch.clean, batch.clean) if name == "supervised" else (batch.second, batch.noisy)
    total = torch.zeros((), dtype=torch.float64)
    for b, c, i, j in pixels(batch.noisy):
        error = toy_at(abc, batch.noisy[b, c], i, j) - target[b, c, i, j]
        total = total + weight_at(weighting, weighed[b, c], i, j) * error**2
    expected, gradient = value_and_gradient(total / batch.noisy.numel(), abc)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert value_and_gradient(loss, abc)[1] == pytest.approx(gradient, rel=1e-9)


def test_by_their_logarithms_patches_count_alike() -> None:
    """The mean of log(error + 0.003), patch by patch: an error that is halved counts the same, however large it was."""
    batch, model = toy_batch(), Toy()
    alone = [
        dataclasses.replace(
            batch,
            noisy=batch.noisy[[index]],
            clean=batch.clean[[index]] if batch.clean is not None else None,
            shot_noise=batch.shot_noise[[index]],
            read_noise=batch.read_noise[[index]],
        )
        for index in range(len(batch.noisy))
    ]
    linear, logarithmic = build_objective("supervised"), build_objective("supervised", scale="logarithmic")
    errors = torch.stack([linear.loss(model, each, 0.0, draws()) for each in alone])
    assert len(errors) > 1
    torch.testing.assert_close(logarithmic.loss(model, batch, 0.0, draws()), (errors + 0.003).log().mean())
    with pytest.raises(ConfigError, match="scale: there is no 'cubic'"):
        build_objective("supervised", scale="cubic")


@pytest.mark.parametrize(("name", "missing"), [("supervised", "clean"), ("noise2noise", "second")])
def test_training_without_its_target_is_refused(name: str, missing: str) -> None:
    batch = dataclasses.replace(toy_batch(), **{missing: None})
    with pytest.raises(ConfigError, match=f"objective {name}: it needs"):
        build_objective(name).loss(Toy(), batch, 0.0, draws())


def test_two_noisy_frames_teach_in_the_mean_what_the_clean_image_would() -> None:
    batch, model, generator = toy_batch(), Toy(), draws()
    objective = build_objective("noise2noise", weighting="none")
    deviation, gaps = 0.2, []
    for _ in range(400):
        second = batch.clean + deviation * torch.randn(batch.clean.shape, generator=generator, dtype=torch.float64)
        given = dataclasses.replace(batch, second=second)
        clean = dataclasses.replace(batch, second=batch.clean)
        losses = [objective.loss(model, each, 0.0, draws()) for each in (given, clean)]
        gradients = [torch.autograd.grad(loss, model.parameters_abc)[0] for loss in losses]
        gaps.append([(losses[0] - losses[1]).item() - deviation**2, *(gradients[0] - gradients[1]).tolist()])
    found = torch.tensor(gaps)
    assert bool((found.mean(dim=0).abs() < 4 * found.std(dim=0) / len(gaps) ** 0.5 + 1e-9).all())
