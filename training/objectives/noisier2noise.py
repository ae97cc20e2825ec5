"""Noisier2Noise: learning from images that are made noisier still.

Noise of the same kind is added to a noisy image y, and the network learns to take it away again: z = y + n′ → y. Of z
it cannot tell which part of its noise was added, so that the best prediction of y lies halfway between z and the
signal, if n and n′ are alike (α = 1): E[y | z] = (E[x | z] + z) / 2. Hence

    x̂ = 2 f(z) − z,    z = y + n′, with n′ drawn anew when denoising

Source: Moran, Schmidt, Zhong, Coady: "Noisier2Noise: Learning to Denoise from Unpaired Noisy Data", CVPR 2020,
equations 4 and 7 with α = 1. It wants the noise's distribution to be known. Ours draws it around the mean of the pixels
around each pixel, which for Poisson noise is an approximation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.objectives.base import Objective, Weighting, check_choice, error_weight, surround_mean
from training.objectives.recorrupted import draw_noise

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch

SEED = 0
"""Of the noise that is added when denoising."""


class Noisier2Noise(Objective):
    """mean(w (f(z) − y)²), f being told that z has twice the noise.

    Args:
        weighting: "noise" for w of one over y's noise variance, decided by z alone, or "none" for the paper's w = 1.
    """

    direct = False
    told = 2.0
    """How much of the noise of y the network is told that its input has."""

    def __init__(self, *, weighting: Weighting = "noise") -> None:
        check_choice("weighting", weighting, Weighting)
        self.weighting: Weighting = weighting

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`."""
        noisier = add_alike(batch, generator)
        weight = error_weight(self.weighting, noisier, batch.shot_noise, batch.read_noise)  # (B, C, h, w)
        denoised: Tensor = model(noisier, self.told * batch.shot_noise, self.told * batch.read_noise)
        return (weight * (denoised - batch.noisy).square()).mean()

    def denoise(self, model: NoiseAware, batch: Batch) -> Tensor:
        """See `Objective.denoise`."""
        noisier = add_alike(batch, torch.Generator(batch.noisy.device).manual_seed(SEED))
        denoised: Tensor = model(noisier, self.told * batch.shot_noise, self.told * batch.read_noise)
        return 2 * denoised - noisier


def add_alike(batch: Batch, generator: torch.Generator) -> Tensor:
    """(B, C, h, w): the noisy images with independent noise of the same kind once more."""
    return batch.noisy + draw_noise(surround_mean(batch.noisy), batch.shot_noise, batch.read_noise, None, generator)
