"""What a file's smallest number does to noise: signal and noise behind values that were cut off at black.

In the flow: patches → **behind_clip** → noise estimation.

Source: mean and variance of a Gaussian censored at one side (Tobin, "Estimation of Relationships for Limited Dependent
Variables", Econometrica 26, 1958); for raws: Foi, "Clipped Noisy Images", Signal Processing 89, 2009.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FARTHEST = 8.0
"""Standard deviations above the clip from which nothing is cut off."""
_NEAREST = -1.0


class BehindClip(NamedTuple):
    """What lies behind clipped values."""

    signal: NDArray[np.floating]
    """The mean before clipping."""
    left: NDArray[np.floating]
    """The share of the variance that clipping left."""


def clipped_moments(distance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of max(z, 0), z a Gaussian of unit variance around `distance`.

    >>> [value.round(4).tolist() for value in clipped_moments(np.array([0.0, 8.0]))]
    [[0.3989, 8.0], [0.3408, 1.0]]
    """
    density = np.exp(-np.square(distance) / 2) / np.sqrt(2 * np.pi)
    below = np.array([math.erfc(-step) / 2 for step in distance / np.sqrt(2)])  # importing SciPy's takes half a second
    mean = distance * below + density
    return mean, (np.square(distance) + 1) * below + distance * density - np.square(mean)


def behind_clip(means: NDArray[np.floating], shot: float, read: float, black_clip: float) -> BehindClip:
    """Find the signal behind means of clipped noise of a known model, and how much of its variance is left.

    Args:
        means: Of pixels that were cut off at `black_clip`.
        shot: Shot noise of the model.
        read: Read noise of the model, a variance.
        black_clip: The smallest value that the file can hold; −∞ for no clipping.
    """
    if not np.isfinite(black_clip):
        return BehindClip(means, np.ones_like(means))
    reach = _FARTHEST * np.sqrt(read) + _FARTHEST**2 * shot
    steps = np.linspace(0, 1, 400) ** 2
    signal = black_clip + _NEAREST * np.sqrt(read) + steps * (reach - _NEAREST * np.sqrt(read))
    deviation = np.sqrt(shot * np.maximum(signal, 0) + read)
    mean, left = clipped_moments((signal - black_clip) / deviation)
    seen = np.maximum.accumulate(black_clip + deviation * mean)
    return BehindClip(
        np.where(means < seen[-1], np.interp(means, seen, signal), means), np.interp(means, seen, left, right=1.0)
    )
