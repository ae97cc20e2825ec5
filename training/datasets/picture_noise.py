"""The noises that papers give photographs as they are: known, and either of one strength or of strengths in a range.

Gaussian and Poisson noise are of our own noise model: variance = shot · x + read on a signal from 0 to 1. Gaussian
noise of σ (in steps of 8 bits) has read = (σ/255)²; Poisson noise of λ photons at white has shot = 1/λ. Impulses are
another kind: a share α of the pixels is replaced, in all channels at once, by colours uniform in [0, 1]³.

Source: Laine et al., "High-Quality Self-Supervised Deep Image Denoising", NeurIPS 2019, section 4; Huang et al.,
"Neighbor2Neighbor", CVPR 2021, section 4.2, with the same four but for the impulses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NoiseKind = Literal["gaussian", "poisson", "poisson-gaussian", "impulse"]
"""Read noise, shot noise, both as in raws, or pixels that are replaced."""


class NoiseLevel(NamedTuple):
    """How much noise a picture has."""

    shot_noise: float = 0.0
    """Variance per unit of signal."""
    read_noise: float = 0.0
    """Variance at black."""
    impulses: float = 0.0
    """Share of the pixels that are replaced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureNoise:
    """One kind of noise."""

    words: str
    kind: NoiseKind
    low: float
    """The least strength: σ in steps of 8 bits, λ photons at white, or α."""
    high: float

    def draw_level(self, rng: np.random.Generator) -> NoiseLevel:
        """The noise of a picture, its strength uniform in the range."""
        strength = self.low if self.low == self.high else float(rng.uniform(self.low, self.high))
        if self.kind == "impulse":
            return NoiseLevel(impulses=strength)
        return NoiseLevel(read_noise=(strength / 255) ** 2) if self.kind == "gaussian" else NoiseLevel(1 / strength)


PICTURE_NOISE = {
    "gauss25": PictureNoise(words="Gaussian, σ = 25", kind="gaussian", low=25, high=25),
    "gauss5_50": PictureNoise(words="Gaussian, σ from 5 to 50", kind="gaussian", low=5, high=50),
    "poisson30": PictureNoise(words="Poisson, λ = 30", kind="poisson", low=30, high=30),
    "poisson5_50": PictureNoise(words="Poisson, λ from 5 to 50", kind="poisson", low=5, high=50),
    "impulse": PictureNoise(words="impulses, α = 0.5", kind="impulse", low=0.5, high=0.5),
}


def add_picture_noise(clean: NDArray[np.float32], level: NoiseLevel, rng: np.random.Generator) -> NDArray[np.float32]:
    """A picture with such noise, neither rounded nor clipped, as the papers train and judge on it.

    Args:
        clean: (C, h, w), 0 … 1.
        level: How much.
        rng: Draws it.
    """
    if level.impulses:
        replaced = rng.random(clean.shape[1:]) < level.impulses  # (h, w), in all channels at once
        return np.where(replaced, rng.random(clean.shape), clean).astype(np.float32)
    counted = level.shot_noise * rng.poisson(clean / level.shot_noise) if level.shot_noise else clean
    read = np.sqrt(level.read_noise) * rng.standard_normal(clean.shape) if level.read_noise else 0.0
    return (counted + read).astype(np.float32)
