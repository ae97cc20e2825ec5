"""Makes a DNG of another maker's raw: the full frame, margins included, with everything that readers need to show it.

The new file is then denoised as any DNG, in place; EXIF and its kin are put into it by `metadata.py`.

Layout, which every raw editor knows: IFD0 with a thumbnail, SubIFD 0 with the mosaic in tiles of lossless JPEG, SubIFD
1 with the camera's preview. Little-endian; the directories come last.

In the flow: read_foreign → **write_new_dng** → copy_metadata → denoise as a DNG.

Source: DNG specification 1.4, chapters 2 to 4. Sony's lens corrections: tags 0x7031 … 0x7037 of an ARW's raw directory.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from training.errors import RawError
from training.raw import tags
from training.raw import tiff as types
from training.raw.atomic import replacing
from training.raw.colour import XYZ_FROM_SRGB
from training.raw.directory import Field, number_field, rewrite_directory
from training.raw.exposure import CLOCK
from training.raw.patterns import cfa_numbers, channel_grid
from training.raw.previews import jpeg_picture, rgb_picture
from training.raw.render import choose_rendering, render_screen
from training.raw.rewrite import choose_tile, encoded_tiles
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.raw.colour import CameraColour
    from training.raw.foreign import ForeignRaw
    from training.raw.image import RawMetadata
    from training.raw.previews import Picture

THUMBNAIL_SIZE = 256
STORED_BITS = 16
_ORDER = "<"
_EMPTY_DIRECTORY = b"\0" * 6
_D65 = 21


def write_new_dng(source: Path, target: Path, foreign: ForeignRaw, name: str) -> None:
    """Write a DNG with the mosaic of another maker's raw; the same arguments give the same bytes.

    Args:
        source: The raw: what LibRaw does not tell is looked up in it.
        target: Where to write; replaced whole or not at all.
        foreign: What is in the raw.
        name: What the raw is called, for OriginalRawFileName.

    Raises:
        OSError: `target` cannot be written.
    """
    with replacing(target) as file:
        file.write(struct.pack(_ORDER + "2sHI", b"II", 42, 0))
        raw_at = _append_directory(file, _mosaic_fields(file, foreign) + lens_corrections(source))
        preview = _preview_fields(file, foreign.preview)
        preview_at = _append_directory(file, preview) if preview else 0
        fields = _thumbnail_fields(file, foreign) + _camera_fields(foreign.raw.metadata, name)
        children = [raw_at, *([preview_at] if preview else [])]
        exif = _exposure_fields(foreign.raw.metadata)
        if exif:
            fields.append(_numbers(tags.EXIF_IFD, types.LONG, _append_directory(file, exif)))
        ifd0_at = _append_directory(file, [*fields, _numbers(tags.SUB_IFDS, types.LONG, *children)])
        file.seek(4)
        file.write(struct.pack(_ORDER + "I", ifd0_at))


def lens_corrections(source: Path) -> list[Field]:
    """Sony's corrections of the lens, which lie where exiftool does not copy from; nothing for other makers' raws."""
    found = []
    try:
        with open_tiff(source) as tiff:
            for directory in tiff.directories:
                for tag in tags.SONY_LENS_CORRECTIONS:
                    entry = directory.entries.get(tag)
                    if entry is not None and entry.type in {types.SHORT, types.SSHORT} and entry.count <= 1024:
                        values = [int(value) for value in tiff.values(directory, tag)]
                        found.append(_numbers(tag, entry.type, *values))
    except RawError:
        return []
    return list({field.tag: field for field in found}.values())


def _mosaic_fields(file: BinaryIO, foreign: ForeignRaw) -> list[Field]:
    """Write the tiles; say where they are and what they mean."""
    metadata, mosaic = foreign.raw.metadata, foreign.raw.mosaic
    tile = choose_tile(mosaic.shape)
    extents = [
        (_append(file, data), len(data)) for data in encoded_tiles(mosaic, tile, STORED_BITS, metadata.cfa_pattern)
    ]
    offsets, sizes = zip(*extents, strict=True)
    area, crop = metadata.active_area, metadata.visible_area
    grid, numbers = channel_grid(metadata.cfa_pattern), cfa_numbers(metadata.cfa_pattern)
    blacks = [round(metadata.levels.black_level[channel]) for channel in grid.reshape(-1).tolist()]
    return [
        _numbers(tags.NEW_SUBFILE_TYPE, types.LONG, tags.MAIN_IMAGE),
        _numbers(tags.IMAGE_WIDTH, types.LONG, metadata.width),
        _numbers(tags.IMAGE_LENGTH, types.LONG, metadata.height),
        _numbers(tags.BITS_PER_SAMPLE, types.SHORT, STORED_BITS),
        _numbers(tags.COMPRESSION, types.SHORT, tags.JPEG),
        _numbers(tags.PHOTOMETRIC_INTERPRETATION, types.SHORT, tags.COLOR_FILTER_ARRAY if numbers else tags.LINEAR_RAW),
        _numbers(tags.SAMPLES_PER_PIXEL, types.SHORT, 1),
        _numbers(tags.PLANAR_CONFIGURATION, types.SHORT, 1),
        _numbers(tags.TILE_WIDTH, types.LONG, tile[1]),
        _numbers(tags.TILE_LENGTH, types.LONG, tile[0]),
        _numbers(tags.TILE_OFFSETS, types.LONG, *offsets),
        _numbers(tags.TILE_BYTE_COUNTS, types.LONG, *sizes),
        *(_filter_fields(numbers, grid.shape) if numbers else []),
        _numbers(tags.BLACK_LEVEL_REPEAT_DIM, types.SHORT, *grid.shape),
        _numbers(tags.BLACK_LEVEL, types.LONG, *blacks),
        _numbers(tags.WHITE_LEVEL, types.LONG, round(metadata.levels.white_level)),
        _numbers(tags.ACTIVE_AREA, types.LONG, *area),
        _numbers(tags.DEFAULT_CROP_ORIGIN, types.LONG, crop.left - area.left, crop.top - area.top),
        _numbers(tags.DEFAULT_CROP_SIZE, types.LONG, crop.width, crop.height),
    ]


def _filter_fields(numbers: tuple[int, ...], repeat: tuple[int, ...]) -> list[Field]:
    """What colour filters the photosites have."""
    return [
        _numbers(tags.CFA_REPEAT_PATTERN_DIM, types.SHORT, *repeat),
        _numbers(tags.CFA_PATTERN, types.BYTE, *numbers),
        _numbers(tags.CFA_PLANE_COLOR, types.BYTE, 0, 1, 2),
        _numbers(tags.CFA_LAYOUT, types.SHORT, 1),
    ]


def _preview_fields(file: BinaryIO, preview: bytes) -> list[Field]:
    """Write the camera's preview; nothing where there is none that can be described."""
    picture = jpeg_picture(preview)
    return [] if picture is None else _picture_fields(file, picture)


def _thumbnail_fields(file: BinaryIO, foreign: ForeignRaw) -> list[Field]:
    """Write a small picture of the mosaic, not turned: Orientation turns it."""
    rendering = replace(choose_rendering(foreign.raw), orientation=1)
    return _picture_fields(file, rgb_picture(render_screen(foreign.raw, rendering, THUMBNAIL_SIZE)))


def _picture_fields(file: BinaryIO, picture: Picture) -> list[Field]:
    kind = _numbers(tags.NEW_SUBFILE_TYPE, types.LONG, tags.REDUCED_IMAGE)
    return [kind, *picture.fields(_append(file, picture.data), _ORDER)]


def _camera_fields(metadata: RawMetadata, name: str) -> list[Field]:
    """What IFD0 says about the camera."""
    return [
        _text(tags.MAKE, metadata.make or "unknown"),
        _text(tags.MODEL, metadata.model or "unknown"),
        _text(tags.UNIQUE_CAMERA_MODEL, metadata.camera),
        _numbers(tags.ORIENTATION, types.SHORT, metadata.orientation),
        _numbers(tags.DNG_VERSION, types.BYTE, 1, 4, 0, 0),
        _numbers(tags.DNG_BACKWARD_VERSION, types.BYTE, 1, 1, 0, 0),
        *([] if metadata.sensor == "monochrome" else _colour_fields(metadata.colour)),
        _text(tags.ORIGINAL_RAW_FILE_NAME, name),
    ]


def _colour_fields(colour: CameraColour) -> list[Field]:
    """What the camera's colours mean; one whose colours nobody knows is taken to see sRGB's, as LibRaw does."""
    matrix = colour.xyz_to_camera or np.linalg.inv(XYZ_FROM_SRGB).tolist()
    fields = [
        _fractions(tags.COLOR_MATRIX_1, types.SRATIONAL, [value for row in matrix for value in row], 10_000),
        _numbers(tags.CALIBRATION_ILLUMINANT_1, types.SHORT, _D65),
    ]
    if colour.as_shot_neutral is not None:
        fields.append(_fractions(tags.AS_SHOT_NEUTRAL, types.RATIONAL, colour.as_shot_neutral, 1_000_000))
    return fields


def _exposure_fields(metadata: RawMetadata) -> list[Field]:
    """What LibRaw knows of the exposure: some cameras write it where exiftool does not copy from."""
    exposure, fields = metadata.exposure, []
    if exposure.time_s is not None:
        fields.append(_fractions(tags.EXPOSURE_TIME, types.RATIONAL, [exposure.time_s], 1_000_000))
    if exposure.f_number is not None:
        fields.append(_fractions(tags.F_NUMBER, types.RATIONAL, [exposure.f_number], 100))
    if metadata.iso is not None:
        fields.append(_numbers(tags.ISO_SPEED_RATINGS, types.SHORT, min(metadata.iso, 0xFFFF)))
    if exposure.captured is not None:
        fields.append(_text(tags.DATE_TIME_ORIGINAL, exposure.captured.strftime(CLOCK)))
    return fields


def _numbers(tag: int, kind: int, *values: int) -> Field:
    return number_field(tag, kind, values, _ORDER)


def _fractions(tag: int, kind: int, values: Sequence[float], denominator: int) -> Field:
    pairs = [number for value in values for number in (round(value * denominator), denominator)]
    return number_field(tag, kind, pairs, _ORDER)


def _text(tag: int, text: str) -> Field:
    return Field(tag, types.ASCII, text.encode("ascii", "replace") + b"\0")


def _append(file: BinaryIO, data: bytes) -> int:
    """Write at the end, on an even offset."""
    at = file.seek(0, 2)
    if at % 2:
        file.write(b"\0")
        at += 1
    file.write(data)
    return at


def _append_directory(file: BinaryIO, fields: list[Field]) -> int:
    at = _append(file, b"")
    return _append(file, rewrite_directory(_EMPTY_DIRECTORY, drop=(), put=fields, offset=at, byte_order=_ORDER))
