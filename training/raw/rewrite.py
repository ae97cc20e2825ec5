"""Writing a denoised DNG: the same file with another mosaic in it, everything else byte for byte where it was.

In the flow: denormalise → **write_dng** → blob.

The new mosaic is stored as tiles of lossless JPEG with two components and predictor 1, the one form that dcraw, LibRaw,
darktable, RawTherapee and Adobe's software all read right. Tiles go where the old mosaic lay, then to the end of the
file; a new raw directory and a new IFD0 follow, and the two pointers to the old ones are turned to them. The old mosaic
leaves no byte behind: it holds the noisy original.

Source: DNG specification 1.4, chapters 3 and 4; TIFF 6.0, section 15 (tiles).
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from training.raw import tags
from training.raw import tiff as types
from training.raw.atomic import replacing
from training.raw.bands import thread_pool
from training.raw.digest import new_raw_image_digest
from training.raw.directory import Field, directory_size, number_field, rewrite_directory
from training.raw.layout import MosaicLayout, find_mosaic
from training.raw.ljpeg import encode_ljpeg
from training.raw.previews import STORAGE, find_previews, preview_ranges
from training.raw.scaling import scaled_levels, stored_bits
from training.raw.space import Space, mosaic_space
from training.raw.tiff import Directory, TiffFile, open_tiff
from training.raw.xmp import Mark, mark_packet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.raw.previews import Picture, PreviewPlace

_TILE = 256
_COPY_BYTES = 1 << 20
_OLD_STORAGE = {
    tags.STRIP_OFFSETS,
    tags.ROWS_PER_STRIP,
    tags.STRIP_BYTE_COUNTS,
    tags.PREDICTOR,
    tags.LINEARIZATION_TABLE,
    tags.ROW_INTERLEAVE_FACTOR,
    tags.COLUMN_INTERLEAVE_FACTOR,
    tags.JXL_DISTANCE,
    tags.JXL_EFFORT,
    tags.JXL_DECODE_SPEED,
}
_STALE = {tags.RAW_IMAGE_DIGEST, tags.NEW_RAW_IMAGE_DIGEST, tags.RAW_DATA_UNIQUE_ID, tags.NOISE_REDUCTION_APPLIED}
"""Dropped wherever they stand, also in the wrong directory; those that still make sense are written anew."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class DngChanges:
    """What changes in a DNG besides its mosaic."""

    precision_shift: int = 0
    """Every number of the new mosaic is the old unit times 2 ** this; the levels follow."""
    noise_profile: NoiseModel | None
    """The noise that is left, on the normalised signal; None leaves the file's own NoiseProfile alone."""
    noise_reduction_applied: float
    """0 none … 1 as much as anybody should want."""
    unique_id: bytes
    """RawDataUniqueID: 16 bytes that stand for input, model and options."""
    mark: Mark | None
    """What the XMP packet says about it, None to say nothing: nothing was denoised."""
    previews: Mapping[int, Picture | None] = field(default_factory=dict)
    """By the offset of a preview's directory: the picture to put in its place, or None to drop it."""

    def __post_init__(self) -> None:
        """Reject what the tags cannot hold."""
        if not 0 <= self.precision_shift <= 15:
            raise ValueError(f"got a precision shift of {self.precision_shift}, wanted 0 to 15")
        if not 0 <= self.noise_reduction_applied <= 1:
            raise ValueError(f"got a noise reduction of {self.noise_reduction_applied}, wanted 0 to 1")
        if len(self.unique_id) != 16:
            raise ValueError(f"got a unique id of {len(self.unique_id)} bytes, wanted 16")


def write_dng(source: Path, target: Path, mosaic: NDArray[np.uint16], changes: DngChanges) -> None:
    """Write `source` with another mosaic to `target`, which is replaced whole or not at all.

    The same arguments give the same bytes.

    Args:
        source: A DNG that `find_mosaic` takes; may be `target`.
        target: Where to write; its folder exists.
        mosaic: (H, W) uint16, the full frame in the numbers to be stored: after a LinearizationTable, times
            2 ** precision_shift, margins included.
        changes: What else changes.

    Raises:
        RawError: `source` is not a DNG that we take, or the result would be too large for one.
        OSError: `target` cannot be written.
        ValueError: The mosaic does not fit `source` or its bits.
    """
    with open_tiff(source) as tiff, replacing(target) as file:
        layout = find_mosaic(tiff)
        bits = stored_bits(layout, changes.precision_shift)
        _check_mosaic(mosaic, layout, bits)
        replaced = [place for place in find_previews(tiff) if place.directory.offset in changes.previews]
        freed = [extent for place in replaced for extent in preview_ranges(tiff, place.directory)]
        output = _Output(tiff, file, mosaic_space(tiff, layout, freed))
        output.copy_kept()
        raw_fields = output.write_tiles(mosaic, bits) + _raw_fields(tiff, layout, changes)
        ifd0_fields = _ifd0_fields(tiff, new_raw_image_digest(mosaic, bits), changes)
        ifd0_fields += _write_previews(output, replaced, changes.previews)
        _write_directories(output, layout, raw_fields, ifd0_fields, _dropped(replaced, changes.previews))


def _check_mosaic(mosaic: NDArray[np.uint16], layout: MosaicLayout, bits: int) -> None:
    wanted = (layout.height, layout.width)
    if mosaic.shape != wanted or mosaic.dtype != np.uint16:
        raise ValueError(f"got a mosaic {mosaic.shape} {mosaic.dtype}, wanted {wanted} uint16")
    if int(mosaic.max()) >> bits:
        raise ValueError(f"got a mosaic with numbers up to {mosaic.max()}, wanted numbers of {bits} bits")


@dataclass(frozen=True, slots=True)
class _Output:
    """The unfinished file, and what it is made of."""

    tiff: TiffFile
    file: BinaryIO
    space: Space

    def copy_kept(self) -> None:
        """Copy all but the old mosaic; what is skipped reads as zeros."""
        for start, end in self.space.kept:
            self.file.seek(start)
            pieces = range(start, end, _COPY_BYTES)
            self.file.writelines(self.tiff.read(at, min(_COPY_BYTES, end - at)) for at in pieces)
        self.file.truncate(self.space.end)

    def write_tiles(self, mosaic: NDArray[np.uint16], bits: int) -> list[Field]:
        """Write the mosaic, and say where its tiles are."""
        extents = []
        tile_shape = choose_tile(mosaic.shape)
        for encoded in encoded_tiles(mosaic, tile_shape, bits):
            extents.append((self.space.place(len(encoded)), len(encoded)))
            self._write(extents[-1][0], encoded)
        offsets, sizes = zip(*extents, strict=True)
        order = self.tiff.byte_order
        return [
            number_field(tags.COMPRESSION, types.SHORT, [tags.JPEG], order),
            number_field(tags.TILE_WIDTH, types.SHORT, [tile_shape[1]], order),
            number_field(tags.TILE_LENGTH, types.SHORT, [tile_shape[0]], order),
            number_field(tags.TILE_OFFSETS, types.LONG, offsets, order),
            number_field(tags.TILE_BYTE_COUNTS, types.LONG, sizes, order),
        ]

    def write_picture(self, picture: Picture) -> list[Field]:
        """Write a preview, and say where it is."""
        at = self.space.place(len(picture.data))
        self._write(at, picture.data)
        return picture.fields(at, self.tiff.byte_order)

    def write_directory(self, directory: Directory, drop: Collection[int], put: list[Field]) -> None:
        """Append a directory's new form, made of its old one as it stands in the unfinished file by now."""
        order, form = self.tiff.byte_order, self.tiff.form
        self.file.seek(directory.offset)
        head = self.file.read(form.count_size)
        old = head + self.file.read(directory_size(head, order, form) - len(head))
        offset = self.space.append(0)
        new = rewrite_directory(old, drop=drop, put=put, offset=offset, byte_order=order, form=form)
        self._write(self.space.append(len(new)), new)
        self._write(directory.pointer_offset, struct.pack(order + directory.pointer_code, offset))

    def _write(self, offset: int, data: bytes) -> None:
        self.file.seek(offset)
        self.file.write(data)


def choose_tile(frame: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a tile for a frame of (rows, columns), each at least 64; multiples of 16, as TIFF wants.

    LibRaw and dcraw lose the rhythm of the rows where a tile is wider than the frame, and LibRaw also where two tiles
    are exactly as wide as the frame: it takes the two components for two such tiles.

    >>> choose_tile((3000, 4000)), choose_tile((100, 70)), choose_tile((600, 512))
    ((256, 256), (96, 64), (256, 240))
    """
    height, width = (min(_TILE, side // 16 * 16) for side in frame)
    return height, width - 16 if 2 * width == frame[1] else width


def encoded_tiles(mosaic: NDArray[np.uint16], shape: tuple[int, int], bits: int) -> Iterator[bytes]:
    """Every tile in raster order, encoded on several threads, a row of tiles at a time to keep memory small."""
    rows, columns = shape
    with thread_pool() as pool:
        for row in range(0, mosaic.shape[0], rows):
            corners = range(0, mosaic.shape[1], columns)
            pieces = (mosaic[row : row + rows, column : column + columns] for column in corners)
            yield from pool.map(lambda piece: encode_ljpeg(padded_tile(piece, shape), bits), pieces)


def padded_tile(piece: NDArray[np.uint16], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Fill a tile at the border up to its full size, with numbers that take next to no space.

    Args:
        piece: (h, w) uint16, what of the tile lies within the frame.
        shape: Rows and columns of a tile, the latter even.

    Returns:
        A tile, uint16: each row goes on with its last number of either colour, and below the last row everything is
        that row's first number of either colour, because predictor 1 looks left, and up only in the first column.
    """
    if piece.shape == shape:
        return piece
    height, width = piece.shape
    columns = np.arange(shape[1])
    columns[width:] = np.maximum(width - 2 + (columns[width:] - width) % 2, 0)
    rows = piece[:, columns]
    below = np.tile(rows[-1:, :2], (shape[0] - height, shape[1] // 2))
    return np.concatenate([rows, below])


def _raw_fields(tiff: TiffFile, layout: MosaicLayout, changes: DngChanges) -> list[Field]:
    """What changes in the raw directory besides its tiles."""
    applied = Fraction(changes.noise_reduction_applied).limit_denominator(1000)
    fields = scaled_levels(tiff, layout, changes.precision_shift)
    fields.append(
        number_field(tags.NOISE_REDUCTION_APPLIED, types.RATIONAL, applied.as_integer_ratio(), tiff.byte_order)
    )
    if changes.noise_profile is not None:
        profile = changes.noise_profile.to_profile()
        fields.append(number_field(tags.NOISE_PROFILE, types.DOUBLE, profile, tiff.byte_order))
    return fields


def _ifd0_fields(tiff: TiffFile, digest: bytes, changes: DngChanges) -> list[Field]:
    """What changes in IFD0 besides the pointer to the raw directory."""
    fields = [
        Field(tags.NEW_RAW_IMAGE_DIGEST, types.BYTE, digest),
        Field(tags.RAW_DATA_UNIQUE_ID, types.BYTE, changes.unique_id),
    ]
    if changes.mark is None:
        return fields
    entry = tiff.chain[0].entries.get(tags.XMP)
    packet = tiff.value_bytes(entry) if entry else b""
    marked = mark_packet(packet, changes.mark)
    if marked == packet:
        _log.warning("the XMP packet cannot be edited without harm: the denoised file carries no mark")
        return fields
    return [*fields, Field(tags.XMP, entry.type if entry else types.BYTE, marked)]


def _write_previews(output: _Output, places: list[PreviewPlace], previews: Mapping[int, Picture | None]) -> list[Field]:
    """Write the previews' new pictures and directories; what changes in IFD0 by it: its own picture."""
    ifd0_fields: list[Field] = []
    for place in places:
        picture = previews[place.directory.offset]
        if picture is None:
            continue
        fields = output.write_picture(picture)
        if place.in_ifd0:
            ifd0_fields += fields
        else:
            output.write_directory(place.directory, STORAGE, fields)
    return ifd0_fields


def _dropped(places: list[PreviewPlace], previews: Mapping[int, Picture | None]) -> set[int]:
    """Where the pointers to previews lie that are to be dropped."""
    return {p.directory.pointer_offset for p in places if previews[p.directory.offset] is None and not p.in_ifd0}


def _write_directories(
    output: _Output,
    layout: MosaicLayout,
    raw_fields: list[Field],
    ifd0_fields: list[Field],
    dropped: set[int],
) -> None:
    """Append the new directories and turn the pointers to them; IFD0 last, as it may hold the pointer to the other."""
    raw, ifd0 = layout.directory, output.tiff.chain[0]
    own_picture = STORAGE if any(field.tag == tags.STRIP_OFFSETS for field in ifd0_fields) else set()
    stale = _STALE | own_picture | ({tags.SUB_IFDS} if dropped else set())
    if layout.in_ifd0:
        fields = raw_fields + ifd0_fields + _children(output, dropped)
        output.write_directory(ifd0, _OLD_STORAGE | stale, fields)
        return
    output.write_directory(raw, _OLD_STORAGE | _STALE, raw_fields)
    misplaced = {field.tag for field in raw_fields} & {tags.NOISE_PROFILE}
    output.write_directory(ifd0, stale | misplaced, ifd0_fields + _children(output, dropped))


def _children(output: _Output, dropped: set[int]) -> list[Field]:
    """IFD0's pointers as they stand by now, without those at `dropped`; nothing to write where none is."""
    entry = output.tiff.chain[0].entries.get(tags.SUB_IFDS)
    if entry is None or not dropped:
        return []
    output.file.seek(entry.value_offset)
    size = types.TYPE_SIZES[entry.type]
    places = range(entry.value_offset, entry.value_offset + entry.size, size)
    code = "I" if size == 4 else "Q"
    pointers = struct.unpack(f"{output.tiff.byte_order}{entry.count}{code}", output.file.read(entry.size))
    kept = [pointer for place, pointer in zip(places, pointers, strict=True) if place not in dropped]
    return [number_field(tags.SUB_IFDS, types.LONG, kept, output.tiff.byte_order)] if kept else []
