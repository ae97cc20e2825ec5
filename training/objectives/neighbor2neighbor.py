"""Neighbor2Neighbor: learning from noisy images alone.

Two neighbouring pixels of each 2×2 cell of one noisy image make a pair of half-size images with almost the same signal
and independent noise; one is the input, the other the target. A regulariser accounts for the difference of their
signals.

Source: Huang, Li, Jia, Lu, Liu: "Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images", CVPR 2021;
the sub-sampler is section 3.3, the loss equation 7, the draw of one mask for all channels section 4.1. The squares are
weighted by 1/σ² of the noise, as in all our objectives; with weight 1 it is the paper's equation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from training.errors import ConfigError
from training.objectives.base import inverse_variance

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch

NEIGHBOUR_PAIRS = ((0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2))
"""The eight ordered pairs of side-by-side positions of a 2×2 cell, positions counted row by row."""


class Neighbor2Neighbor:
    """‖d‖² + γ ‖d − (g₁(f(y)) − g₂(f(y)))‖², d = f(g₁(y)) − g₂(y), with no gradient through f(y).

    Args:
        gamma: Weight γ of the regulariser at the end of training; it rises linearly from 0.
    """

    subsampling = 2

    def __init__(self, *, gamma: float = 2.0) -> None:
        if not gamma >= 0:
            raise ConfigError(f"gamma: got {gamma}, wanted 0 or more")
        self.gamma = gamma

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """See `Objective.loss`."""
        first, second = draw_neighbours(batch.noisy, generator)  # (B, h/2, w/2) each
        sub_input, sub_target = (subsample(batch.noisy, position) for position in (first, second))
        with torch.no_grad():
            whole = model(batch.noisy, batch.shot_noise, batch.read_noise)  # (B, 4, h, w)
        gap = subsample(whole, first) - subsample(whole, second)  # (B, 4, h/2, w/2)
        weight = inverse_variance(sub_input, batch.shot_noise, batch.read_noise)
        denoised: Tensor = model(sub_input, batch.shot_noise, batch.read_noise)
        difference = denoised - sub_target  # (B, 4, h/2, w/2)
        reconstruction = (weight * difference.square()).mean()
        regulariser = (weight * (difference - gap).square()).mean()
        return reconstruction + progress * self.gamma * regulariser


def draw_neighbours(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw one of the eight neighbour pairs for each 2×2 cell, the same for all channels.

    Args:
        images: (B, C, h, w), h and w even.
        generator: On the images' device.

    Returns:
        Two (B, h/2, w/2) int64 tensors: the position, 0 … 3, of either neighbour.
    """
    batch, _, height, width = images.shape
    cells = (batch, height // 2, width // 2)
    draw = torch.randint(len(NEIGHBOUR_PAIRS), cells, generator=generator, device=images.device)
    pairs = torch.tensor(NEIGHBOUR_PAIRS, device=images.device)[draw]  # (B, h/2, w/2, 2)
    return pairs[..., 0], pairs[..., 1]


def subsample(images: Tensor, position: Tensor) -> Tensor:
    """Take one pixel of each 2×2 cell.

    Args:
        images: (B, C, h, w).
        position: (B, h/2, w/2) int64, 0 … 3, counted row by row.

    Returns:
        (B, C, h/2, w/2).
    """
    batch, channels, height, width = images.shape
    cells = F.pixel_unshuffle(images, 2).view(batch, channels, 4, height // 2, width // 2)
    index = position[:, None, None].expand(-1, channels, 1, -1, -1)  # (B, C, 1, h/2, w/2)
    return cells.gather(2, index).squeeze(2)
