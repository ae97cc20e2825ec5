"""The level tags of a mosaic whose numbers get more bits: times 2 ** shift, in the same words as before.

In the flow: write_dng asks for the fields that have to change so that the stored numbers mean the same signal.

Source: DNG specification 1.4: LinearizationTable (50712), BlackLevel (50714), BlackLevelDeltaH (50715),
BlackLevelDeltaV (50716), WhiteLevel (50717), whose default depends on BitsPerSample (258).
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from training.errors import UnreadableRawError
from training.raw import tags
from training.raw import tiff as types
from training.raw.directory import Field, number_field

if TYPE_CHECKING:
    from training.raw.layout import MosaicLayout
    from training.raw.tiff import Directory, TiffFile

_BLACKS = (tags.BLACK_LEVEL, tags.BLACK_LEVEL_DELTA_H, tags.BLACK_LEVEL_DELTA_V)


def stored_bits(layout: MosaicLayout, shift: int) -> int:
    """BitsPerSample after the rewrite: 16 once the numbers are scaled, or are a LinearizationTable's outputs."""
    linearised = tags.LINEARIZATION_TABLE in layout.directory.entries
    return 16 if shift or linearised else layout.bits_per_sample


def scaled_levels(tiff: TiffFile, layout: MosaicLayout, shift: int) -> list[Field]:
    """BitsPerSample and the level tags that have to change with it.

    Args:
        tiff: The file.
        layout: Its mosaic.
        shift: Every stored number is multiplied by 2 ** shift.

    Returns:
        Fields of the raw directory.

    Raises:
        ValueError: White would need more than 16 bits.
        UnreadableRawError: A level cannot be written after scaling; no honest file has such a level.
    """
    directory, bits = layout.directory, stored_bits(layout, shift)
    fields = [number_field(tags.BITS_PER_SAMPLE, types.SHORT, [bits], tiff.byte_order)]
    explicit = (tiff.values(directory, tags.WHITE_LEVEL) or (0,))[0]
    white = explicit or (1 << layout.bits_per_sample) - 1
    if white * (1 << shift) > 0xFFFF:
        raise ValueError(f"got a precision shift of {shift}, wanted one that keeps white ({white}) within 16 bits")
    if explicit:
        fields += _scaled(tiff, directory, tags.WHITE_LEVEL, shift)
    elif bits != layout.bits_per_sample:
        fields.append(number_field(tags.WHITE_LEVEL, types.LONG, [int(white) << shift], tiff.byte_order))
    return fields + [field for tag in _BLACKS for field in _scaled(tiff, directory, tag, shift)]


def _scaled(tiff: TiffFile, directory: Directory, tag: int, shift: int) -> list[Field]:
    """A tag times 2 ** shift; nothing where it stays as it is."""
    entry = directory.entries.get(tag)
    if entry is None or entry.count == 0 or shift == 0:
        return []
    kind = entry.type
    if kind in {types.RATIONAL, types.SRATIONAL}:
        code = "u4" if kind == types.RATIONAL else "i4"
        pairs = np.frombuffer(tiff.value_bytes(entry), tiff.byte_order + code).reshape(-1, 2).tolist()
        largest = int(np.iinfo(code).max)
        numbers = [number for pair in pairs for number in scale_fraction((pair[0], pair[1]), shift, largest)]
    else:
        numbers = [value << shift for value in tiff.integers(directory, tag)]
        kind = types.SHORT if kind == types.SHORT and max(numbers) <= 0xFFFF else types.LONG
    try:
        return [number_field(tag, kind, numbers, tiff.byte_order)]
    except struct.error as error:
        raise UnreadableRawError(f"tag {tag} holds a level far beyond a mosaic's numbers", detail=str(error)) from error


def scale_fraction(fraction: tuple[int, int], shift: int, largest: int) -> tuple[int, int]:
    """A numerator and denominator times 2 ** shift, both at most `largest`.

    The denominator stays where the numerator has room; else the fraction is reduced, and rounded only if it must be.

    >>> scale_fraction((5121, 10), 4, 0xFFFFFFFF)
    (81936, 10)
    >>> scale_fraction((0x40000000, 0x200000), 2, 0xFFFFFFFF)  # 512, written as finely as a camera might
    (2048, 1)
    """
    numerator, denominator = fraction
    if denominator == 0 or abs(numerator) << shift <= largest:
        return numerator << shift, denominator
    exact = Fraction(numerator, denominator) * (1 << shift)
    if abs(exact.numerator) > largest:
        exact = exact.limit_denominator(max(1, int(largest / abs(exact))))
    return exact.numerator, exact.denominator
