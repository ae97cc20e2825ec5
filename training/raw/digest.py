"""The fingerprints by which readers notice that a DNG's mosaic was changed or damaged.

In the flow: write_dng stores NewRawImageDigest; read_raw, as Adobe's software does, compares whichever the file has.

Source: DNG specification 1.4, NewRawImageDigest (tag 51111): MD5 of the MD5s of 256×256 tiles in raster order, the
tiles at the border cut off, each number little-endian, of one byte where the file's numbers have at most 8 bits. Its
predecessor RawImageDigest (50972): MD5 of all rows, each number in 16 bits, little-endian.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TILE = 256


def new_raw_image_digest(mosaic: NDArray[np.uint16], bits: int) -> bytes:
    """The fingerprint of a mosaic, as the DNG specification defines it.

    Args:
        mosaic: (H, W) uint16, the full frame as the file stores it.
        bits: BitsPerSample of the file.

    Returns:
        16 bytes.
    """
    height, width = mosaic.shape
    stored = "u1" if bits <= 8 else "<u2"
    whole = hashlib.md5(usedforsecurity=False)
    for row in range(0, height, _TILE):
        for column in range(0, width, _TILE):
            tile = mosaic[row : row + _TILE, column : column + _TILE].astype(stored)
            whole.update(hashlib.md5(tile.tobytes(), usedforsecurity=False).digest())
    return whole.digest()


def raw_image_digest(mosaic: NDArray[np.uint16]) -> bytes:
    """The fingerprint that files had before DNG 1.4.

    Args:
        mosaic: (H, W) uint16, the full frame as the file stores it.

    Returns:
        16 bytes.
    """
    return hashlib.md5(np.ascontiguousarray(mosaic, "<u2").data, usedforsecurity=False).digest()
