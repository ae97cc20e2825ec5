"""Noise2Void: its loss equals its equation, and hidden pixels are hidden."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from toy_objective import Toy, draws, pixels, toy_at, toy_batch, value_and_gradient, weight_at

from training.errors import ConfigError
from training.objectives import build_objective
from training.objectives.noise2void import hide_pixels


@pytest.mark.parametrize("weighting", ["noise", "none"])
def test_the_loss_is_the_mean_square_over_hidden_pixels(weighting: str) -> None:
    batch, model = toy_batch(), Toy()
    loss = build_objective("noise2void", cell=4, weighting=weighting).loss(model, batch, 0.0, draws())
    hidden, replaced = hide_pixels(batch.noisy, 4, draws())
    total, count = torch.zeros((), dtype=torch.float64), 0
    for b, c, i, j in pixels(batch.noisy):
        if hidden[b, 0, i, j]:
            error = toy_at(model.parameters_abc, replaced[b, c], i, j) - batch.noisy[b, c, i, j]
            total = total + weight_at(weighting, batch.noisy[b, c], i, j) * error**2
            count += 1
    assert count == 2 * 4 * 2 * 3
    expected = value_and_gradient(total / count, model.parameters_abc)
    found = value_and_gradient(loss, model.parameters_abc)
    assert found[0] == pytest.approx(expected[0], rel=1e-9)
    assert found[1] == pytest.approx(expected[1], rel=1e-9)


@pytest.mark.parametrize("size", [(16, 24), (13, 9)])
def test_hidden_pixels_become_other_ones_at_most_two_pixels_away(size: tuple[int, int]) -> None:
    places = torch.arange(size[0] * size[1], dtype=torch.float64).reshape(1, 1, *size).repeat(3, 2, 1, 1)
    for seed in range(30):
        hidden, replaced = hide_pixels(places, 8, torch.Generator().manual_seed(seed))
        changed = replaced != places
        assert torch.equal(changed.any(dim=1, keepdim=True), hidden.bool())
        assert torch.equal(changed[:, 0], changed[:, 1])
        old, new = places[changed], replaced[changed]
        assert ((old // size[1] - new // size[1]).abs() <= 2).all()
        assert ((old % size[1] - new % size[1]).abs() <= 2).all()


def test_each_cell_hides_one_pixel_and_all_of_its_places_alike() -> None:
    counts, generator = torch.zeros(4, 4), draws()
    for _ in range(400):
        hidden, _ = hide_pixels(torch.rand(1, 1, 8, 8), 4, generator)
        cells = hidden[0, 0].unflatten(0, (2, 4)).unflatten(2, (2, 4))  # (2, 4, 2, 4)
        assert (cells.sum(dim=(1, 3)) == 1).all()
        counts += cells.sum(dim=(0, 2))
    assert ((counts - 100) ** 2 / 100).sum() < 37.7  # 99.9 % of chi-square, 15 degrees of freedom


def test_the_clean_image_is_not_looked_at() -> None:
    batch, objective = toy_batch(), build_objective("noise2void")
    blind = dataclasses.replace(batch, clean=None, second=None)
    assert objective.loss(Toy(), blind, 1.0, draws()) == objective.loss(Toy(), batch, 1.0, draws())


def test_an_impossible_cell_is_named() -> None:
    with pytest.raises(ConfigError, match="cell"):
        build_objective("noise2void", cell=1)
