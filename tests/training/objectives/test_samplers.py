"""Neighbour samplers draw what the paper draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from toy_objective import draws

from training.errors import ConfigError
from training.objectives.samplers import choose_neighbours, neighbour_pairs, subsample


@pytest.mark.parametrize(("cell", "count"), [(2, 8), (4, 48), (6, 120)])
def test_the_neighbour_pairs_are_all_that_touch_by_a_side(cell: int, count: int) -> None:
    places = [divmod(position, cell) for position in range(cell * cell)]
    touching = {
        (p, q)
        for p, (y, x) in enumerate(places)
        for q, (other_y, other_x) in enumerate(places)
        if abs(y - other_y) + abs(x - other_x) == 1
    }
    assert set(neighbour_pairs(cell)) == touching
    assert len(neighbour_pairs(cell)) == count


@pytest.mark.parametrize("cell", [2, 4])
def test_the_random_sampler_draws_every_pair_equally_often(cell: int) -> None:
    first, second = choose_neighbours(torch.zeros(2, 1, 512, 512), "random", cell, draws())
    assert first.shape == (2, 512 // cell, 512 // cell)
    drawn = (cell * cell * first + second).ravel().numpy()
    counts = np.array([(drawn == cell * cell * p + q).sum() for p, q in neighbour_pairs(cell)])
    assert counts.sum() == drawn.size
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_random_sampler_draws_each_cell_anew() -> None:
    first, _ = choose_neighbours(torch.zeros(1, 1, 512, 512), "random", 2, draws())
    same = float((first[:, :, 1:] == first[:, :, :-1]).double().mean())
    assert same == pytest.approx(1 / 4, abs=0.01)


@pytest.mark.parametrize("cell", [2, 4])
def test_the_fixed_sampler_always_takes_the_first_two_pixels_of_a_cell(cell: int) -> None:
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    first, second = (subsample(image, each, cell) for each in choose_neighbours(image, "fixed", cell, draws()))
    assert torch.equal(first, image[..., ::cell, ::cell])
    assert torch.equal(second, image[..., ::cell, 1::cell])


def test_subsampling_takes_the_pixel_at_its_position_in_every_channel() -> None:
    image = torch.arange(2 * 4 * 4).reshape(1, 2, 4, 4)
    position = torch.tensor([[[0, 1], [2, 3]]])
    assert subsample(image, position, 2).tolist() == [[[[0, 3], [12, 15]], [[16, 19], [28, 31]]]]
    assert subsample(image, torch.tensor([[[7]]]), 4).tolist() == [[[[7]], [[23]]]]


def test_an_unknown_sampler_is_named() -> None:
    with pytest.raises(ConfigError, match="sampler: there is no 'diagonal'"):
        choose_neighbours(torch.zeros(1, 1, 2, 2), "diagonal", 2, draws())
