"""Losses equal to plain transcriptions of the papers' equations; samplers that draw what the papers draw."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from training.errors import ConfigError
from training.objectives import build_objective
from training.objectives.base import Batch, inverse_variance
from training.objectives.neighbor2neighbor import NEIGHBOUR_PAIRS, draw_neighbours, subsample


class Affine(nn.Module):
    """A model with two parameters: enough to check values and gradients by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.8, dtype=torch.float64))
        self.offset = nn.Parameter(torch.tensor(0.01, dtype=torch.float64))

    def forward(self, noisy: torch.Tensor, *_noise: torch.Tensor) -> torch.Tensor:
        """Whatever the noise."""
        return self.factor * noisy + self.offset


def batch(shot: float = 0.0, read: float = 1.0) -> Batch:
    generator = torch.Generator().manual_seed(0)
    noisy, clean = (torch.rand(2, 4, 8, 12, generator=generator, dtype=torch.float64) for _ in range(2))
    full = [torch.full((2, 4), value, dtype=torch.float64) for value in (shot, read)]
    return Batch(noisy=noisy, clean=clean, shot_noise=full[0], read_noise=full[1])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_the_weight_is_one_over_the_variance_of_a_flat_signal() -> None:
    shot, read = torch.full((1, 4), 1e-3), torch.full((1, 4), 1e-6)
    weight = inverse_variance(torch.full((1, 4, 16, 16), 0.5), shot, read)
    assert float(weight.mean()) == pytest.approx(1 / (1e-3 * 0.5 + 1e-6 + 0.375e-6), rel=1e-6)


def test_supervised_is_the_mean_squared_error_in_units_of_the_noise() -> None:
    data = batch(read=0.25)
    model = Affine()
    assert data.clean is not None
    expected = np.mean((0.8 * data.noisy.numpy() + 0.01 - data.clean.numpy()) ** 2) / 0.25
    loss = build_objective("supervised").loss(model, data, 0.0, generator())
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_neighbor2neighbor_equals_equation_7(progress: float) -> None:
    data, model, gamma = batch(), Affine(), 2.0
    loss = build_objective("neighbor2neighbor", gamma=gamma).loss(model, data, progress, generator())

    # equation 7, pixel by pixel in float64, on the same draw; γ rises linearly with training
    first, second = (position.numpy() for position in draw_neighbours(data.noisy, generator()))
    y = data.noisy.numpy()
    total = regulariser = 0.0
    f = lambda value: 0.8 * value + 0.01  # noqa: E731  (the paper's letter)
    for b in range(2):
        for c in range(4):
            for i in range(4):
                for j in range(6):
                    at = [(2 * i + p // 2, 2 * j + p % 2) for p in (first[b, i, j], second[b, i, j])]
                    g1, g2 = (y[b, c][place] for place in at)
                    difference = f(g1) - g2
                    total += difference**2
                    regulariser += (difference - (f(g1) - f(g2))) ** 2
    expected = (total + progress * gamma * regulariser) / (2 * 4 * 4 * 6)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_neighbor2neighbor_stops_the_gradient_through_the_whole_image() -> None:
    class Counting(Affine):
        graded = 0

        def forward(self, noisy: torch.Tensor, *_noise: torch.Tensor) -> torch.Tensor:
            Counting.graded += torch.is_grad_enabled() * noisy.shape[-1]
            return super().forward(noisy)

    build_objective("neighbor2neighbor").loss(Counting(), batch(), 1.0, generator()).backward()
    assert Counting.graded == 6  # the half-size input, and not the whole image of 12


def test_neighbor2neighbor_does_not_look_at_the_clean_image() -> None:
    data = batch()
    blind = dataclasses.replace(data, clean=None)
    assert torch.isfinite(build_objective("neighbor2neighbor").loss(Affine(), blind, 1.0, generator()))


def test_the_neighbour_pairs_are_drawn_uniformly() -> None:
    first, second = draw_neighbours(torch.zeros(1, 1, 512, 512), generator())
    drawn = (4 * first + second).ravel().numpy()
    counts = np.array([(drawn == 4 * a + b).sum() for a, b in NEIGHBOUR_PAIRS])
    assert counts.sum() == drawn.size
    expected = drawn.size / 8
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 24.32  # 99.9 % of a chi-square distribution with 7 degrees of freedom


def test_subsampling_takes_the_pixel_at_its_position_in_every_channel() -> None:
    image = torch.arange(2 * 4 * 4).reshape(1, 2, 4, 4)
    position = torch.tensor([[[0, 1], [2, 3]]])
    assert subsample(image, position).tolist() == [[[[0, 3], [12, 15]], [[16, 19], [28, 31]]]]


def test_a_negative_gamma_is_refused() -> None:
    with pytest.raises(ConfigError, match="gamma"):
        build_objective("neighbor2neighbor", gamma=-1)


def test_supervised_training_without_clean_pictures_is_refused() -> None:
    with pytest.raises(ConfigError, match="clean"):
        build_objective("supervised").loss(Affine(), dataclasses.replace(batch(), clean=None), 0.0, generator())
