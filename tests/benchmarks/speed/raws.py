"""Raws of any size to measure on: 14 bits, lossless JPEG tiles, ramps with noise.

`python -m benchmarks.speed.raws FOLDER MEGAPIXELS` makes one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from dng_factory import make_dng

SIZES = {
    2: (1224, 1632),
    9: (2600, 3464),
    12: (3000, 4000),
    24: (4000, 6000),
    50: (6144, 8192),
    100: (8736, 11648),
}
"""Rows and columns of so many megapixels, as cameras have them."""
SHOT_NOISE, READ_NOISE = 2e-4, 1e-6
BLACK, WHITE = 512, 16383
_BAND = 256


def make_raw(folder: Path, megapixels: int) -> Path:
    """A DNG of that size, the same each time."""
    height, width = SIZES[megapixels]
    mosaic = np.empty((height, width), dtype=np.uint16)
    rng = np.random.default_rng(0)
    columns = np.linspace(0, 1, width, dtype=np.float32)
    for top in range(0, height, _BAND):
        rows = np.linspace(0.3, 1, height, dtype=np.float32)[top : top + _BAND, None]
        signal = 0.02 + 0.5 * columns * rows
        deviation = np.sqrt(SHOT_NOISE * signal + READ_NOISE)
        noisy = signal + deviation * rng.standard_normal(signal.shape, dtype=np.float32)
        mosaic[top : top + _BAND] = np.clip(np.rint(BLACK + noisy * (WHITE - BLACK)), 0, WHITE)
    return make_dng(
        folder / f"{megapixels}.dng", mosaic, bits=14, layout="ljpeg-tiles", tile_shape=(256, 256), black_level=BLACK
    )


if __name__ == "__main__":
    make_raw(Path(sys.argv[1]), int(sys.argv[2]))
