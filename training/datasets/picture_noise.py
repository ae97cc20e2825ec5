"""The noises that papers give photographs as they are: known, and either of one strength or of strengths in a range.

Each is one of our own noise model: variance = shot · x + read on a signal from 0 to 1. Gaussian noise of σ (in steps of
8 bits) has read = (σ/255)²; Poisson noise of λ photons at white has shot = 1/λ.

Source: Laine et al., "High-Quality Self-Supervised Deep Image Denoising", NeurIPS 2019, section 4; Huang et al.,
"Neighbor2Neighbor", CVPR 2021, section 4.2, with the same four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureNoise:
    """One kind of noise."""

    words: str
    gaussian: bool
    """Gaussian, its strength σ in steps of 8 bits; or Poisson, its strength λ photons at white."""
    low: float
    high: float

    def draw_levels(self, rng: np.random.Generator) -> tuple[float, float]:
        """Shot and read noise of a picture, its strength uniform in the range."""
        strength = self.low if self.low == self.high else float(rng.uniform(self.low, self.high))
        return (0.0, (strength / 255) ** 2) if self.gaussian else (1 / strength, 0.0)


PICTURE_NOISE = {
    "gauss25": PictureNoise(words="Gaussian, σ = 25", gaussian=True, low=25, high=25),
    "gauss5_50": PictureNoise(words="Gaussian, σ from 5 to 50", gaussian=True, low=5, high=50),
    "poisson30": PictureNoise(words="Poisson, λ = 30", gaussian=False, low=30, high=30),
    "poisson5_50": PictureNoise(words="Poisson, λ from 5 to 50", gaussian=False, low=5, high=50),
}


def add_picture_noise(
    clean: NDArray[np.float32], shot_noise: float, read_noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A picture with such noise, neither rounded nor clipped, as the papers train and judge on it.

    Args:
        clean: Any shape, 0 … 1.
        shot_noise: 0, or 1/λ.
        read_noise: 0, or (σ/255)².
        rng: Draws it.
    """
    counted = shot_noise * rng.poisson(clean / shot_noise) if shot_noise else clean
    read = np.sqrt(read_noise) * rng.standard_normal(clean.shape) if read_noise else 0.0
    return (counted + read).astype(np.float32)
