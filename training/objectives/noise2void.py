"""Noise2Void: learning from noisy images alone, by hiding some of their pixels.

In every cell of the image one pixel, the same in all channels, is replaced by another one near it, and the loss is
taken there alone: the network has to predict it from its surroundings. At test time nothing is hidden; a network that
learned to use the surroundings keeps to them, which costs what the pixel itself would have told.

Source: Krull, Buchholz, Jug: "Noise2Void – Learning Denoising from Single Noisy Images", CVPR 2019, sections 3.3 and 4:
one pixel in each of the cells of a grid (stratified sampling), replaced by one that is uniformly drawn from the 5×5
pixels around it. Difference, deliberate: the pixel itself is never drawn as its own replacement, so that none of those
that count is visible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.errors import ConfigError
from training.objectives.base import Objective, Weighting, check_choice, error_weight

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch

REACH = 2
"""A replacement lies at most so many rows and columns away."""


class Noise2Void(Objective):
    """mean over hidden pixels of w (f(y′) − y)², y′ the image with these pixels replaced.

    Args:
        cell: Height and width of the cells that have one hidden pixel each.
        weighting: "noise" for squares in units of the noise's variance, or "none" for the paper's plain ones.

    Raises:
        ConfigError: An option has none of these values.
    """

    def __init__(self, *, cell: int = 8, weighting: Weighting = "noise") -> None:
        check_choice("weighting", weighting, Weighting)
        if cell < 2:
            raise ConfigError(f"cell: got {cell}, wanted 2 or more")
        self.cell = cell
        self.weighting: Weighting = weighting

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`."""
        noise = batch.shot_noise, batch.read_noise
        hidden, replaced = hide_pixels(batch.noisy, self.cell, generator)
        weight = hidden * error_weight(self.weighting, batch.noisy, *noise)  # (B, C, h, w)
        denoised: Tensor = model(replaced, *noise)
        return (weight * (denoised - batch.noisy).square()).sum() / (hidden.sum() * batch.noisy.shape[1])


def hide_pixels(images: Tensor, cell: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Replace one pixel in each cell by another one near it, which lies inside the image.

    Args:
        images: (B, C, h, w), at least 3 pixels each way.
        cell: Height and width of a cell; cells that the image's edge cuts off may have none.
        generator: On the images' device.

    Returns:
        (B, 1, h, w), 1 at hidden pixels and 0 elsewhere; and (B, C, h, w), the images with them replaced.
    """
    batch, _, height, width = images.shape
    device = images.device
    grid = batch, -(-height // cell), -(-width // cell)
    places = torch.randint(cell * cell, grid, generator=generator, device=device)
    steps = torch.randint((2 * REACH + 1) ** 2 - 1, grid, generator=generator, device=device)
    steps = steps + (steps >= ((2 * REACH + 1) ** 2) // 2)  # all of the 5×5 but the middle
    cells = torch.meshgrid(*(torch.arange(count, device=device) for count in grid), indexing="ij")
    rows, columns = cells[1] * cell + places // cell, cells[2] * cell + places % cell  # (B, h/cell, w/cell) each
    inside = (rows < height) & (columns < width)
    image, row, column, step = (each[inside] for each in (cells[0], rows, columns, steps))
    near_row = _mirrored(row + step // (2 * REACH + 1) - REACH, row, height)
    near_column = _mirrored(column + step % (2 * REACH + 1) - REACH, column, width)
    hidden = torch.zeros_like(images[:, :1])
    hidden[image, 0, row, column] = 1
    replaced = images.clone()
    replaced[image, :, row, column] = images[image, :, near_row, near_column]
    return hidden, replaced


def _mirrored(place: Tensor, around: Tensor, length: int) -> Tensor:
    """Places beyond the edge moved to the other side of the pixel that they are near."""
    outside = (place < 0) | (place >= length)
    return torch.where(outside, 2 * around - place, place)
