"""A mosaic as a plain TIFF of 16-bit greys, for whoever works on with a program that knows no DNG.

The numbers are the DNG's, margins included. What they mean stands in the DNG's own tags: CFAPattern, BlackLevel,
WhiteLevel, ActiveArea; CFAPattern is read from the active area's top-left there, as in a DNG.

In the flow: write_output → **write_mosaic_tiff**.

Source: TIFF 6.0, section 4 (greyscale); DNG specification 1.4, chapter 4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from training.raw import tags
from training.raw import tiff as types
from training.raw.atomic import replacing
from training.raw.directory import Field, number_field, rewrite_directory
from training.raw.patterns import cfa_numbers, channel_grid

if TYPE_CHECKING:
    from pathlib import Path

    from training.raw.image import RawImage

_ORDER = "<"
_HEADER_BYTES = 8


def write_mosaic_tiff(target: Path, raw: RawImage) -> None:
    """Write a mosaic and its levels as a TIFF, which is replaced whole or not at all.

    Per-row and per-column black deltas are not written: their means are in BlackLevel.

    Raises:
        OSError: `target` cannot be written.
    """
    metadata, data = raw.metadata, raw.mosaic.astype("<u2", copy=False)
    grid, numbers = channel_grid(metadata.cfa_pattern), cfa_numbers(metadata.cfa_pattern)
    blacks = [round(1000 * black) for black in metadata.levels.mean_black[grid.reshape(-1)].tolist()]
    fields = [
        *(
            number_field(tag, kind, values, _ORDER)
            for tag, kind, values in (
                (tags.NEW_SUBFILE_TYPE, types.LONG, [tags.MAIN_IMAGE]),
                (tags.IMAGE_WIDTH, types.LONG, [metadata.width]),
                (tags.IMAGE_LENGTH, types.LONG, [metadata.height]),
                (tags.BITS_PER_SAMPLE, types.SHORT, [16]),
                (tags.COMPRESSION, types.SHORT, [tags.UNCOMPRESSED]),
                (tags.PHOTOMETRIC_INTERPRETATION, types.SHORT, [tags.BLACK_IS_ZERO]),
                (tags.STRIP_OFFSETS, types.LONG, [_HEADER_BYTES]),
                (tags.ORIENTATION, types.SHORT, [metadata.orientation]),
                (tags.SAMPLES_PER_PIXEL, types.SHORT, [1]),
                (tags.ROWS_PER_STRIP, types.LONG, [metadata.height]),
                (tags.STRIP_BYTE_COUNTS, types.LONG, [data.nbytes]),
                (tags.CFA_REPEAT_PATTERN_DIM, types.SHORT, [*grid.shape] if numbers else []),
                (tags.CFA_PATTERN, types.BYTE, [*numbers]),
                (tags.BLACK_LEVEL_REPEAT_DIM, types.SHORT, [*grid.shape]),
                (tags.BLACK_LEVEL, types.SRATIONAL, [part for black in blacks for part in (black, 1000)]),
                (tags.WHITE_LEVEL, types.LONG, [round(metadata.levels.white_level)]),
                (tags.ACTIVE_AREA, types.LONG, [*metadata.active_area]),
            )
            if values
        ),
        *(
            Field(tag, types.ASCII, text.encode("ascii", "replace") + b"\0")
            for tag, text in ((tags.MAKE, metadata.make), (tags.MODEL, metadata.model))
            if text
        ),
    ]
    at = _HEADER_BYTES + data.nbytes
    with replacing(target) as file:
        file.write(struct.pack(_ORDER + "2sHI", b"II", 42, at))
        file.write(data.data)
        file.write(rewrite_directory(b"\0" * 6, drop=(), put=fields, offset=at, byte_order=_ORDER))
