"""Other makers' raws, decoded by LibRaw: the mosaic, what LibRaw knows about it, and the camera's own preview.

The only file that imports rawpy. It runs in `sandbox.py`, never on an upload in a serving process: LibRaw has spun for
a minute in one call, and has had a heap overflow.

In the flow: decode.py → sandbox.py → **decode_foreign** → foreign.py, which puts LibRaw's words into ours.

Source: LibRaw 0.22 (libraw_data_t); rawpy 0.28; mallopt(3).
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import rawpy

from training.errors import RawError, RawTooLargeError, UnreadableRawError, UnsupportedRawError
from training.raw.layout import MAX_PIXELS, MAX_SIDE
from training.raw.patterns import MONOCHROME

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MAX_PREVIEW_BYTES = 64 << 20
_LIBC = ctypes.CDLL(None)
_M_PERTURB = -6
"""Of glibc's malloc.h: fill new memory with the complement of a byte."""
_JPEG_START = b"\xff\xd8\xff"
_TIFF_HEADERS = {b"II*\0", b"MM\0*"}
_MORE = b"\xa5\x5a" * 4096
"""What is put after a file's end: more than one row's beginning, and nothing that a mosaic is likely to hold."""


class ForeignFrame(NamedTuple):
    """What LibRaw makes of a file."""

    mosaic: NDArray[np.uint16]
    """(H, W) uint16: the full frame, after the file's own tone curve."""
    facts: dict[str, Any]
    """Plain JSON types, in LibRaw's words and order."""
    preview: bytes
    """The camera's preview as a JPEG; empty where there is none of that kind."""


def decode_foreign(path: str, allow: Callable[[int], None]) -> ForeignFrame:
    """Decode a raw of any maker that LibRaw takes.

    Args:
        path: The file.
        allow: Called with the number of photosites before they are decoded, so that limits can follow.

    Returns:
        Its mosaic.

    Raises:
        UnreadableRawError: Not a raw file that LibRaw knows, cut off, or corrupt.
        UnsupportedRawError: No mosaic of a Bayer, X-Trans or monochrome sensor, or coded in a way that LibRaw cannot
            decode.
        RawTooLargeError: More pixels than the limits allow.
    """
    os.stat(path)  # LibRaw says no more than "input/output error"  # noqa: PTH116
    try:
        first = _decode(path, allow, fill=0x5A)
        again = _decode_longer(path, allow, first.facts) or _decode(path, allow, fill=0xA5)
    except rawpy.LibRawError as error:
        raise _translated(error) from error
    finally:
        _fill_new_memory(0)
    if not np.array_equal(first.mosaic, again.mosaic):
        raise UnreadableRawError("the file is cut off or corrupt: LibRaw makes a part of the mosaic up")
    return first


def _decode_longer(path: str, allow: Callable[[int], None], facts: dict[str, Any]) -> ForeignFrame | None:
    """Decode a TIFF once more, as if more bytes came after its end; None where that makes another kind of file of it.

    LibRaw takes what is missing at a file's end for zeros, or for what its buffer held: a file that is cut off comes
    out otherwise, one that is complete does not.
    """
    with open(path, "rb") as file:  # noqa: PTH123  (this program gets by without pathlib)
        if file.read(4) not in _TIFF_HEADERS:  # others are known by their size, or read from their end
            return None
        file.seek(0)
        longer = io.BytesIO(file.read() + _MORE)
    try:
        frame = _decode(longer, allow, fill=0xA5)
    except rawpy.LibRawError:
        return None
    return frame if frame.facts == facts else None


def _decode(source: str | BinaryIO, allow: Callable[[int], None], *, fill: int) -> ForeignFrame:
    """Decode once, in memory that holds nothing but `fill`.

    LibRaw does not clear a mosaic before it decodes into it. What a damaged file leaves out would show what was in
    memory, another customer's file perhaps: so it is decoded twice, and has to come out the same.
    """
    _fill_new_memory(fill)
    raw = rawpy.RawPy()
    try:
        if isinstance(source, str):
            raw.open_file(source)
        else:
            raw.open_buffer(source)
        _check_size(raw.sizes)
        allow(raw.sizes.raw_height * raw.sizes.raw_width)
        raw.unpack()
        _check_kind(raw)
        return ForeignFrame(np.array(raw.raw_image), _facts(raw), _preview(raw))
    finally:
        raw.close()


def _fill_new_memory(byte: int) -> None:
    """Have glibc's malloc fill what it gives from now on with `byte`, 0 for not at all; others leave it as it is."""
    if sys.platform == "linux" and hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_PERTURB, byte ^ 0xFF if byte else 0)


def _translated(error: rawpy.LibRawError) -> RawError:
    """LibRaw's error as ours; what it prints ("Unsupported file format or not RAW file") goes into the log."""
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, rawpy.LibRawFileUnsupportedError):
        return UnreadableRawError("not a raw file, or one that LibRaw does not know", detail=detail)
    if isinstance(error, rawpy.LibRawNotImplementedError):
        return UnsupportedRawError("LibRaw cannot decode this kind of raw", detail=detail)
    if isinstance(error, rawpy.LibRawTooBigError):
        return RawTooLargeError("the mosaic is larger than LibRaw takes", detail=detail)
    return UnreadableRawError("the file is cut off or corrupt: LibRaw cannot decode it", detail=detail)


def _check_size(sizes: Any) -> None:
    height, width = sizes.raw_height, sizes.raw_width
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise RawTooLargeError(
            f"the mosaic claims {width}×{height} photosites; at most {MAX_SIDE} a side and "
            f"{MAX_PIXELS // 1_000_000} megapixels are taken"
        )


def _check_kind(raw: Any) -> None:
    if raw.raw_type != rawpy.RawType.Flat or raw.raw_image.ndim != 2:
        raise UnsupportedRawError("the file holds several numbers a photosite (sRAW, Foveon, demosaiced), not a mosaic")
    if raw.raw_pattern is None or raw.num_colors not in {1, 3}:
        raise UnsupportedRawError("the file's photosites do not see red, green and blue in turn")
    if _is_monochrome(raw):
        return
    if raw.num_colors != 3 or raw.raw_pattern.shape not in {(2, 2), (6, 6)}:
        repeat = "×".join(map(str, raw.raw_pattern.shape))
        raise UnsupportedRawError(f"the colour pattern repeats every {repeat} photosites, not every 2×2 or 6×6")


def _is_monochrome(raw: Any) -> bool:
    """Whether the sensor has no colour filters: LibRaw then knows one colour, and a pattern of one photosite."""
    return bool(raw.num_colors == 1 and raw.raw_pattern.shape == (1, 1))


def _colour_ids(raw: Any) -> NDArray[np.intp]:
    """(n, n) the colours of the cell that the full frame begins with.

    Of X-Trans `raw_pattern` reads beyond LibRaw's table where margins are wider than the cell; `raw_color` does not,
    within the visible area.
    """
    if _is_monochrome(raw):
        return np.zeros((1, 1), dtype=np.intp)
    side = len(raw.raw_pattern)
    if side == 2:
        return np.asarray(raw.raw_pattern, dtype=np.intp)
    top, left = raw.sizes.top_margin, raw.sizes.left_margin
    visible = [[raw.raw_color(top + row, left + column) for column in range(side)] for row in range(side)]
    return np.roll(np.array(visible, dtype=np.intp), (top, left), axis=(0, 1))


def _facts(raw: Any) -> dict[str, Any]:
    sizes, other = raw.sizes, raw.other
    ids = _colour_ids(raw).reshape(-1).tolist()
    colours = MONOCHROME if _is_monochrome(raw) else raw.color_desc.decode("ascii", "replace")
    return {
        "pattern": "".join(colours[index] for index in ids),
        "colour_ids": ids,
        "black_by_id": list(map(int, raw.black_level_per_channel)),
        "white": int(raw.white_level),
        "margins": [sizes.top_margin, sizes.left_margin],
        "visible": [sizes.height, sizes.width],
        "crop_corner": [sizes.crop_top_margin, sizes.crop_left_margin],
        "crop": [sizes.crop_height, sizes.crop_width],
        "flip": sizes.flip,
        "camera_gains": _numbers(raw.camera_whitebalance),
        "daylight_gains": _numbers(raw.daylight_whitebalance),
        "xyz_to_camera": [_numbers(row) for row in raw.rgb_xyz_matrix[:3].tolist()],
        "iso": float(np.nan_to_num(other.iso_speed)),
        "time_s": float(np.nan_to_num(other.shutter_speed)),
        "f_number": float(np.nan_to_num(other.aperture)),
        "captured": other.timestamp.isoformat() if other.timestamp is not None else None,
    }


def _numbers(values: Any) -> list[float]:
    return [float(np.nan_to_num(value, posinf=0.0, neginf=0.0)) for value in values]


def _preview(raw: Any) -> bytes:
    try:
        thumbnail = raw.extract_thumb()
    except rawpy.LibRawError:  # a picture without its preview is a picture still
        return b""
    if thumbnail.format != rawpy.ThumbFormat.JPEG or not thumbnail.data.startswith(_JPEG_START):
        return b""
    return bytes(thumbnail.data) if len(thumbnail.data) <= MAX_PREVIEW_BYTES else b""
