"""Recorrupted-to-Recorrupted: its loss equals the paper's, and its pair has the noise that the proof wants."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from toy_objective import READ, SHOT, Toy, draws, pixels, surround_at, toy_at, toy_batch, value_and_gradient, weight_at

from training.errors import ConfigError
from training.objectives import build_objective
from training.objectives.base import surround_mean
from training.objectives.recorrupted import draw_noise, noise_deviation, recorrupt

ALPHA = 0.5


@pytest.mark.parametrize("weighting", ["noise", "none"])
@pytest.mark.parametrize("signal", ["surround", "denoised"])
def test_the_loss_equals_the_papers(signal: str, weighting: str) -> None:
    batch, model = toy_batch(), Toy()
    y, abc = batch.noisy, model.parameters_abc
    objective = build_objective("recorrupted", alpha=ALPHA, signal=signal, weighting=weighting)
    value, gradient = value_and_gradient(objective.loss(model, batch, 0.0, draws()), abc)

    z = torch.randn(y.shape, generator=draws(), dtype=torch.float64)
    y1, y2 = torch.empty_like(y), torch.empty_like(y)
    for b, c, i, j in pixels(y):
        x = surround_at(y[b, c], i, j) if signal == "surround" else toy_at(abc, y[b, c], i, j).item()
        d = math.sqrt(SHOT * max(0.0, x) + READ)
        y1[b, c, i, j] = y[b, c, i, j] + ALPHA * d * z[b, c, i, j]
        y2[b, c, i, j] = y[b, c, i, j] - d * z[b, c, i, j] / ALPHA
    total = torch.zeros((), dtype=torch.float64)
    for b, c, i, j in pixels(y):
        error = toy_at(abc, y1[b, c], i, j, noise_factor=1 + ALPHA**2) - y2[b, c, i, j]
        total = total + weight_at(weighting, y1[b, c], i, j) * error**2
    expected, expected_gradient = value_and_gradient(total / y.numel(), abc)
    assert value == pytest.approx(expected, rel=1e-9)
    assert gradient == pytest.approx(expected_gradient, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
@pytest.mark.parametrize("signal", ["surround", "denoised"])
def test_the_noises_of_the_pair_are_uncorrelated_and_without_a_mean(signal: str, alpha: float) -> None:
    generator = torch.Generator().manual_seed(3)
    shot, read = torch.full((1, 4), 0.01), torch.full((1, 4), 1e-4)
    clean = torch.linspace(0.2, 0.9, 512).expand(1, 4, 512, 512)
    deviation = noise_deviation(clean, shot, read)
    noisy = clean + deviation * torch.randn(clean.shape, generator=generator)
    estimate = surround_mean(noisy) if signal == "surround" else clean
    added = noise_deviation(estimate, shot, read) * torch.randn(clean.shape, generator=generator)
    pair = recorrupt(noisy, noisy, added, alpha)
    # in units of the noise, away from the border, where the ramp's surroundings have another mean
    n1, n2 = (((each - clean) / deviation)[..., 8:-8, 8:-8].double() for each in pair)

    variances = 1 + alpha**2, 1 + 1 / alpha**2
    error = 1 / math.sqrt(n1.numel())  # of the mean of as many independent values of unit variance
    for noise, variance in zip((n1, n2), variances, strict=True):
        assert abs(float(noise.mean())) < 4 * error * math.sqrt(variance)
        assert float(noise.var()) == pytest.approx(variance, abs=4 * error * variance * math.sqrt(2))
    assert abs(float((n1 * n2).mean())) < 4 * error * math.sqrt(variances[0] * variances[1])


def test_the_noise_added_to_a_pixel_does_not_know_its_own_noise() -> None:
    batch, objective = toy_batch(), build_objective("recorrupted")
    changed = batch.noisy.clone()
    changed[..., 4, 6] += 100
    after = dataclasses.replace(batch, noisy=changed)
    added = [
        noise_deviation(objective._estimate(Toy(), each), each.shot_noise, each.read_noise) for each in (batch, after)
    ]
    torch.testing.assert_close(added[1][..., 4, 6], added[0][..., 4, 6], rtol=1e-12, atol=0)
    assert bool((added[1][..., 4, 7] > added[0][..., 4, 7]).all())


@pytest.mark.parametrize(("signal", "expected"), [("surround", [True]), ("denoised", [False, True])])
def test_the_denoised_estimate_costs_one_more_pass_and_has_no_gradient(signal: str, expected: list[bool]) -> None:
    seen: list[bool] = []

    class Watched(Toy):
        def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
            seen.append(torch.is_grad_enabled())
            return super().forward(*arguments)

    build_objective("recorrupted", signal=signal).loss(Watched(), toy_batch(), 0.0, draws())
    assert seen == expected


def test_the_clean_image_is_not_looked_at() -> None:
    batch, objective = toy_batch(), build_objective("recorrupted")
    blind = dataclasses.replace(batch, clean=None, second=None)
    assert objective.loss(Toy(), blind, 1.0, draws()) == objective.loss(Toy(), batch, 1.0, draws())


@pytest.mark.parametrize("option", [{"alpha": 0}, {"alpha": math.inf}, {"signal": "clean"}])
def test_an_impossible_option_is_named(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))):
        build_objective("recorrupted", **option)


@pytest.mark.parametrize("tail", [None, -0.2])
def test_noise_of_the_own_kind_has_the_models_variance_and_no_mean(tail: float | None) -> None:
    shot, read = torch.full((1, 4), 0.01), torch.full((1, 4), 1e-3)
    signal = torch.tensor([-0.1, 0.0, 0.05, 0.5]).reshape(1, 4, 1, 1).expand(1, 4, 600, 600)
    drawn = draw_noise(signal, shot, read, tail, torch.Generator().manual_seed(0)).double()
    expected = 0.01 * signal[0, :, 0, 0].clamp(min=0).double() + 1e-3
    torch.testing.assert_close(drawn.var(dim=(0, 2, 3)), expected, rtol=0.03, atol=0)
    assert (drawn.mean(dim=(0, 2, 3)).abs() < 4 * (expected / 360_000).sqrt()).all()


def test_its_tails_are_tukeys() -> None:
    from scipy.stats import tukeylambda

    level = torch.zeros((1, 4, 500, 500))
    drawn = draw_noise(level, torch.zeros((1, 4)), torch.ones((1, 4)), -0.2, torch.Generator().manual_seed(0))
    shares = [0.001, 0.1, 0.5, 0.9, 0.999]
    expected = tukeylambda.ppf(shares, -0.2) / tukeylambda.std(-0.2)
    np.testing.assert_allclose(np.quantile(drawn.numpy(), shares), expected, rtol=0.03, atol=0.01)


def test_the_loss_with_noise_of_the_own_kind_fills_defects_and_obeys_the_noise_as_it_is() -> None:
    batch, model = toy_batch(), Toy()
    filled = batch.noisy.clone()
    filled[..., 3, 3] = 0.4
    actual = batch.shot_noise * 2, batch.read_noise * 3
    known = dataclasses.replace(batch, filled=filled, actual_noise=actual)
    objective = build_objective("recorrupted", alpha=1.0, signal="denoised", noise="own", tail=-0.1)
    loss = objective.loss(model, known, 0.0, draws())

    with torch.no_grad():
        estimate = model(filled, batch.shot_noise, batch.read_noise)
        added = draw_noise(estimate, *actual, -0.1, draws())
        y1, y2 = batch.noisy + added, filled - added
        level = surround_mean(y1).clamp(min=0)
        weight = 1 / (2 * SHOT * level + 3 * READ + 0.375 * (2 * SHOT) ** 2)
        expected = (weight * (model(y1, 2 * batch.shot_noise, 2 * batch.read_noise) - y2).square()).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)


def test_noise_of_the_own_kind_wants_as_much_of_it() -> None:
    with pytest.raises(ConfigError, match=r"alpha: got 0\.5"):
        build_objective("recorrupted", noise="own")
    with pytest.raises(ConfigError, match="noise: there is no 'red'"):
        build_objective("recorrupted", noise="red")
