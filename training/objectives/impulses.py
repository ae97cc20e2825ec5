"""Impulse noise: what a prior of a pixel's colour says of what was measured, if it may have been replaced.

With the probability α a pixel is replaced by a colour uniform in [0, 1]^C, else it is kept as it is. Under the prior
N(μ, Σₓ) the measured colour y has the density α + (1 − α) N(y; μ, Σₓ). Training takes the normal distribution that has
this one's mean and covariance,

    m = μ + α (½ − μ),    S = (1 − α) Σₓ + α I/12 + α (1 − α) (½ − μ)(½ − μ)ᵀ,

which is best where μ and Σₓ are those of the clean colour, whatever its distribution. Denoising asks how probably the
pixel was kept, w: it is then right, and tells nothing otherwise.

    x̂ = w y + (1 − w) μ,    w = (1 − α) N(y; μ, Σₓ) / (α + (1 − α) N(y; μ, Σₓ))

Source: Laine, Karras, Lehtinen, Aila: "High-Quality Self-Supervised Deep Image Denoising", NeurIPS 2019, section 4 and
the appendix on impulse noise; the normal distribution in training is as in its authors' program
(NVlabs/selfsupervised-denoising). S is theirs, written by the law of total covariance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from training.objectives.triangular import negative_log_normal

if TYPE_CHECKING:
    from torch import Tensor

    from training.objectives.triangular import Lower

MOST = 0.95
"""Share of replaced pixels beyond which a mean of the others cannot be told any more."""


def centred(measured: Tensor, share: Tensor) -> Tensor:
    """(y − α/2) / (1 − α), whose mean is the signal.

    Args:
        measured: y, or a mean of it, (B, C, h, w).
        share: α, of a shape that fits.
    """
    replaced = share.clamp(max=MOST)
    return (measured - replaced / 2) / (1 - replaced)


def negative_log_likelihood(noisy: Tensor, mean: Tensor, kept: Lower, share: Tensor) -> Tensor:
    """−ln N(y; m, S) of every pixel, without the constant C/2 · ln 2π.

    Args:
        noisy: y, (B, C, h, w).
        mean: μ, (B, C, h, w).
        kept: The lower half of Σₓ, positive definite.
        share: α, (B, 1, h, w) or (B, 1, 1, 1).

    Returns:
        (B, h, w).
    """
    alpha, offset = share[:, 0], 0.5 - mean
    planes = offset.unbind(dim=1)
    covariance: Lower = [
        [
            (1 - alpha) * entry + alpha * (1 - alpha) * planes[i] * planes[j] + (alpha / 12 if i == j else 0)
            for j, entry in enumerate(entries)
        ]
        for i, entries in enumerate(kept)
    ]
    return negative_log_normal(noisy - mean - share * offset, covariance)


def posterior_mean(noisy: Tensor, mean: Tensor, kept: Lower, share: Tensor) -> Tensor:
    """E[x | y] = w y + (1 − w) μ of every pixel, (B, C, h, w).

    Args:
        noisy: See `negative_log_likelihood`.
        mean: See there.
        kept: See there.
        share: See there.
    """
    difference = noisy - mean
    constant = 0.5 * len(kept) * math.log(2 * math.pi)
    density = -negative_log_normal(difference, kept) - constant  # (B, h, w) ln N(y; μ, Σₓ)
    probability = torch.sigmoid(density - torch.logit(share[:, 0]))
    return mean + probability[:, None] * difference
