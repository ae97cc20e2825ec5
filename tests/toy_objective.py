"""A model and a batch so small that a paper's equations can be written out pixel by pixel, in float64.

In the flow of the tests: **Toy** and **toy_batch** → objective's loss, compared with the same equation in plain loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.objectives.base import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOT, READ = 0.02, 0.01
SHAPE = (2, 4, 8, 12)


class Toy(nn.Module):
    """f(y) = a·y + c·(left neighbour of y, 0 beyond the border) + b·(shot + read): not local, told the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.parameters_abc = nn.Parameter(torch.tensor([0.8, 0.7, 0.1], dtype=torch.float64))

    def forward(self, noisy: Tensor, shot_noise: Tensor, read_noise: Tensor) -> Tensor:
        """The whole picture at once."""
        a, b, c = self.parameters_abc
        left = nn.functional.pad(noisy, (1, 0))[..., :-1]
        return a * noisy + c * left + b * (shot_noise + read_noise)[..., None, None]


def toy_at(abc: Tensor, plane: Tensor, row: int, column: int, noise_factor: float = 1.0) -> Tensor:
    """f(y) at one pixel of an (h, w) plane."""
    left = plane[row, column - 1] if column else torch.tensor(0.0, dtype=torch.float64)
    return abc[0] * plane[row, column] + abc[2] * left + abc[1] * (SHOT + READ) * noise_factor


def toy_batch() -> Batch:
    """Random patches of `SHAPE`, all with the same noise."""
    generator = torch.Generator().manual_seed(0)
    planes = [torch.rand(SHAPE, generator=generator, dtype=torch.float64) for _ in range(3)]
    shot, read = (torch.full((2, 4), value, dtype=torch.float64) for value in (SHOT, READ))
    return Batch(noisy=planes[0], clean=planes[1], second=planes[2], shot_noise=shot, read_noise=read)


def draws() -> torch.Generator:
    """The same random draws at each call."""
    return torch.Generator().manual_seed(7)


def surround_at(plane: Tensor, row: int, column: int) -> float:
    """The mean of the existing pixels at most three rows and columns away, without the pixel itself."""
    near = [(y, x) for y in range(row - 3, row + 4) for x in range(column - 3, column + 4) if (y, x) != (row, column)]
    values = [float(plane[y, x]) for y, x in near if 0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]]
    return sum(values) / len(values)


def weight_at(weighting: str, plane: Tensor, row: int, column: int) -> float:
    """One over the variance of the noise at a pixel, by its surroundings; or 1."""
    if weighting == "none":
        return 1.0
    return 1 / (SHOT * max(0.0, surround_at(plane, row, column)) + READ + 0.375 * SHOT**2)


def pixels(images: Tensor) -> Iterator[tuple[int, int, int, int]]:
    """Every index of a (B, C, h, w) tensor."""
    for index in torch.cartesian_prod(*(torch.arange(size) for size in images.shape)).tolist():
        yield tuple(index)


def value_and_gradient(loss: Tensor, parameters: Tensor) -> tuple[float, list[float]]:
    """The loss and its derivatives."""
    (gradient,) = torch.autograd.grad(loss, parameters)
    return loss.item(), gradient.tolist()
