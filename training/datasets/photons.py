"""Noise for training patches, drawn several times faster than NumPy counts photons.

Few photons are counted. Many are drawn from the normal distribution, bent until variance and skewness are a Poisson
distribution's; that they are no whole numbers cannot be seen beside any read noise.
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

    Args:
        clean: Any shape, linear; below 0 there are no photons.
        shot_noise: Variance per unit of signal.
        read_noise: Variance at black.
        rng: Draws it.

    Returns:
        Of the same shape, float32.
    """
    noisy = np.float32(shot_noise) * draw_photons(np.maximum(clean, 0) / np.float32(shot_noise), rng)
    noisy += np.float32(read_noise**0.5) * rng.standard_normal(clean.shape, dtype=np.float32)
    return noisy


def draw_photons(expected: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """How many photons arrive where so many are expected, of the same shape; no whole numbers where they are many.

    n = λ + √(λ − 1/18) z + (z² − 1)/6 has mean and variance λ, and third cumulant λ but for 1/√λ³ of it.
    """
    z = rng.standard_normal(expected.shape, dtype=np.float32)
    few = expected < MANY_PHOTONS
    drawn = np.sqrt(np.maximum(expected - np.float32(1 / 18), 0))
    drawn *= z
    drawn += expected
    np.square(z, out=z)
    z -= 1
    z /= 6
    drawn += z
    drawn[few] = rng.poisson(expected[few])
    return drawn
