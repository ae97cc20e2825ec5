"""Samplers: which two neighbouring pixels of each cell of a noisy image become input and target.

In the flow: noisy patches → **sampler** → network → Neighbor2Neighbor's loss.

Source: Huang, Li, Jia, Lu, Liu: "Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images", CVPR 2021;
the random sampler is section 3.3, one draw for all channels of a raw section 4.1, fixed locations appendix B. The paper
does not name the fixed pair; ours is the first two pixels of the cell's first row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

from training.objectives.base import check_choice

if TYPE_CHECKING:
    from torch import Tensor

Sampler = Literal["random", "fixed"]


def neighbour_pairs(cell: int) -> list[tuple[int, int]]:
    """The ordered pairs of side-by-side positions of a cell, positions counted row by row.

    >>> neighbour_pairs(2)
    [(0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2)]
    """
    pairs = []
    for position in range(cell * cell):
        right, below = position + 1, position + cell
        if right % cell:
            pairs += [(position, right), (right, position)]
        if below < cell * cell:
            pairs += [(position, below), (below, position)]
    return pairs


def choose_neighbours(images: Tensor, sampler: Sampler, cell: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Choose a pair of neighbours in each cell, the same for all channels.

    Args:
        images: (B, C, h, w), h and w multiples of `cell`.
        sampler: "random": each of `neighbour_pairs` with the same probability; "fixed": the same pair everywhere.
        cell: Height and width of a cell in packed pixels.
        generator: On the images' device.

    Returns:
        Two (B, h/cell, w/cell) int64 tensors: the position of either neighbour, counted row by row.

    Raises:
        ConfigError: There is no such sampler.
    """
    check_choice("sampler", sampler, Sampler)
    batch, _, height, width = images.shape
    cells = (batch, height // cell, width // cell)
    pairs = torch.tensor(neighbour_pairs(cell), device=images.device)  # (P, 2)
    if sampler == "fixed":
        draw = torch.zeros(cells, dtype=torch.int64, device=images.device)
    else:
        draw = torch.randint(len(pairs), cells, generator=generator, device=images.device)
    first, second = pairs[draw].unbind(-1)  # (B, h/cell, w/cell) each
    return first, second


def subsample(images: Tensor, position: Tensor, cell: int) -> Tensor:
    """Take one pixel of each cell.

    Args:
        images: (B, C, h, w).
        position: (B, h/cell, w/cell) int64, counted row by row.
        cell: Height and width of a cell in packed pixels.

    Returns:
        (B, C, h/cell, w/cell).
    """
    batch, channels = images.shape[:2]
    cells = F.pixel_unshuffle(images, cell).reshape(batch, channels, cell * cell, *position.shape[1:])
    index = position[:, None, None].expand(-1, channels, 1, -1, -1)  # (B, C, 1, h/cell, w/cell)
    return cells.gather(2, index).squeeze(2)
