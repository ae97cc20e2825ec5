"""Stein's unbiased risk estimate: a denoiser's mean squared error from the noisy picture alone.

For noise n of variance v and y = x + n, E[(f(y) − x)²] = E[(f(y) − y)²] − v + 2 E[n f(y)], and for Gaussian noise
Stein's lemma says E[n f(y)] = v E[∂f/∂y]. The derivative is probed with a random b of mean 0 and unit variance:
∂f_i/∂y_i ≈ b_i (f(y + εb) − f(y))_i / ε in the mean.

    SURE_i = (f(y)_i − y_i)² − v_i + 2 v_i b_i (f(y + ε σ b) − f(y))_i / (ε σ_i),    σ_i = √v_i

The variance of Poisson-Gaussian noise depends on the signal; the lemma is then a first-order approximation, with v_i
taken at an estimate of the signal. With long tails it is wrong: an outlier that a denoiser keeps costs nothing.

Source: Stein, "Estimation of the Mean of a Multivariate Normal Distribution", Annals of Statistics 9(6), 1981; Ramani,
Blu, Unser, "Monte-Carlo SURE", IEEE TIP 17(9), 2008, section II.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

STEP = 0.1
"""ε: small against the noise, large against the rounding of 16-bit multiplications."""


def stein_risk(
    denoise: Callable[[NDArray[np.floating]], NDArray[np.floating]],
    noisy: NDArray[np.floating],
    denoised: NDArray[np.floating],
    variance: NDArray[np.floating],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Estimate the squared error of every pixel.

    Args:
        denoise: f.
        noisy: y, any shape.
        denoised: f(y).
        variance: v, the same shape.
        rng: Draws b.

    Returns:
        The same shape; unbiased in the mean, and far from it in a single pixel.
    """
    deviation = np.sqrt(variance)
    probe = rng.choice(np.array([-1.0, 1.0]), noisy.shape)
    moved = denoise((noisy + STEP * deviation * probe).astype(noisy.dtype))
    slope = probe * (moved.astype(np.float64) - denoised) / (STEP * deviation)
    return np.asarray(np.square(denoised.astype(np.float64) - noisy) - variance + 2 * variance * slope)
