"""The halo that is served: the smallest whose seams nobody can measure.

A halo as wide as the receptive field makes tiled output equal to whole-image output, at the price of computing half of
the picture twice. Distant pixels hardly matter, so a narrower one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.datasets.synthetic import add_noise, typical_read_noise
from training.denoise import run_tiled
from training.metrics import psnr
from training.noise import NoiseModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.engines.base import Engine

LEVELS = (2e-5, 5e-4, 8e-3)
HALOS = (8, 16, 24, 32, 48, 64, 96, 128)
MAX_DEVIATIONS = 0.02
MAX_DECIBELS = 0.001


def served_halo(engine: Engine, pictures: Sequence[NDArray[np.float32]]) -> int:
    """The smallest halo that changes no picture by more than 0.02 standard deviations (rms at the seams) or 0.001 dB.

    Args:
        engine: The model, in float32.
        pictures: Clean (4, h, w) signals, larger than a tile.

    Returns:
        Packed pixels; the receptive field where nothing less will do.
    """
    for halo in HALOS:
        if all(_is_seamless(engine, halo, clean, level) for clean in pictures for level in LEVELS):
            return halo
    return engine.manifest.receptive_field


def _is_seamless(engine: Engine, halo: int, clean: NDArray[np.float32], shot_noise: float) -> bool:
    noise = NoiseModel.uniform(shot_noise=shot_noise, read_noise=typical_read_noise(shot_noise))
    noisy = add_noise(clean, shot_noise, noise.read_noise[0], np.random.default_rng(0))
    stride = engine.manifest.stride
    whole_size, tile_size = (-(-size // stride) * stride for size in (max(noisy.shape[1:]), 256 + 2 * halo))
    whole = run_tiled(noisy, engine, noise, tile=whole_size, halo=0)
    tiled = run_tiled(noisy, engine, noise, tile=tile_size, halo=halo)
    deviations = (tiled - whole) / np.sqrt(noise.variance(clean))
    touched = deviations[np.abs(deviations) > 1e-4]  # what is far from every seam is equal
    seam = float(np.sqrt(np.mean(np.square(touched)))) if touched.size else 0.0
    return seam <= MAX_DEVIATIONS and abs(psnr(tiled, clean) - psnr(whole, clean)) <= MAX_DECIBELS
