"""Neighbor2Neighbor's loss equals the paper's equation 7, and its gradient stops where the paper stops it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from toy_objective import Toy, draws, pixels, toy_at, toy_batch, value_and_gradient, weight_at

from training.errors import ConfigError
from training.objectives import build_objective
from training.objectives.samplers import choose_neighbours

GAMMA = 1.5
CASES = [
    ("random", 2, "none"),
    ("random", 2, "noise"),
    ("random", 4, "none"),
    ("fixed", 2, "none"),
    ("fixed", 4, "noise"),
]


def equation_7(
    abc: torch.Tensor, y: torch.Tensor, positions: tuple[torch.Tensor, ...], weighting: str, gamma: float
) -> torch.Tensor:
    """‖f(g₁(y)) − g₂(y)‖² + γ ‖f(g₁(y)) − g₂(y) − (g₁(f(y)) − g₂(f(y)))‖², as a mean, f(y) without gradient."""
    cell = y.shape[2] // positions[0].shape[1]
    size = (y.shape[0], y.shape[1], y.shape[2] // cell, y.shape[3] // cell)
    places = [
        {
            (b, i, j): (cell * i + int(position[b, i, j]) // cell, cell * j + int(position[b, i, j]) % cell)
            for b, _, i, j in pixels(torch.empty(size))
        }
        for position in positions
    ]
    g1y = torch.empty(size, dtype=torch.float64)
    for b, c, i, j in pixels(g1y):
        g1y[b, c, i, j] = y[b, c][places[0][b, i, j]]
    total = torch.zeros((), dtype=torch.float64)
    for b, c, i, j in pixels(g1y):
        first, second = (place[b, i, j] for place in places)
        d = toy_at(abc, g1y[b, c], i, j) - y[b, c][second]
        gap = toy_at(abc.detach(), y[b, c], *first) - toy_at(abc.detach(), y[b, c], *second)
        total = total + weight_at(weighting, g1y[b, c], i, j) * (d**2 + gamma * (d - gap) ** 2)
    return total / g1y.numel()


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("sampler", "cell", "weighting"), CASES)
def test_the_loss_equals_equation_7(sampler: str, cell: int, weighting: str, progress: float) -> None:
    batch, model = toy_batch(), Toy()
    objective = build_objective("neighbor2neighbor", gamma=GAMMA, sampler=sampler, cell=cell, weighting=weighting)
    value, gradient = value_and_gradient(objective.loss(model, batch, progress, draws()), model.parameters_abc)

    positions = choose_neighbours(batch.noisy, sampler, cell, draws())
    equation = equation_7(model.parameters_abc, batch.noisy, positions, weighting, progress * GAMMA)
    expected, expected_gradient = value_and_gradient(equation, model.parameters_abc)
    assert value == pytest.approx(expected, rel=1e-9)
    assert gradient == pytest.approx(expected_gradient, rel=1e-9)


def test_the_whole_image_is_seen_once_and_without_gradient() -> None:
    seen: list[tuple[int, bool]] = []

    class Watched(Toy):
        def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
            seen.append((arguments[0].shape[-1], torch.is_grad_enabled()))
            return super().forward(*arguments)

    build_objective("neighbor2neighbor").loss(Watched(), toy_batch(), 1.0, draws())
    assert sorted(seen) == [(6, True), (12, False)]


def test_the_clean_image_is_not_looked_at() -> None:
    batch, objective = toy_batch(), build_objective("neighbor2neighbor")
    blind = dataclasses.replace(batch, clean=None, second=None)
    assert objective.loss(Toy(), blind, 1.0, draws()) == objective.loss(Toy(), batch, 1.0, draws())


def test_the_network_sees_patches_as_many_times_smaller_as_a_cell_is_large() -> None:
    assert build_objective("neighbor2neighbor").subsampling == 2
    assert build_objective("neighbor2neighbor", cell=4).subsampling == 4


@pytest.mark.parametrize(
    "option", [{"gamma": -1}, {"gamma": float("nan")}, {"sampler": "diagonal"}, {"cell": 3}, {"cell": 0}]
)
def test_an_impossible_option_is_named(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))):
        build_objective("neighbor2neighbor", **option)
