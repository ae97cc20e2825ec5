"""The tails of read noise: how much heavier than a Gaussian's, as one number, Tukey's λ.

Sensors' read noise often has more outliers than a Gaussian of the same variance. λ ≈ 0.14 is about Gaussian, 0 is
logistic, and below 0 tails grow heavy; above −1/4 the fourth moment exists.

In the flow: flat blocks → **fit_tail** → noise that is added in training and in judging.

Source: Wei et al., "A Physics-based Noise Formation Model for Extreme Low-light Raw Denoising", CVPR 2020, section 3,
who find Tukey's lambda in read noise. The measure of a tail, mean deviation over standard deviation, is from Geary,
"The Ratio of the Mean Deviation to the Standard Deviation as a Test of Normality", Biometrika 27, 1935: unlike a fourth
moment it is known well from few outliers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

HEAVIEST, LIGHTEST = -0.24, 0.14
GAUSSIAN_FROM = 0.08
"""λ from which the noise counts as Gaussian."""
MIN_SHARE = 0.2
"""Share of the read noise in the variance that a block must have, or its shape says nothing of read noise."""
MIN_BLOCKS = 200
MAX_BLOCKS = 8_000
_TERMS = 3
"""A parabola is taken out of every block, before its noise is looked at."""


def tukey_deviation(tail: float) -> float:
    """The standard deviation of Tukey's lambda distribution, whose quantile function is (pᵏ − (1 − p)ᵏ) / k, k = λ.

    Args:
        tail: λ, above −1/2 and not 0.

    >>> round(tukey_deviation(1.0) ** 2, 6)  # evenly distributed between −1 and 1
    0.333333
    """
    spread = 1 / (1 + 2 * tail) - math.gamma(tail + 1) ** 2 / math.gamma(2 * tail + 2)
    return math.sqrt(2 * spread) / abs(tail)


def fit_tail(
    blocks: NDArray[np.float32], shot_noise: NDArray[np.float64], read_noise: NDArray[np.float64]
) -> float | None:
    """Find the λ with which photons and read noise have the tails that flat blocks show.

    Args:
        blocks: (n, 8, 8) linear signal with nothing but noise in it.
        shot_noise: (n,) of each block.
        read_noise: (n,).

    Returns:
        λ; None for Gaussian tails, or where too few blocks are dark enough to tell.
    """
    level = np.maximum(blocks.mean(axis=(1, 2)), 0)
    variance = shot_noise * level + read_noise
    known = np.flatnonzero(read_noise >= MIN_SHARE * variance)
    if len(known) < MIN_BLOCKS:
        return None
    known = known[:: -(-len(known) // MAX_BLOCKS)]
    shot_noise = np.maximum(shot_noise, 1e-9)
    shot, read, variance, level = (values[known][:, None, None] for values in (shot_noise, read_noise, variance, level))
    wanted = geary_ratio(blocks[known] / np.sqrt(variance))

    def ratio(tail: float) -> float:
        """Of blocks made with this tail, by the same draws for every one."""
        rng = np.random.default_rng(0)
        shares = rng.uniform(1e-12, 1 - 1e-12, blocks[known].shape)
        counted = shot * rng.poisson(np.broadcast_to(level / shot, shares.shape)) - level  # few photons have tails, too
        quantiles = (shares**tail - (1 - shares) ** tail) / (tail * tukey_deviation(tail))
        return geary_ratio((counted + np.sqrt(read) * quantiles) / np.sqrt(variance))

    tail = _bisect(ratio, wanted)
    return None if tail >= GAUSSIAN_FROM else round(tail, 3)


def _bisect(ratio: Callable[[float], float], wanted: float) -> float:
    """The λ whose ratio is the one wanted; the ratio grows with λ."""
    low, high = HEAVIEST, LIGHTEST
    for _ in range(8):
        middle = (low + high) / 2
        middle = middle if abs(middle) > 1e-4 else 1e-4  # the formula has a gap at 0
        low, high = (middle, high) if ratio(middle) < wanted else (low, middle)
    return (low + high) / 2


def geary_ratio(blocks: NDArray[np.floating]) -> float:
    """Mean deviation over standard deviation of what is left of blocks without a parabola; 0.798 for Gaussian noise."""
    rest = detrended(blocks)
    return float(np.abs(rest).mean() / np.sqrt(np.square(rest).mean()))


def detrended(blocks: NDArray[np.floating]) -> NDArray[np.floating]:
    """(n, 8, 8) blocks without the parabola that fits each best."""
    size = blocks.shape[-1]
    flat: NDArray[np.floating] = blocks.reshape(len(blocks), size * size) @ detrending(size)
    return flat.reshape(blocks.shape)


def detrending(size: int) -> NDArray[np.float64]:
    """(size², size²) the projection that takes a parabola out of a block."""
    row, column = (axis.ravel() for axis in np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j])
    powers = [(a, b) for a in range(_TERMS) for b in range(_TERMS - a)]
    basis, _ = np.linalg.qr(np.stack([row**a * column**b for a, b in powers], axis=1))
    return np.asarray(np.eye(size * size) - basis @ basis.T)
