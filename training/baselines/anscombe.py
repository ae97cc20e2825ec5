"""The generalised Anscombe transform, and the way back that leaves no bias.

In photons p = signal / shot noise, read noise has the variance σ² = read / shot². The transform 2·√(p + 3/8 + σ²) gives
noise of nearly unit variance. A mean of stabilised values is not the stabilised mean, so its algebraic inverse would
darken shadows; the exact unbiased inverse maps the *expectation* of the stabilised value back to the signal.

Source: Mäkitalo and Foi, "Optimal Inversion of the Generalized Anscombe Transformation for Poisson-Gaussian Noise",
IEEE TIP 22(1), 2013, equations 1 and 10 (the closed-form approximation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.raw.cells import CELLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.raw.cells import Cell

SMALLEST_SHOT = 1e-9
"""Noise without photons is treated as having a few: the transform is then as good as a division."""


def stabilise(packed: NDArray[np.floating], noise: NoiseModel, cell: Cell = CELLS["bayer"]) -> NDArray[np.float64]:
    """Give the noise unit variance.

    Args:
        packed: (4, h, w) linear signal, not clipped, channels R Gr Gb B; or the (3, h, w) of a picture.
        noise: Its noise; a picture's is the same in all channels.
        cell: What it is packed by, where that is not Bayer's.

    Returns:
        The same shape, float64.
    """
    shot, variance = _photon_units(noise, cell, len(packed))
    return np.asarray(2 * np.sqrt(np.maximum(packed / shot + 3 / 8 + variance, 0)))


def unstabilise(
    stabilised: NDArray[np.floating], noise: NoiseModel, cell: Cell = CELLS["bayer"]
) -> NDArray[np.float64]:
    """The linear signal whose noisy values have these stabilised means.

    Args:
        stabilised: (4, h, w) denoised values of `stabilise`.
        noise: The noise that they had.
        cell: What it is packed by, where that is not Bayer's.

    Returns:
        (4, h, w) float64, linear, at least 0.
    """
    shot, variance = _photon_units(noise, cell, len(stabilised))
    mean = np.maximum(stabilised, 2 * np.sqrt(3 / 8))  # smaller ones stand for no light, where the series diverges
    root = np.sqrt(3 / 2)
    photons = mean**2 / 4 + root / (4 * mean) - 11 / (8 * mean**2) + 5 * root / (8 * mean**3) - 1 / 8 - variance
    return np.asarray(np.maximum(photons, 0) * shot)


def denoise_stabilised(
    packed: NDArray[np.float32],
    noise: NoiseModel,
    denoise: Callable[[NDArray[np.float64]], NDArray[np.floating]],
    cell: Cell = CELLS["bayer"],
) -> NDArray[np.float32]:
    """Run a method for white Gaussian noise of unit variance on (4, h, w) stabilised planes."""
    return unstabilise(denoise(stabilise(packed, noise, cell)), noise, cell).astype(np.float32)


def _photon_units(noise: NoiseModel, cell: Cell, planes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(planes, 1, 1) each: the signal of one photon, and the variance of the read noise in photons."""
    shot, read = noise.of_planes(cell)[:, :planes, None, None]
    shot = np.maximum(shot, SMALLEST_SHOT)
    return shot, read / shot**2
