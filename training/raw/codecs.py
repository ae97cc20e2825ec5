"""The pixel codecs of a DNG's chunks: packed integers, lossless JPEG ("LJ92"), deflate and JPEG XL.

The only file that imports imagecodecs. Decoding runs in `sandbox.py`, never on an upload in a serving process.

In the flow: read_raw decodes each strip or tile here; `ljpeg.py` encodes.

Source: ITU-T T.81 annex H (lossless JPEG, SOF3). Deflate: RFC 1950; horizontal differencing: TIFF 6.0, section 14, and
DNG 1.4 for those two and four columns apart. JPEG XL: ISO 18181, as DNG 1.7 stores it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np

from training.errors import UnreadableRawError
from training.raw.jpeg import other_form, parse_jpeg_frame
from training.raw.ljpeg import count_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.raw.jpeg import JpegFrame, OtherForm


def load_codecs() -> None:
    """Load what imagecodecs would load on first use, before a limit on open files forbids it."""
    _ = imagecodecs.jpeg8_decode, imagecodecs.packints_decode, imagecodecs.jpegxl_decode


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
    other = other_form(data)
    numbers = _decode_jpeg(other.data)
    if not _is_complete(numbers, frame, other):
        numbers = numbers - np.uint16(other.offset)
        if not np.array_equal(numbers, _decode_jpeg(data)):
            reason = "a chunk of the mosaic is cut off or corrupt: not all of its numbers can be decoded"
            raise UnreadableRawError(reason)
    return np.ascontiguousarray(numbers).reshape(-1).astype(np.uint16, copy=False)


def _is_complete(numbers: NDArray[Any], frame: JpegFrame, other: OtherForm) -> bool:
    """Whether the other form's numbers surely were all coded, which is told in a third of the time of decoding again.

    None is made up of a code that no table has, which would show, and coded anew they take the bits that there are, but
    for the rest of the last byte: so none is made of bits beyond the end.
    """
    if other.lengths is None or numbers.dtype != np.uint16 or int(numbers.max()) >> frame.precision:
        return False
    rows = np.ascontiguousarray(numbers).reshape(frame.height, -1)
    bits = count_bits(rows, frame.precision, frame.components, other.lengths)
    return bits is not None and 0 <= other.coded_bits - bits < 8


def _decode_jpeg(data: bytes) -> NDArray[Any]:
    """(height, width) or (height, width, components): what libjpeg-turbo makes of a JPEG."""
    try:
        return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="UNKNOWN", outcolorspace="UNKNOWN"))
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise UnreadableRawError("a chunk of the mosaic cannot be decoded", detail=str(error)) from error


def decode_deflated(
    data: bytes, shape: tuple[int, int], bits: int, byte_order: str, predictor_step: int
) -> NDArray[np.uint16]:
    """Decode deflated numbers of 8 or 16 bits.

    Args:
        data: The whole chunk.
        shape: (rows, columns).
        bits: 8 or 16.
        byte_order: "<" or ">".
        predictor_step: Columns between the two numbers that were subtracted; 0 for none.

    Returns:
        (rows, columns) uint16.

    Raises:
        UnreadableRawError: Corrupt, cut off, or of another size.
    """
    wanted = shape[0] * shape[1] * bits // 8
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, wanted + 1)  # never more than that, whatever the stream holds
    except zlib.error as error:
        raise UnreadableRawError("a chunk of the mosaic cannot be inflated", detail=str(error)) from error
    if len(inflated) != wanted:
        raise UnreadableRawError(f"a chunk of the mosaic inflates to {len(inflated)} bytes or more, wanted {wanted}")
    dtype = np.dtype("u1") if bits == 8 else np.dtype(byte_order + "u2")
    numbers = np.frombuffer(inflated, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    for first in range(predictor_step):
        field = numbers[:, first::predictor_step]
        numbers[:, first::predictor_step] = np.cumsum(field, axis=1, dtype=numbers.dtype)
    return numbers.astype(np.uint16)


def decode_jpeg_xl(data: bytes, shape: tuple[int, int], bits: int) -> NDArray[np.uint16]:
    """Decode a JPEG XL of one channel; what it claims to be as large as, the address space limits.

    Args:
        data: The whole chunk.
        shape: (rows, columns).
        bits: Bits of a number, 8 … 16; up to 8 are bytes in the stream, too.

    Returns:
        (rows, columns) uint16.

    Raises:
        UnreadableRawError: Corrupt, cut off, of another size or kind.
    """
    try:
        decoded = np.asarray(imagecodecs.jpegxl_decode(data))
    except (RuntimeError, ValueError) as error:  # JpegxlError is one of the former
        raise UnreadableRawError("a chunk of the mosaic cannot be decoded as JPEG XL", detail=str(error)) from error
    if decoded.shape != shape or decoded.dtype != (np.uint8 if bits <= 8 else np.uint16):
        found = f"{decoded.shape} {decoded.dtype}"
        raise UnreadableRawError(f"a chunk of the mosaic decodes to {found}, wanted whole numbers of {shape}")
    return decoded.reshape(shape).astype(np.uint16)


def join_fields(mosaic: NDArray[np.uint16], interleave: tuple[int, int]) -> NDArray[np.uint16]:
    """Put rows and columns that are stored in fields, one field after the other, where they belong.

    >>> join_fields(np.array([[0, 2, 4, 1, 3]], dtype=np.uint16), (1, 2)).tolist()
    [[0, 1, 2, 3, 4]]
    """
    order = [
        np.concatenate([np.arange(first, size, fields) for first in range(fields)])
        for size, fields in zip(mosaic.shape, interleave, strict=True)
    ]
    joined = np.empty_like(mosaic)
    joined[np.ix_(*order)] = mosaic
    return joined


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
