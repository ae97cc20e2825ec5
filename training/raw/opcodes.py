"""OpcodeList1: what a DNG wants done to its stored numbers, as far as it matters to a denoiser.

Opcodes are kept in the file and never applied here; but some mark photosites as bad, and some depend on the stored
numbers, which then may not be scaled.

In the flow: read_metadata, read_raw → **opcodes** → bad pixels, precision.

Source: DNG specification 1.7, chapter 7 "Opcode List Processing"; always big-endian.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.errors import UnreadableRawError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIX_VIGNETTE_RADIAL = 3
FIX_BAD_PIXELS_CONSTANT = 4
FIX_BAD_PIXELS_LIST = 5
TRIM_BOUNDS = 6
GAIN_MAP = 9
SCALE_PER_ROW = 12
SCALE_PER_COLUMN = 13
_INDEPENDENT = {1, 2, FIX_VIGNETTE_RADIAL, FIX_BAD_PIXELS_LIST, TRIM_BOUNDS, GAIN_MAP, SCALE_PER_ROW, SCALE_PER_COLUMN}
"""Opcodes that only move photosites or multiply them: numbers that are all twice as large give twice the result."""

MAX_OPCODES = 4096
MAX_RECTANGLES = 65_536


class Opcode(NamedTuple):
    """One step of an opcode list."""

    identifier: int
    parameters: bytes


def parse_opcodes(data: bytes) -> tuple[Opcode, ...]:
    """Split an opcode list into its opcodes.

    Args:
        data: The tag's value; empty for no list.

    Raises:
        UnreadableRawError: Cut off, or longer than makes sense.
    """
    if not data:
        return ()
    (count,) = _unpack(">I", data, 0)
    if count > MAX_OPCODES:
        raise UnreadableRawError(f"OpcodeList1 claims {count} opcodes; at most {MAX_OPCODES} make sense")
    opcodes, at = [], 4
    for _ in range(count):
        identifier, _, _, size = _unpack(">IIII", data, at)
        if at + 16 + size > len(data):
            raise UnreadableRawError("OpcodeList1 is cut off")
        opcodes.append(Opcode(identifier, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return tuple(opcodes)


def depend_on_numbers(opcodes: tuple[Opcode, ...]) -> bool:
    """Whether scaling the stored numbers would change what the opcodes do; true of opcodes that we do not know."""
    return any(opcode.identifier not in _INDEPENDENT for opcode in opcodes)


def find_bad_pixels(opcodes: tuple[Opcode, ...], mosaic: NDArray[np.uint16]) -> NDArray[np.bool_] | None:
    """The photosites that FixBadPixelsConstant and FixBadPixelsList mark as bad.

    Args:
        opcodes: From `parse_opcodes`.
        mosaic: (H, W) uint16, the full frame as stored.

    Returns:
        (H, W) bool, or None where there is none.

    Raises:
        UnreadableRawError: An opcode is cut off, or lists more than makes sense.
    """
    bad = np.zeros(mosaic.shape, dtype=np.bool_)
    for opcode in opcodes:
        if opcode.identifier == FIX_BAD_PIXELS_CONSTANT:
            (constant,) = _unpack(">I", opcode.parameters, 0)
            bad |= mosaic == constant if constant <= 65535 else False
        elif opcode.identifier == FIX_BAD_PIXELS_LIST:
            _mark_list(bad, opcode.parameters)
    return bad if bad.any() else None


def _mark_list(bad: NDArray[np.bool_], parameters: bytes) -> None:
    """Mark FixBadPixelsList's points (row, column) and rectangles (top, left, bottom, right), cut to the frame."""
    _, point_count, rectangle_count = _unpack(">III", parameters, 0)
    numbers = np.frombuffer(parameters[12 : len(parameters) // 4 * 4], dtype=">u4").astype(np.int64)
    if len(numbers) < 2 * point_count + 4 * rectangle_count or rectangle_count > MAX_RECTANGLES:
        raise UnreadableRawError(f"FixBadPixelsList claims {point_count} points and {rectangle_count} rectangles")
    points = numbers[: 2 * point_count].reshape(-1, 2)
    points = points[(points < bad.shape).all(axis=1)]
    bad[points[:, 0], points[:, 1]] = True
    corners = numbers[2 * point_count : 2 * point_count + 4 * rectangle_count].reshape(-1, 4)
    corners = np.minimum(corners, [*bad.shape, *bad.shape])
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    if sides.prod(axis=1).sum() > bad.size:  # overlapping ones could be filled for hours
        raise UnreadableRawError("FixBadPixelsList marks more photosites than the frame has")
    for top, left, bottom, right in corners.tolist():
        bad[top:bottom, left:right] = True


def _unpack(form: str, data: bytes, at: int) -> tuple[int, ...]:
    if at + struct.calcsize(form) > len(data):
        raise UnreadableRawError("OpcodeList1 is cut off")
    return struct.unpack_from(form, data, at)
