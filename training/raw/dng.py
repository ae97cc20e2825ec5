"""Reads a DNG: the mosaic, and what the file's tags say about it.

In the flow: upload → **read_metadata** (inspect) or **read_raw** → normalise. Pixels are decoded by `decode.py`'s
program; everything else comes from the tags, with the specification's defaults, because raw libraries round odd active
areas, reorder or truncate black levels and average the per-row ones.

Source: DNG specification 1.7, chapter 4: BlackLevel (50714) and its kin, WhiteLevel (50717), LinearizationTable
(50712), ActiveArea (50829, whose corner is the origin of CFAPattern and of BlackLevel), NoiseProfile (51041),
NoiseReductionApplied (50935), OpcodeList1 (51008), Orientation (274), DefaultCropOrigin (50719, within the active area)
and DefaultCropSize (50720).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from training.errors import UnreadableRawError, UnsupportedRawError
from training.noise import NoiseModel
from training.raw import tags
from training.raw.colour import read_colour
from training.raw.decode import default_decoder
from training.raw.digest import new_raw_image_digest, raw_image_digest
from training.raw.exposure import read_exposure, read_iso
from training.raw.foreign import read_foreign
from training.raw.image import ActiveArea, RawImage, RawMetadata, Rectangle
from training.raw.kinds import foreign_kind
from training.raw.layout import MIN_SIDE, camera_name, find_mosaic
from training.raw.levels import Levels
from training.raw.opcodes import Opcode, depend_on_numbers, find_bad_pixels, parse_opcodes
from training.raw.patterns import channel_grid, tile_cell
from training.raw.tiff import SHORT, open_tiff
from training.raw.xmp import denoiser_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.raw.decode import Decoder
    from training.raw.layout import MosaicLayout
    from training.raw.tiff import TiffFile

MAX_XMP_BYTES = 1 << 20
"""A larger packet counts as unmarked: reading a hostile one of this size already takes a second."""
MIN_CROP = 8
"""Photosites that a default crop has at least, each way; a smaller one is not meant to be seen."""
_DIGEST_BYTES = 16
_BYTE_TABLE = 256
"""Entries of a LinearizationTable up to which the digest is over numbers of one byte."""
_SPACES = re.compile(rb"\s+")


def read_metadata(path: Path) -> RawMetadata:
    """Read what a raw says about its mosaic; of a DNG without decoding a pixel.

    Args:
        path: A file; anything may be in it.

    Returns:
        Its metadata, checked.

    Raises:
        UnreadableRawError: Not a raw file, cut off, or corrupt.
        UnsupportedRawError: A raw file of a kind that we do not take.
        RawTooLargeError: More pixels than the limits allow.
    """
    kind = foreign_kind(path)
    if kind is not None:
        return read_foreign(path, kind).raw.metadata
    with open_tiff(path) as tiff:
        layout = find_mosaic(tiff)
        return _metadata(tiff, layout, _opcodes(tiff, layout))


def read_raw(path: Path, decoder: Decoder | None = None) -> RawImage:
    """Read a raw: its mosaic and its metadata; a DNG's by its own tags, another maker's as LibRaw knows them.

    Args:
        path: A file; anything may be in it.
        decoder: The program that decodes pixels; this process's own if None.

    Returns:
        The full frame in the file's numbers, after its LinearizationTable.

    Raises:
        UnreadableRawError: Not a raw file, cut off, or corrupt.
        UnsupportedRawError: A raw file of a kind that we do not take.
        RawTooLargeError: More pixels than the limits allow.
    """
    kind = foreign_kind(path)
    if kind is not None:
        return read_foreign(path, kind, decoder).raw
    with open_tiff(path) as tiff:
        layout = find_mosaic(tiff)
        opcodes = _opcodes(tiff, layout)
        metadata = _metadata(tiff, layout, opcodes)
        table = _linearization_table(tiff, layout)
        new, old = (_digest(tiff, tag) for tag in (tags.NEW_RAW_IMAGE_DIGEST, tags.RAW_IMAGE_DIGEST))
        stored = (decoder or default_decoder()).decode(path, layout)
    if int(stored.max()) >= 1 << layout.bits_per_sample:
        raise UnreadableRawError(f"the mosaic holds {stored.max()}, which has more than {layout.bits_per_sample} bits")
    bad_pixels = find_bad_pixels(opcodes, stored) if opcodes else None
    bits = 8 if table is not None and len(table) <= _BYTE_TABLE else layout.bits_per_sample
    matches = None
    if layout.compression == tags.JPEG_XL:
        pass  # it may be a lossy one, whose digest is that of the coded bytes
    elif new is not None:
        matches = new == new_raw_image_digest(stored, bits)
    elif old is not None:
        matches = old == raw_image_digest(stored)
    return RawImage(mosaic=_linearise(stored, table), metadata=metadata, bad_pixels=bad_pixels, digest_matches=matches)


def _metadata(tiff: TiffFile, layout: MosaicLayout, opcodes: tuple[Opcode, ...]) -> RawMetadata:
    make, model = camera_name(tiff)
    active_area = _active_area(tiff, layout)
    return RawMetadata(
        make=make,
        model=model,
        iso=read_iso(tiff),
        width=layout.width,
        height=layout.height,
        bits_per_sample=layout.bits_per_sample,
        compression=layout.compression_name,
        cfa_pattern=layout.cfa_pattern,
        active_area=active_area,
        levels=_levels(tiff, layout, active_area),
        noise_profile=_noise_profile(tiff, layout),
        noise_reduction_applied=_noise_reduction_applied(tiff, layout),
        denoised_by=_denoised_by(tiff),
        linearised=tags.LINEARIZATION_TABLE in layout.directory.entries,
        precision_fixed=depend_on_numbers(opcodes),
        exposure=read_exposure(tiff),
        colour=read_colour(tiff),
        orientation=_orientation(tiff),
        default_crop=_default_crop(tiff, layout, active_area),
    )


def _active_area(tiff: TiffFile, layout: MosaicLayout) -> ActiveArea:
    whole = (0, 0, layout.height, layout.width)
    edges = tiff.integers(layout.directory, tags.ACTIVE_AREA, whole, most=16)
    area = ActiveArea(*edges) if len(edges) == 4 else ActiveArea(0, 0, 0, 0)
    inside = 0 <= area.top < area.bottom <= layout.height and 0 <= area.left < area.right <= layout.width
    if not inside:
        raise UnreadableRawError(f"the active area {edges} lies outside the frame of {layout.height}×{layout.width}")
    if min(area.height, area.width) < MIN_SIDE:
        raise UnsupportedRawError(f"the active area has {area.height}×{area.width} photosites; {MIN_SIDE} are needed")
    return area


def _levels(tiff: TiffFile, layout: MosaicLayout, area: ActiveArea) -> Levels:
    directory = layout.directory
    default_white = (1 << layout.bits_per_sample) - 1
    white = tiff.values(directory, tags.WHITE_LEVEL, most=16) or (0,)
    delta_rows = tiff.values(directory, tags.BLACK_LEVEL_DELTA_V)
    delta_columns = tiff.values(directory, tags.BLACK_LEVEL_DELTA_H)
    if len(delta_rows) not in {0, area.height} or len(delta_columns) not in {0, area.width}:
        counts = f"{len(delta_rows)} row and {len(delta_columns)} column deltas"
        raise UnreadableRawError(f"the black level has {counts}, wanted {area.height} and {area.width}")
    try:
        return Levels(
            black_level=_black_level(tiff, layout),
            white_level=float(white[0] or default_white),
            black_delta_rows=tuple(float(delta) for delta in delta_rows),
            black_delta_columns=tuple(float(delta) for delta in delta_columns),
        )
    except ValueError as error:
        raise UnreadableRawError(f"the file's levels make no sense: {error}") from error


def _black_level(tiff: TiffFile, layout: MosaicLayout) -> tuple[float, ...]:
    """BlackLevel per channel, out of a pattern whose rows and columns divide the sensor's cell."""
    repeat = tiff.integers(layout.directory, tags.BLACK_LEVEL_REPEAT_DIM, (1, 1), most=2)
    grid = channel_grid(layout.cfa_pattern)
    if len(repeat) != 2 or min(repeat) < 1 or any(len(grid) % count for count in repeat):
        found, wanted = "×".join(map(str, repeat)), f"{len(grid)}×{len(grid)}"
        raise UnsupportedRawError(f"the black level repeats every {found} photosites, not {wanted}")
    blacks = tiff.values(layout.directory, tags.BLACK_LEVEL, (0,), most=64) or (0,)
    if len(blacks) not in {1, repeat[0] * repeat[1]}:
        raise UnreadableRawError(f"the file has {len(blacks)} black levels, wanted {repeat[0] * repeat[1]}")
    pattern = np.array(blacks, dtype=np.float64)
    cell = tile_cell(pattern.reshape(repeat if len(blacks) > 1 else (1, 1)), grid.shape)
    return tuple(cell.reshape(-1)[np.argsort(grid.reshape(-1))].tolist())


def _linearization_table(tiff: TiffFile, layout: MosaicLayout) -> NDArray[np.uint16] | None:
    """(n,) uint16: the number that stands for each stored one; None where the file has no table."""
    entry = layout.directory.entries.get(tags.LINEARIZATION_TABLE)
    if entry is None:
        return None
    if entry.type != SHORT or not entry.count:
        raise UnreadableRawError("the LinearizationTable does not hold numbers of 16 bits")
    table = np.array(tiff.integers(layout.directory, tags.LINEARIZATION_TABLE))
    if table.min() == table.max():
        raise UnreadableRawError("the LinearizationTable makes all photosites alike")
    return table.astype(np.uint16)


def _linearise(stored: NDArray[np.uint16], table: NDArray[np.uint16] | None) -> NDArray[np.uint16]:
    """Look stored numbers up; those beyond the table's end stand for its last entry."""
    if table is None:
        return stored
    return table[np.minimum(stored, len(table) - 1)]


def _digest(tiff: TiffFile, tag: int) -> bytes | None:
    """The mosaic's digest under this tag; None where there is none, or an empty one."""
    entry = tiff.chain[0].entries.get(tag)
    digest = tiff.value_bytes(entry) if entry is not None and entry.size == _DIGEST_BYTES else b""
    return digest if any(digest) else None


def _opcodes(tiff: TiffFile, layout: MosaicLayout) -> tuple[Opcode, ...]:
    entry = layout.directory.entries.get(tags.OPCODE_LIST_1)
    opcodes = parse_opcodes(tiff.value_bytes(entry)) if entry else ()
    if depend_on_numbers(opcodes) and tags.LINEARIZATION_TABLE in layout.directory.entries:
        raise UnsupportedRawError(
            "the file has a LinearizationTable together with opcodes that depend on the numbers before it"
        )
    return opcodes


def _noise_profile(tiff: TiffFile, layout: MosaicLayout) -> NoiseModel | None:
    """NoiseProfile of the raw directory, else of IFD0; None where it cannot be a variance, as some cameras write."""
    for directory in (layout.directory, tiff.chain[0]):
        try:
            profile = tiff.values(directory, tags.NOISE_PROFILE, most=16)
            return NoiseModel.from_profile(profile)
        except (UnreadableRawError, ValueError):
            continue
    return None


def _noise_reduction_applied(tiff: TiffFile, layout: MosaicLayout) -> float | None:
    """NoiseReductionApplied; None for the fraction 0/0, by which the specification means unknown."""
    try:
        values = tiff.values(layout.directory, tags.NOISE_REDUCTION_APPLIED, most=1)
    except UnreadableRawError:
        return None
    return float(values[0]) if values and math.isfinite(values[0]) else None


def _orientation(tiff: TiffFile) -> int:
    """Orientation; as it lies where the file says nothing, or nothing that makes sense."""
    try:
        turned = tiff.integer(tiff.chain[0], tags.ORIENTATION, 1)
    except UnreadableRawError:
        return 1
    return turned if 1 <= turned <= 8 else 1


def _default_crop(tiff: TiffFile, layout: MosaicLayout, area: ActiveArea) -> Rectangle | None:
    """DefaultCropOrigin and DefaultCropSize, columns first; None where they say nothing that makes sense."""
    try:
        origin = tiff.values(layout.directory, tags.DEFAULT_CROP_ORIGIN, (0, 0), most=2)
        size = tiff.values(layout.directory, tags.DEFAULT_CROP_SIZE, most=2)
    except UnreadableRawError:
        return None
    if len(origin) != 2 or len(size) != 2 or not np.isfinite([*origin, *size]).all():
        return None
    left, top = area.left + round(origin[0]), area.top + round(origin[1])
    crop = Rectangle(top, left, top + round(size[1]), left + round(size[0])).intersection(area)
    return crop if min(crop.height, crop.width) >= MIN_CROP else None


def _denoised_by(tiff: TiffFile) -> str:
    entry = tiff.chain[0].entries.get(tags.XMP)
    if entry is None or entry.size > MAX_XMP_BYTES:
        return ""
    packet = tiff.value_bytes(entry)
    return denoiser_of(_SPACES.sub(b" ", packet))  # long runs of blanks are slow to parse and mean nothing
