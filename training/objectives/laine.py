"""Laine et al.: what a blind-spot network believes of a pixel, joined with what was measured there.

The network sees a pixel's surroundings alone and tells a Gaussian prior of its clean colour, N(μ, Σₓ) over all channels
of the pixel. The noise adds its own covariance Σₙ, so that the measured colour y has the likelihood N(μ, Σₓ + Σₙ):

    L = ½ (y − μ)ᵀ (Σₓ + Σₙ)⁻¹ (y − μ) + ½ ln |Σₓ + Σₙ|                                       (training)
    x̂ = E[x | y] = μ + Σₓ (Σₓ + Σₙ)⁻¹ (y − μ)                                                (denoising, "pme")

Σₙ is diagonal: shot · μ + read, the paper's signal-dependent Gaussian for Poisson noise. Where its parameters are
unknown they are learned, as one number for all images or by a network for each, and 0.1 times the noise's standard
deviation is subtracted from the loss: of an explanation by the noise and one by the prior, the noise's is preferred.
Pixels that are replaced, not moved, are `impulses.py`'s; their share α can be learned, too, and 0.1 α is subtracted.

Source: Laine, Karras, Lehtinen, Aila: "High-Quality Self-Supervised Deep Image Denoising", NeurIPS 2019, equations 4
to 8, sections 3.1, 3.2 and 4, with the ablations of Table 1 (a diagonal Σₓ; μ alone, trained by squares). Differences,
all deliberate: μ is told as a difference to the mean of the 7×7 pixels around the pixel without itself, as blind and
right from the start; Σₙ has no gradient to μ; 0.1 α, which its authors' program does not subtract: without it α need
not be found, for a prior with the moments of impulses explains them as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch.nn import functional as F

from training.datasets.picture_noise import NoiseKind
from training.errors import ConfigError
from training.networks.blindspot import NoiseParameters
from training.objectives import impulses
from training.objectives.base import Objective, check_choice, surround_mean
from training.objectives.triangular import (
    Lower,
    cholesky,
    negative_log_normal,
    solve_lower,
    solve_upper,
    times,
    times_own_transpose,
    times_transposed,
)

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch

Covariance = Literal["full", "diagonal", "none"]
"""Of the prior: between all channels; of each by itself; or none, the ablation "μ only", trained by squares."""
Readout = Literal["pme", "mu"]
"""What denoises: the posterior mean, or the prior's mean alone."""
FIRST_SPREAD = 0.1
"""The prior's standard deviation before anything is learned."""
PACE, FIRST_ESTIMATE = 10, -4.0
"""A single learned number moves by one learning rate a step, and has far to go; softplus(−4) is 0.018."""
SMALLEST_DEVIATION = 1e-3
"""Unknown parameters are the square of a standard deviation, which is never smaller."""
NOISE_BONUS = 0.1
KEPT_VARIANCE = 1e-6
"""Of pixels among impulses that were not replaced: none in truth, but a prior has to be something."""


class Prior(NamedTuple):
    """What the network says of every pixel."""

    mean: Tensor
    """μ, (B, C, h, w)."""
    root: Lower
    """A, lower triangular: Σₓ = A·Aᵀ."""
    noise: Tensor
    """The diagonal of Σₙ, (B, C, h, w)."""
    impulses: Tensor | None = None
    """α, (B, 1, h, w) or (B, 1, 1, 1); None where no pixel is replaced."""


class Laine(Objective):
    """See the module; it wants a blind-spot network with `output_channels(channels, …)` outputs.

    Args:
        covariance: Σₓ; "none" for μ alone.
        noise: Whether the batch's noise parameters are taken, or learned, as the network's option of that name.
        kind: Which of them are learned: read noise, shot noise, both, or impulses' share; of no meaning where known.
        readout: What denoises.

    Raises:
        ConfigError: An option has none of these values.
    """

    direct = False

    def __init__(
        self,
        *,
        covariance: Covariance = "full",
        noise: NoiseParameters = "known",
        kind: NoiseKind = "gaussian",
        readout: Readout = "pme",
    ) -> None:
        check_choice("covariance", covariance, Covariance)
        check_choice("noise", noise, NoiseParameters)
        check_choice("kind", kind, NoiseKind)
        check_choice("readout", readout, Readout)
        if covariance == "none" and noise != "known":
            raise ConfigError(f"noise: got {noise!r}; nothing of it can be learned from squares alone")
        self.covariance: Covariance = covariance
        self.noise: NoiseParameters = noise
        self.kind: NoiseKind = kind
        self.readout: Readout = "mu" if covariance == "none" else readout

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`: per channel; in units of the noise for μ alone."""
        prior = self.prior(model, batch)
        if self.covariance == "none":
            return ((prior.mean - batch.noisy).square() / prior.noise).mean()
        strength = prior.noise.sqrt() if prior.impulses is None else prior.impulses
        bonus = 0.0 if self.noise == "known" else NOISE_BONUS * strength.mean()
        likelihood = negative_log_likelihood(batch.noisy, prior).mean()
        return (likelihood - bonus) / batch.noisy.shape[1]

    def denoise(self, model: NoiseAware, batch: Batch) -> Tensor:
        """See `Objective.denoise`."""
        prior = self.prior(model, batch)
        return prior.mean if self.readout == "mu" else posterior_mean(batch.noisy, prior)

    def prior(self, model: NoiseAware, batch: Batch) -> Prior:
        """What the network, which gets the plain noisy images, says of every pixel."""
        channels = batch.noisy.shape[1]
        outputs = model.network(batch.noisy).float()  # (B, output_channels, h, w)
        count = covariance_channels(channels, self.covariance)
        root = covariance_root(outputs[:, channels : channels + count], channels, self.covariance)
        around, estimates = surround_mean(batch.noisy), outputs[:, channels + count :]
        share = self._impulses(estimates, batch)
        if share is None:
            mean = around + outputs[:, :channels]
            return Prior(mean, root, self._noise_variance(mean, estimates, batch))
        mean = impulses.centred(around, share.detach()) + outputs[:, :channels]
        return Prior(mean, root, torch.full_like(mean, KEPT_VARIANCE), share)

    def _impulses(self, estimates: Tensor, batch: Batch) -> Tensor | None:
        """(B, 1, h, w) or (B, 1, 1, 1): the share of replaced pixels, None where none are."""
        if self.noise == "known":
            return None if batch.impulses is None else batch.impulses[:, None, None, None]
        return torch.sigmoid(PACE * estimates + FIRST_ESTIMATE) if self.kind == "impulse" else None

    def _noise_variance(self, mean: Tensor, estimates: Tensor, batch: Batch) -> Tensor:
        """(B, C, h, w): the diagonal of Σₙ."""
        lit = mean.detach().clamp(min=0)
        shot, read = batch.shot_noise[..., None, None], batch.read_noise[..., None, None]
        if self.noise == "known":
            return shot * lit + read + 0.375 * shot.square()  # the photon or so of dark places, as elsewhere
        deviation = F.softplus(PACE * estimates + FIRST_ESTIMATE) + SMALLEST_DEVIATION
        learned = deviation.square()  # (B, estimates, h, w)
        if self.kind == "gaussian":
            return learned.expand_as(mean)
        poisson = learned[:, :1] * lit.clamp(min=SMALLEST_DEVIATION)
        return poisson if self.kind == "poisson" else poisson + learned[:, 1:]


def estimates_of(noise: NoiseParameters, kind: NoiseKind) -> int:
    """How many parameters of the noise are learned."""
    if noise == "known":
        return 0
    return 2 if kind == "poisson-gaussian" else 1


def covariance_channels(channels: int, covariance: Covariance) -> int:
    """Outputs that tell the prior's covariance.

    >>> [covariance_channels(4, kind) for kind in ("full", "diagonal", "none")]
    [10, 4, 0]
    """
    return {"full": channels * (channels + 1) // 2, "diagonal": channels, "none": 0}[covariance]


def output_channels(
    channels: int, covariance: Covariance = "full", noise: NoiseParameters = "known", kind: NoiseKind = "gaussian"
) -> int:
    """Outputs that the network needs.

    >>> output_channels(4), output_channels(3, "diagonal", "variable")
    (14, 7)
    """
    return channels + covariance_channels(channels, covariance) + estimates_of(noise, kind)


def covariance_root(outputs: Tensor, channels: int, covariance: Covariance) -> Lower:
    """A of Σₓ = A·Aᵀ; its diagonal begins at `FIRST_SPREAD`.

    Args:
        outputs: (B, covariance_channels, h, w).
        channels: C.
        covariance: Which entries the outputs are, row by row.
    """
    planes = iter(outputs.unbind(dim=1))
    nothing = outputs.new_zeros(())
    root: Lower = []
    for i in range(channels):
        before = [next(planes) if covariance == "full" else nothing for _ in range(i)]
        root.append([*before, FIRST_SPREAD + next(planes) if covariance != "none" else nothing])
    return root


def total_covariance(prior: Prior) -> Lower:
    """The lower half of Σₓ + Σₙ."""
    total = times_own_transpose(prior.root)
    for i, noise in enumerate(prior.noise.unbind(dim=1)):
        total[i][i] = total[i][i] + noise
    return total


def negative_log_likelihood(noisy: Tensor, prior: Prior) -> Tensor:
    """−ln N(y; μ, Σₓ + Σₙ) of every pixel, without the constant C/2 · ln 2π; of impulses see `impulses.py`.

    Args:
        noisy: y, (B, C, h, w).
        prior: μ, A and Σₙ, or α.

    Returns:
        (B, h, w).
    """
    total = total_covariance(prior)
    if prior.impulses is not None:
        return impulses.negative_log_likelihood(noisy, prior.mean, total, prior.impulses)
    return negative_log_normal(noisy - prior.mean, total)


def posterior_mean(noisy: Tensor, prior: Prior) -> Tensor:
    """E[x | y] = μ + Σₓ (Σₓ + Σₙ)⁻¹ (y − μ) of every pixel, (B, C, h, w); of impulses see `impulses.py`."""
    total = total_covariance(prior)
    if prior.impulses is not None:
        return impulses.posterior_mean(noisy, prior.mean, total, prior.impulses)
    factor = cholesky(total)
    solved = solve_upper(factor, solve_lower(factor, list((noisy - prior.mean).unbind(dim=1))))
    return prior.mean + torch.stack(times(prior.root, times_transposed(prior.root, solved)), dim=1)
