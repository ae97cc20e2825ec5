"""Recorrupted-to-Recorrupted: learning from noisy images alone, by adding noise of the same kind.

What is added to the input and, with the other sign, to the target makes their noises uncorrelated; the target's mean is
still the signal. It wants the noise model to be right. As published, it wants Gaussian noise, too: of noise with long
tails, it teaches the network to keep the outliers, which are too large to have been added by it.

With noise "own" what is added is drawn from the noise's own distribution, and α is 1. Then y₁ = x + n + n′ and
y₂ = x + n − n′, where n and n′ are independent and alike, so that either could be the other: E[n − n′ | n + n′] = 0,
whatever the distribution.

Source: Pang, Zheng, Quan, Ji: "Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image Denoising", CVPR 2021:
the pair and its loss. Theirs is Gaussian noise of known covariance; our D is diagonal, with the variance of the
Poisson-Gaussian model. They average many recorrupted predictions when denoising; our network is told how much noise its
input has, so that it runs on y itself. With plain input it is not told, and treats y as if it had 1 + α² times as much.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch

from training.errors import ConfigError
from training.noise_tail import tukey_deviation
from training.objectives.base import Objective, Weighting, check_choice, error_weight, surround_mean

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch

Signal = Literal["surround", "denoised"]
Added = Literal["gaussian", "own"]
_FEWEST = 1e-9
"""Signal of one photon; below it, counting photons is no noise."""


class Recorrupted(Objective):
    """mean(w ‖f(y₁) − y₂‖²), y₁ = y + αDz, y₂ = y − Dz/α, z standard normal, D² = shot · x̂ + read.

    y₁ has 1 + α² times the noise of y, and f is told so. D must not know a pixel's own noise, or the two noises are
    correlated again. w is one over the noise's variance, decided by y₁ alone.

    Args:
        alpha: α; a larger one makes the input noisier, a smaller one the target.
        signal: The estimate x̂: "surround", the mean of the 7×7 pixels around each without the pixel itself, which is
            blind to its noise but wrong at edges; or "denoised", f(y) without gradient, which costs a second pass,
            is right at edges, and knows of the pixel's noise what the network has not removed.
        weighting: "noise" as above, or "none" for the paper's plain squares, w = 1.
        noise: What is added: "gaussian" noise, as published, or the noise's "own" kind, photons and read noise.
        tail: Shape of the read noise that is added as the "own" kind, Tukey's λ; None for a Gaussian one.

    Raises:
        ConfigError: An option has none of these values.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        signal: Signal = "surround",
        weighting: Weighting = "noise",
        noise: Added = "gaussian",
        tail: float | None = None,
    ) -> None:
        check_choice("signal", signal, Signal)
        check_choice("weighting", weighting, Weighting)
        check_choice("noise", noise, Added)
        if not (alpha > 0 and math.isfinite(alpha)):
            raise ConfigError(f"alpha: got {alpha}, wanted more than 0")
        if noise == "own" and alpha != 1:
            raise ConfigError(f"alpha: got {alpha}; noise of the own kind wants 1, or the two could be told apart")
        self.alpha = alpha
        self.signal: Signal = signal
        self.weighting: Weighting = weighting
        self.noise: Added = noise
        self.tail = tail

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`."""
        told = batch.shot_noise, batch.read_noise
        actual = batch.actual_noise or told
        estimate = self._estimate(model, batch)
        if self.noise == "own":
            added = draw_noise(estimate, *actual, self.tail, generator)
        else:
            deviation = noise_deviation(estimate, *actual)  # (B, 4, h, w)
            options: dict[str, Any] = {"generator": generator, "dtype": deviation.dtype, "device": deviation.device}
            added = deviation * torch.randn(deviation.shape, **options)
        source, target = recorrupt(batch.noisy, batch.measured, added, self.alpha)
        weight = error_weight(self.weighting, source, *actual)
        denoised: Tensor = model(source, *(each * (1 + self.alpha**2) for each in told))  # (B, 4, h, w)
        return (weight * (denoised - target).square()).mean()

    @torch.no_grad()
    def _estimate(self, model: NoiseAware, batch: Batch) -> Tensor:
        """(B, 4, h, w): the signal that decides the noise."""
        if self.signal == "surround":
            return surround_mean(batch.measured)
        denoised: Tensor = model(batch.measured, batch.shot_noise, batch.read_noise)
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


def recorrupt(noisy: Tensor, measured: Tensor, added: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Make input and target of one noisy image.

    Args:
        noisy: (B, 4, h, w) linear, as the network will meet it.
        measured: (B, 4, h, w), the same with defective photosites filled in.
        added: (B, 4, h, w), drawn noise: Dz.
        alpha: α.

    Returns:
        y₁ = y + αDz and y₂ = y − Dz/α, (B, 4, h, w) each.
    """
    return noisy + alpha * added, measured - added / alpha


def draw_noise(
    signal: Tensor, shot_noise: Tensor, read_noise: Tensor, tail: float | None, generator: torch.Generator
) -> Tensor:
    """Draw a camera's noise at a signal: photons counted, and read out.

    Args:
        signal: (B, 4, h, w) linear; below black counts as black.
        shot_noise: (B, 4).
        read_noise: (B, 4).
        tail: Shape of the read noise, Tukey's λ; None for a Gaussian one.
        generator: On the signal's device.

    Returns:
        (B, 4, h, w), of mean 0 and variance shot_noise · signal + read_noise.
    """
    options: dict[str, Any] = {"generator": generator, "dtype": signal.dtype, "device": signal.device}
    lit, photon = signal.clamp(min=0), shot_noise.clamp(min=_FEWEST)[..., None, None]
    counted = torch.poisson(lit / photon, generator=generator) * photon - lit  # (B, 4, h, w)
    if tail is None:
        read = torch.randn(signal.shape, **options)
    else:
        share = torch.rand(signal.shape, **options).clamp(1e-7, 1 - 1e-7)
        read = (share**tail - (1 - share) ** tail) / (tail * tukey_deviation(tail))  # (B, 4, h, w), unit variance
    return counted + read_noise.sqrt()[..., None, None] * read
