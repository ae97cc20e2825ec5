"""Packed raw data as pictures to look at: half size, grey balanced, brightened, all of a row alike."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.raw.cells import CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GAP = 4
"""White pixels between two pictures."""


def side_by_side(stages: Sequence[NDArray[np.float32]], reference: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Stages of one picture in a row.

    Args:
        stages: Each (4, h, w) linear, channels R Gr Gb B.
        reference: (4, h, w); balance and exposure are taken from it, the same for all.

    Returns:
        (h, w of all and their gaps, 3) uint8.
    """
    shown = _colours(reference)
    balance = shown.mean() / np.maximum(shown.mean(axis=(0, 1)), 1e-6)
    exposure = 0.9 / max(float(np.quantile(shown * balance, 0.99)), 1e-6)
    gap = np.ones((shown.shape[0], GAP, 3))
    row: list[NDArray[np.floating]] = []
    for stage in stages:
        row += [np.clip(_colours(stage) * balance * exposure, 0, 1) ** (1 / 2.2), gap]
    picture: NDArray[np.uint8] = np.rint(np.concatenate(row[:-1], axis=1) * 255).astype(np.uint8)
    return picture


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """(h, w, 3) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def encode_webp(picture: NDArray[np.uint8], quality: int = 80) -> bytes:
    """(h, w, 3) as a WebP file without metadata; `quality` 0 … 100."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def encode_jpeg(picture: NDArray[np.uint8], quality: int = 90) -> bytes:
    """(h, w, 3) as a JPEG file without metadata, its colours at full size; ten times as quick as a WebP file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _colours(packed: NDArray[np.float32]) -> NDArray[np.floating]:
    """(h, w, 3): of each colour the mean over the cell. Without colour filters four planes are as grey as they were."""
    cell = CELLS["x-trans" if len(packed) == CELLS["x-trans"].channels else "bayer"]
    return np.stack([packed[list(cell.planes_of(colour))].mean(axis=0) for colour in "RGB"], axis=-1)
