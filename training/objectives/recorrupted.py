"""Recorrupted-to-Recorrupted: learning from noisy images alone, by adding noise of the same kind.

What is added to the input and, with the other sign, to the target makes their noises uncorrelated; the target's mean is
still the signal. It wants the noise model to be right, and Gaussian noise: at a few electrons it is an approximation.

Source: Pang, Zheng, Quan, Ji: "Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image Denoising", CVPR 2021:
the pair and its loss. Theirs is Gaussian noise of known covariance; our D is diagonal, with the variance of the
Poisson-Gaussian model. They average many recorrupted predictions when denoising; our network is told how much noise its
input has, so that it runs on y itself. With plain input it is not told, and treats y as if it had 1 + α² times as much.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch

from training.errors import ConfigError
from training.objectives.base import Weighting, check_choice, error_weight, surround_mean

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch

Signal = Literal["surround", "denoised"]


class Recorrupted:
    """mean(w ‖f(y₁) − y₂‖²), y₁ = y + αDz, y₂ = y − Dz/α, z standard normal, D² = shot · x̂ + read.

    y₁ has 1 + α² times the noise of y, and f is told so. D must not know a pixel's own noise, or the two noises are
    correlated again. w is one over the noise's variance, decided by y₁ alone.

    Args:
        alpha: α; a larger one makes the input noisier, a smaller one the target.
        signal: The estimate x̂: "surround", the mean of the 7×7 pixels around each without the pixel itself, which is
            blind to its noise but wrong at edges; or "denoised", f(y) without gradient, which costs a second pass,
            is right at edges, and knows of the pixel's noise what the network has not removed.
        weighting: "noise" as above, or "none" for the paper's plain squares, w = 1.

    Raises:
        ConfigError: An option has none of these values.
    """

    subsampling = 1

    def __init__(self, *, alpha: float = 0.5, signal: Signal = "surround", weighting: Weighting = "noise") -> None:
        check_choice("signal", signal, Signal)
        check_choice("weighting", weighting, Weighting)
        if not (alpha > 0 and math.isfinite(alpha)):
            raise ConfigError(f"alpha: got {alpha}, wanted more than 0")
        self.alpha = alpha
        self.signal: Signal = signal
        self.weighting: Weighting = weighting

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`."""
        noise = batch.shot_noise, batch.read_noise
        deviation = noise_deviation(self._estimate(model, batch), *noise)  # (B, 4, h, w)
        source, target = recorrupt(batch.noisy, deviation, self.alpha, generator)
        weight = error_weight(self.weighting, source, *noise)
        denoised: Tensor = model(source, *(each * (1 + self.alpha**2) for each in noise))  # (B, 4, h, w)
        return (weight * (denoised - target).square()).mean()

    @torch.no_grad()
    def _estimate(self, model: NoiseAware, batch: Batch) -> Tensor:
        """(B, 4, h, w): the signal that decides the noise."""
        if self.signal == "surround":
            return surround_mean(batch.noisy)
        denoised: Tensor = model(batch.noisy, batch.shot_noise, batch.read_noise)
        return denoised


def noise_deviation(signal: Tensor, shot_noise: Tensor, read_noise: Tensor) -> Tensor:
    """The noise's standard deviation at a signal.

    Args:
        signal: (B, 4, h, w) linear; below black counts as black.
        shot_noise: (B, 4).
        read_noise: (B, 4).

    Returns:
        (B, 4, h, w).
    """
    return (shot_noise[..., None, None] * signal.clamp(min=0) + read_noise[..., None, None]).sqrt()


def recorrupt(noisy: Tensor, deviation: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make input and target of one noisy image.

    Args:
        noisy: (B, 4, h, w) linear.
        deviation: (B, 4, h, w), the diagonal of D.
        alpha: α.
        generator: On the image's device.

    Returns:
        y₁ = y + αDz and y₂ = y − Dz/α, (B, 4, h, w) each.
    """
    normal = torch.randn(noisy.shape, generator=generator, dtype=noisy.dtype, device=noisy.device)
    return noisy + alpha * deviation * normal, noisy - deviation * normal / alpha
