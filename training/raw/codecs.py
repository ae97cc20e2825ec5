"""The pixel codecs of a DNG's chunks: packed integers and lossless JPEG ("LJ92").

The only file that imports imagecodecs. Decoding runs in `sandbox.py`, never on an upload in a serving process.

In the flow: read_raw decodes each strip or tile here; write_dng encodes each tile here.

Source: ITU-T T.81 annex H (lossless JPEG, SOF3); DNG specification 1.4, chapter 3 "Compression": a Bayer tile of h×w is
coded as h×(w/2) with two components, so that each sample is predicted from one of its own colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from training.errors import UnreadableRawError
from training.raw.jpeg import parse_jpeg_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray


_END_OF_IMAGE = b"\xff\xd9"
"""A marker; inside coded numbers 0xFF is always followed by 0."""


def load_codecs() -> None:
    """Load what imagecodecs would load on first use, before a limit on open files forbids it."""
    _ = imagecodecs.jpeg8_decode, imagecodecs.packints_decode


def decode_ljpeg(data: bytes, samples: int) -> NDArray[np.uint16]:
    """Decode a lossless JPEG.

    Args:
        data: The whole chunk.
        samples: How many numbers it has to give.

    Returns:
        (samples,) uint16 in the order of the stream, which is raster order of the chunk.

    Raises:
        UnreadableRawError: Corrupt, cut off, or of another size.
    """
    frame = parse_jpeg_frame(data)
    if frame.samples != samples:
        raise UnreadableRawError(f"a chunk of the mosaic claims {frame.samples} samples, wanted {samples}")
    if _END_OF_IMAGE not in data:  # the decoder would make up what is missing
        raise UnreadableRawError("a chunk of the mosaic is cut off")
    try:
        decoded = imagecodecs.jpeg8_decode(data, colorspace="UNKNOWN", outcolorspace="UNKNOWN")
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise UnreadableRawError("a chunk of the mosaic cannot be decoded", detail=str(error)) from error
    return np.ascontiguousarray(decoded).reshape(-1).astype(np.uint16, copy=False)


def encode_ljpeg(tile: NDArray[np.uint16], bits: int) -> bytes:
    """Encode a tile of a Bayer mosaic as lossless JPEG: two components, predictor 1.

    Args:
        tile: (h, w) uint16, w even, every value below 2 ** bits.
        bits: Sample precision written into the frame header, 2 … 16.
    """
    height, width = tile.shape
    numbers = np.ascontiguousarray(tile, dtype=np.uint8 if bits <= 8 else np.uint16)
    pairs = numbers.reshape(height, width // 2, 2)  # (h, w/2, 2)
    encoded = imagecodecs.jpeg8_encode(
        pairs, colorspace="UNKNOWN", outcolorspace="UNKNOWN", lossless=True, predictor=1, bitspersample=bits
    )
    return bytes(encoded)


def decode_packed(data: bytes, shape: tuple[int, int], bits: int, byte_order: str) -> NDArray[np.uint16]:
    """Decode uncompressed numbers of 8 … 16 bits.

    Numbers of 8 bits are bytes, of 16 bits follow the file's byte order; others are packed from the most significant
    bit on, whatever the byte order, and each row begins on a whole byte (TIFF 6.0, FillOrder 1).

    Args:
        data: Exactly the rows' bytes.
        shape: (rows, columns).
        bits: Bits of a number, 8 … 16.
        byte_order: "<" or ">".

    Returns:
        (rows, columns) uint16.
    """
    height, width = shape
    row_bytes = (width * bits + 7) // 8
    if len(data) != height * row_bytes:
        raise UnreadableRawError(f"a chunk of the mosaic has {len(data)} bytes, wanted {height * row_bytes}")
    if bits in {8, 16}:
        dtype = np.dtype("u1") if bits == 8 else np.dtype(byte_order + "u2")
        return np.frombuffer(data, dtype).reshape(shape).astype(np.uint16)
    numbers = imagecodecs.packints_decode(data, np.uint16, bits, runlen=width)
    return np.asarray(numbers, dtype=np.uint16).reshape(shape)
