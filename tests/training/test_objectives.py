"""What all objectives share: their registry, their weights, and that they train."""

from __future__ import annotations

import pytest
import torch
from toy_objective import READ, SHOT, Toy, draws, pixels, surround_at, toy_batch

from training.errors import ConfigError
from training.objectives import OBJECTIVES, build_objective
from training.objectives.base import inverse_variance, surround_mean

OF_SQUARES = [name for name in OBJECTIVES if name != "laine"]
"""All but the one whose loss is a likelihood, which has no unit."""


def test_the_weight_is_one_over_the_variance_of_a_flat_signal() -> None:
    shot, read = torch.full((1, 4), 1e-3), torch.full((1, 4), 1e-6)
    weight = inverse_variance(torch.full((1, 4, 16, 16), 0.5), shot, read)
    torch.testing.assert_close(weight, torch.full_like(weight, 1 / (1e-3 * 0.5 + 1e-6 + 0.375e-6)))


def test_the_surround_mean_equals_plain_loops_at_borders_too() -> None:
    noisy = toy_batch().noisy
    means = surround_mean(noisy)
    for b, c, i, j in pixels(noisy):
        assert float(means[b, c, i, j]) == pytest.approx(surround_at(noisy[b, c], i, j), rel=1e-12)


def test_a_pixel_does_not_decide_its_own_weight() -> None:
    batch = toy_batch()
    changed = batch.noisy.clone()
    changed[..., 4, 6] += 100
    before, after = (inverse_variance(each, batch.shot_noise, batch.read_noise) for each in (batch.noisy, changed))
    torch.testing.assert_close(after[..., 4, 6], before[..., 4, 6], rtol=1e-12, atol=0)
    assert bool((after[..., 4, 7] < before[..., 4, 7]).all())


@pytest.mark.parametrize("name", OF_SQUARES)
def test_losses_are_in_units_of_the_noise_unless_asked_otherwise(name: str) -> None:
    batch = toy_batch()
    variance = float(SHOT * batch.noisy.mean() + READ)
    weighted, plain = (
        build_objective(name, **options).loss(Toy(), batch, 0.5, draws()).item()
        for options in ({}, {"weighting": "none"})
    )
    assert weighted == pytest.approx(plain / variance, rel=0.1)


@pytest.mark.parametrize("name", OF_SQUARES)
def test_the_same_draws_give_the_same_loss(name: str) -> None:
    objective, batch = build_objective(name), toy_batch()
    assert objective.loss(Toy(), batch, 0.5, draws()) == objective.loss(Toy(), batch, 0.5, draws())


@pytest.mark.parametrize("name", OF_SQUARES)
def test_an_unknown_option_or_weighting_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="does not take"):
        build_objective(name, strength=2)
    with pytest.raises(ConfigError, match="weighting: there is no 'half'"):
        build_objective(name, weighting="half")


def test_an_unknown_objective_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no 'noise3void'"):
        build_objective("noise3void")
