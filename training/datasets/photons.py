"""Noise for training patches, drawn several times faster than NumPy counts photons.

Few photons are counted. Many, together with the noise of reading them out, are one number of the normal distribution,
bent until mean, variance and skewness are those of the sum; that photons are whole cannot be seen where they are many.
What models are judged on is counted photon by photon, in `synthetic.add_noise`.

Source: the expansion of Cornish and Fisher, "Moments and Cumulants in the Specification of Distributions", Revue de
l'Institut International de Statistique 5(4), 1938, to its second term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANY_PHOTONS = 12
"""From here on the excess kurtosis of a Poisson distribution, 0.08, is met within 0.03."""


def draw_noisy(
    clean: NDArray[np.float32], shot_noise: float, read_noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A signal with the noise of its photons (Poisson) and of reading it out (Gaussian); not clipped.

    Many photons are x + a z + b (z² − 1), with b = shot² x / 6 (shot x + read) and a² = shot x + read − 2b²: their
    variance is a² + 2b², and their third cumulant 6a²b + 8b³ is that of the sum, shot² x, but for 4b³.

    Args:
        clean: Any shape, linear; below 0 there are no photons.
        shot_noise: Variance per unit of signal, above 0.
        read_noise: Variance at black.
        rng: Draws it.

    Returns:
        Of the same shape, float32.
    """
    shot, read = np.float32(shot_noise), np.float32(read_noise)
    z = rng.standard_normal(clean.shape, dtype=np.float32)
    signal = np.maximum(clean, 0)
    few = signal < MANY_PHOTONS * shot
    variance = shot * signal + read
    bend = (shot * shot / 6) * signal
    bend /= variance + np.float32(np.finfo(np.float32).tiny)  # black, and read out without noise: 0 / 0
    noisy: NDArray[np.float32] = np.sqrt(np.maximum(variance - 2 * np.square(bend), 0)) * z
    np.square(z, out=z)
    z -= 1
    noisy += bend * z
    noisy += signal
    dark = signal[few]
    noisy[few] = shot * rng.poisson(dark / shot) + np.sqrt(read) * rng.standard_normal(dark.shape, dtype=np.float32)
    return noisy
