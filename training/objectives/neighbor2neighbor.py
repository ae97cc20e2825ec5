"""Neighbor2Neighbor: learning from noisy images alone.

Two neighbouring pixels of each cell of one noisy image make a pair of smaller images with almost the same signal and
independent noise; one is the input, the other the target. A regulariser accounts for the difference of their signals.

Source: Huang, Li, Jia, Lu, Liu: "Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images", CVPR 2021;
the loss is equation 7, the samplers are in `samplers.py`. Without weights it is the paper's equation; ours are decided
by the input alone, so that the target that is best in the mean stays what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.errors import ConfigError
from training.objectives.base import Objective, Weighting, check_choice, error_weight
from training.objectives.samplers import Sampler, choose_neighbours, subsample

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch


class Neighbor2Neighbor(Objective):
    """‖d‖² + γ ‖d − (g₁(f(y)) − g₂(f(y)))‖², d = f(g₁(y)) − g₂(y), with no gradient through f(y).

    Args:
        gamma: Weight γ of the regulariser at the end of training; it rises linearly from 0.
        sampler: How g₁ and g₂ choose their pixels, "random" or "fixed".
        cell: Height and width of the cells that they choose from, in packed pixels; even.
        weighting: "noise" for squares in units of the noise's variance, or "none" for the paper's plain ones.

    Raises:
        ConfigError: An option has none of these values.
    """

    def __init__(
        self, *, gamma: float = 2.0, sampler: Sampler = "random", cell: int = 2, weighting: Weighting = "noise"
    ) -> None:
        check_choice("sampler", sampler, Sampler)
        check_choice("weighting", weighting, Weighting)
        if not gamma >= 0:
            raise ConfigError(f"gamma: got {gamma}, wanted 0 or more")
        if cell < 2 or cell % 2:
            raise ConfigError(f"cell: got {cell}, wanted an even number, 2 or more")
        self.gamma = gamma
        self.sampler: Sampler = sampler
        self.subsampling = cell
        self.weighting: Weighting = weighting

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """See `Objective.loss`."""
        first, second = choose_neighbours(batch.noisy, self.sampler, self.subsampling, generator)
        sub_input, sub_target = (self._take(batch.noisy, position) for position in (first, second))
        with torch.no_grad():
            whole = model(batch.noisy, batch.shot_noise, batch.read_noise)  # (B, 4, h, w)
        gap = self._take(whole, first) - self._take(whole, second)  # (B, 4, h/cell, w/cell)
        weight = error_weight(self.weighting, sub_input, batch.shot_noise, batch.read_noise)
        denoised: Tensor = model(sub_input, batch.shot_noise, batch.read_noise)
        difference = denoised - sub_target  # (B, 4, h/cell, w/cell)
        reconstruction = (weight * difference.square()).mean()
        regulariser = (weight * (difference - gap).square()).mean()
        return reconstruction + progress * self.gamma * regulariser

    def _take(self, images: Tensor, position: Tensor) -> Tensor:
        """(B, 4, h/cell, w/cell): the pixels at a position of each cell."""
        return subsample(images, position, self.subsampling)
