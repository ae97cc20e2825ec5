"""The halo that is served: the smallest whose seams nobody can measure.

A halo as wide as the receptive field makes tiled output equal to whole-image output, at the price of computing half of
the picture twice. Distant pixels hardly matter, so a narrower one does.
"""

from __future__ import annotations

import logging
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

_log = logging.getLogger(__name__)

LEVELS = (2e-5, 5e-4, 8e-3)
CORE = 256
"""Photosites between seams, so that there are many of them."""
STEP = 32
"""Photosites by which halos grow, at least."""
SHARE = 0.9999
"""Share of a picture's pixels that the limit holds for; the largest difference among millions is chance."""
MAX_DEVIATIONS = 0.02
MAX_DECIBELS = 0.001


def served_halo(engine: Engine, pictures: Sequence[NDArray[np.float32]]) -> int:
    """The smallest halo with which no picture differs by more than 0.02 standard deviations or 0.001 dB.

    Halos are tried in steps of half a stride, because tiles begin on multiples of the stride and overlap by two halos;
    but not in steps below `STEP`, for networks that take any size.

    Args:
        engine: The model, in float32.
        pictures: Clean (4, h, w) signals, packed by the model's cell; those too small for a halo's seams are left out.

    Returns:
        Packed pixels; the receptive field where nothing less will do, or no picture is large enough to show that.
    """
    side, unit = engine.manifest.cell.side, max(engine.manifest.stride // 2, 1)
    step = -(-STEP // (side * unit)) * unit
    for halo in range(step, engine.manifest.receptive_field, step):
        smallest = 2 * (
            CORE // side + halo
        )  # in one that holds less than two cores, tiles overlap by more than two halos
        pictures = [clean for clean in pictures if min(clean.shape[1:]) >= smallest]
        if not pictures:
            _log.warning(
                "no picture has %d×%d pixels, to judge a halo of %d by: the receptive field of %d is served",
                *(side * smallest, side * smallest, halo, engine.manifest.receptive_field),
            )
            break
        if all(is_seamless(engine, halo, clean, level) for clean in pictures for level in LEVELS):
            return halo
    return engine.manifest.receptive_field


def is_seamless(engine: Engine, halo: int, clean: NDArray[np.float32], shot_noise: float) -> bool:
    """Whether a halo's seams stay below the limits on one clean (4, h, w) signal at one noise level."""
    cell = engine.manifest.cell
    noise = NoiseModel.uniform(shot_noise=shot_noise, read_noise=typical_read_noise(shot_noise))
    noisy = add_noise(clean, shot_noise, noise.read_noise[0], np.random.default_rng(0))
    stride = engine.manifest.stride
    whole_size, tile_size = (
        -(-size // stride) * stride for size in (max(noisy.shape[1:]), CORE // cell.side + 2 * halo)
    )
    whole = run_tiled(noisy, engine, noise, tile=whole_size, halo=0)
    tiled = run_tiled(noisy, engine, noise, tile=tile_size, halo=halo)
    deviations = np.abs(tiled - whole) / np.sqrt(noise.variance(clean, cell))
    decibels = abs(psnr(tiled, clean) - psnr(whole, clean))
    return bool(np.quantile(deviations, SHARE) <= MAX_DEVIATIONS) and decibels <= MAX_DECIBELS
