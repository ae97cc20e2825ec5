"""Blind2Unblind's loss equals the paper's, pixel by pixel, and a masked pixel is hidden from its own prediction."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from toy_objective import Toy, draws, pixels, toy_at, toy_batch, value_and_gradient, weight_at

from training.errors import ConfigError
from training.networks import build_network
from training.networks.noise_aware import NoiseAware
from training.objectives import build_objective
from training.objectives.base import Batch
from training.objectives.blind2unblind import draw_masks, gather, mask, predict_blind


def masked_by_hand(plane: Tensor, position: int) -> Tensor:
    """The kernel (½ 1 ½, 1 0 1, ½ 1 ½)/6 at every fourth pixel from a position, mirrored at the border."""
    height, width = plane.shape
    result = plane.clone()
    for i in range(position // 4, height, 4):
        for j in range(position % 4, width, 4):
            total = 0.0
            for y, x in [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]:
                row = i - y if not 0 <= i + y < height else i + y
                column = j - x if not 0 <= j + x < width else j + x
                total += float(plane[row, column]) * (0.5 if y and x else 1.0)
            result[i, j] = total / 6
    return result


def re_visible_loss(abc: Tensor, y: Tensor, positions: list[int], beta: float, weighting: str) -> Tensor:
    """‖h(f(Ω(y))) + β f(y) − (β + 1) y‖² + ‖h(f(Ω(y))) − y‖², a mean over masked pixels, f(y) without gradient."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    hidden = {
        (b, c, position): masked_by_hand(y[b, c], position)
        for b in range(y.shape[0])
        for c in range(y.shape[1])
        for position in positions
    }
    for b, c, i, j in pixels(y):
        position = 4 * (i % 4) + j % 4
        if position in positions:
            blind = toy_at(abc, hidden[b, c, position], i, j)
            visible = toy_at(abc.detach(), y[b, c], i, j)
            revisible = (blind + beta * visible - (beta + 1) * y[b, c, i, j]) ** 2
            total = total + weight_at(weighting, y[b, c], i, j) * (revisible + (blind - y[b, c, i, j]) ** 2)
            count += 1
    return total / count


@pytest.mark.parametrize(("progress", "beta"), [(0.0, 2.0), (0.4, 2.0), (0.7, 11.0), (1.0, 20.0)])
def test_the_loss_equals_the_re_visible_loss(progress: float, beta: float) -> None:
    batch, model = toy_batch(), Toy()
    loss = build_objective("blind2unblind", weighting="none").loss(model, batch, progress, draws())
    expected = re_visible_loss(model.parameters_abc, batch.noisy, list(range(16)), beta, "none")
    check(loss, expected, model)


def test_a_loss_of_some_masks_in_units_of_the_noise_equals_it_at_their_pixels() -> None:
    batch, model = toy_batch(), Toy()
    loss = build_objective("blind2unblind", masks=3).loss(model, batch, 0.0, draws())
    positions = draw_masks(3, draws())
    check(loss, re_visible_loss(model.parameters_abc, batch.noisy, positions, 2.0, "noise"), model)


def check(loss: Tensor, equation: Tensor, model: Toy) -> None:
    """Equal in value and gradient."""
    value, gradient = value_and_gradient(loss, model.parameters_abc)
    expected, expected_gradient = value_and_gradient(equation, model.parameters_abc)
    assert value == pytest.approx(expected, rel=1e-9)
    assert gradient == pytest.approx(expected_gradient, rel=1e-9)


def test_the_masks_cover_each_pixel_once() -> None:
    image = torch.rand(1, 4, 8, 12, dtype=torch.float64)
    changed = torch.stack([mask(image, position) != image for position in range(16)])
    assert bool((changed.sum(0) == 1).all())
    assert gather(image, list(range(16))).sort().values.sum() == pytest.approx(float(image.sum()))


def test_a_pixel_is_hidden_from_its_own_prediction_but_not_from_others() -> None:
    torch.manual_seed(0)
    network = build_network("unet", in_channels=9, width=4)
    torch.nn.init.normal_(network.last.weight, std=0.3)
    model = NoiseAware(network)
    noise = torch.full((1, 4), 1e-3)
    noisy = torch.rand(1, 4, 32, 32)
    changed = noisy.clone()
    changed[..., 13, 18] += 0.5  # at position 6 of its cell, in the fourth row and fifth column of cells
    with torch.no_grad():
        before, after = (
            predict_blind(model, Batch(noisy=each, shot_noise=noise, read_noise=noise), list(range(16)))
            for each in (noisy, changed)
        )
    moved = (after != before).unflatten(1, (16, 4)).any(dim=2)[0]  # (16, 8, 8)
    assert not bool(moved[6].any())
    assert bool(moved[[position for position in range(16) if position != 6], 3, 4].all())


def test_every_mask_is_drawn_equally_often_and_none_twice() -> None:
    generator = draws()
    drawn = [draw_masks(3, generator) for _ in range(1600)]
    assert all(len(set(masks)) == 3 for masks in drawn)
    counts = [sum(masks.count(position) for masks in drawn) for position in range(16)]
    assert sum((count - 300) ** 2 / 300 for count in counts) < 37.7  # 99.9 % of chi-square, 15 degrees of freedom


def test_the_visible_pass_has_no_gradient_and_the_blind_one_sees_every_mask() -> None:
    seen: list[tuple[int, bool]] = []

    class Watched(Toy):
        def forward(self, *arguments: Tensor) -> Tensor:
            seen.append((arguments[0].shape[0], torch.is_grad_enabled()))
            return super().forward(*arguments)

    build_objective("blind2unblind").loss(Watched(), toy_batch(), 1.0, draws())
    assert sorted(seen) == [(2, False), (32, True)]


def test_the_clean_image_is_not_looked_at() -> None:
    batch, objective = toy_batch(), build_objective("blind2unblind")
    blind = dataclasses.replace(batch, clean=None, second=None)
    assert objective.loss(Toy(), blind, 1.0, draws()) == objective.loss(Toy(), batch, 1.0, draws())


@pytest.mark.parametrize("option", [{"masks": 0}, {"masks": 17}, {"alpha": -1}, {"beta": (2, -1)}])
def test_an_impossible_option_is_named(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))):
        build_objective("blind2unblind", **option)
