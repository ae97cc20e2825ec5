"""Where the mosaic lies in a DNG, and whether it is one that we take: every check that needs no decoding.

In the flow: open_tiff → **find_mosaic** → read_metadata, the decoder, the in-place rewrite.

Source: DNG specification 1.7: NewSubFileType (254), PhotometricInterpretation (262), Compression (259), strips (273,
278, 279), tiles (322-325), CFARepeatPatternDim (33421), CFAPattern (33422), CFAPlaneColor (50710), CFALayout (50711).
The limits are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from training.errors import RawTooLargeError, UnreadableRawError, UnsupportedRawError
from training.raw import tags
from training.raw.jpeg import parse_jpeg_frame
from training.raw.patterns import MONOCHROME, PATTERNS
from training.raw.tiff import CLASSIC

if TYPE_CHECKING:
    from training.raw.tiff import Directory, TiffFile

MIN_SIDE = 64
MAX_SIDE = 20_000
MAX_PIXELS = 150_000_000
MAX_CHUNKS = 65_536
_JPEG_OVERHEAD = 65_536
_FRAME_BYTES = 4096
"""A JPEG's frame header lies within its first bytes; only its Huffman tables (2 kB at most) may come before it."""

_COMPRESSIONS = {
    tags.UNCOMPRESSED: "uncompressed",
    tags.JPEG: "lossless JPEG",
    tags.DEFLATE: "deflate",
    tags.OLD_DEFLATE: "deflate",
    tags.VC5: "VC-5",
    tags.LOSSY_JPEG: "lossy JPEG",
    tags.JPEG_XL: "JPEG XL",
}
_DECODED = {tags.UNCOMPRESSED, tags.JPEG, tags.DEFLATE, tags.OLD_DEFLATE, tags.JPEG_XL}
_PREDICTOR_STEPS = {tags.NO_PREDICTOR: 0, tags.DIFFERENCES: 1, tags.DIFFERENCES_X2: 2, tags.DIFFERENCES_X4: 4}
_MOST_FIELDS = 8
_MOST_DEFLATED = 1032
"""Bytes that a byte of a deflated stream can stand for."""


class Chunk(NamedTuple):
    """A strip or tile: a rectangle of the full frame, and its bytes in the file."""

    offset: int
    size: int
    row: int
    column: int
    height: int
    """Rows as stored; a tile at the border may reach beyond the frame."""
    width: int
    """Columns as stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MosaicLayout:
    """The raw directory of a DNG, and where each piece of its mosaic lies."""

    directory: Directory
    """The raw IFD."""
    in_ifd0: bool
    """Whether that is IFD0, not a SubIFD."""
    width: int
    """Columns of the full frame."""
    height: int
    """Rows of the full frame."""
    bits_per_sample: int
    """Bits of a stored number, 8 … 16."""
    compression: int
    """tags.UNCOMPRESSED, tags.JPEG (lossless), tags.DEFLATE, tags.OLD_DEFLATE or tags.JPEG_XL."""
    byte_order: str
    """"<" or ">"."""
    cfa_pattern: str
    """Read from the top-left of the active area; see `patterns.py`."""
    tiled: bool
    """Tiles, not strips."""
    chunks: tuple[Chunk, ...]
    """In raster order."""
    predictor_step: int = 0
    """Columns between the two numbers of which a deflated one is the difference; 0 for no difference."""
    interleave: tuple[int, int] = (1, 1)
    """Fields of rows and columns that are stored one after the other."""

    @property
    def compression_name(self) -> str:
        """The compression in words."""
        return _COMPRESSIONS[self.compression]


def camera_name(tiff: TiffFile) -> tuple[str, str]:
    """Make and model as the file spells them; the model falls back to UniqueCameraModel, both may be empty."""
    ifd0 = tiff.chain[0]
    make, model, unique = (tiff.text(ifd0, tag) for tag in (tags.MAKE, tags.MODEL, tags.UNIQUE_CAMERA_MODEL))
    return make, model or unique


def find_mosaic(tiff: TiffFile) -> MosaicLayout:
    """Find the one main mosaic of a DNG and check everything about its layout.

    Args:
        tiff: An open file.

    Returns:
        Its layout, with every chunk inside the file.

    Raises:
        UnreadableRawError: Not a raw file, cut off, or corrupt.
        UnsupportedRawError: Not a DNG, or a kind of DNG that we do not take.
        RawTooLargeError: More pixels than the limits allow.
    """
    _require_dng(tiff)
    directory = _main_directory(tiff)
    cfa_pattern = _cfa_pattern(tiff, directory)
    compression, bits = _sample_format(tiff, directory)
    height, width = _frame_size(tiff, directory)
    tiled = tags.TILE_OFFSETS in directory.entries
    chunks = _chunks(tiff, directory, (height, width), tiled=tiled)
    layout = MosaicLayout(
        directory=directory,
        in_ifd0=directory is tiff.chain[0],
        width=width,
        height=height,
        bits_per_sample=bits,
        compression=compression,
        byte_order=tiff.byte_order,
        cfa_pattern=cfa_pattern,
        tiled=tiled,
        chunks=chunks,
        predictor_step=_predictor_step(tiff, directory, compression, bits, chunks[0].width),
        interleave=_interleave(tiff, directory),
    )
    _check_extents(tiff, layout)
    _check_contents(tiff, layout)
    return layout


def _refuse(tiff: TiffFile, what: str) -> NoReturn:
    """Raise UnsupportedRawError with the camera's name before the reason."""
    make, model = camera_name(tiff)
    camera = model if model.startswith(make) else f"{make} {model}"
    raise UnsupportedRawError(f"{camera}: {what}" if camera else what)


def _require_dng(tiff: TiffFile) -> None:
    if tags.DNG_VERSION in tiff.chain[0].entries:
        return
    if not any(camera_name(tiff)):
        raise UnreadableRawError("a TIFF file, but not a raw: it has no DNGVersion and names no camera")
    _refuse(tiff, "the file is not a DNG; other raw formats are not supported")


def _main_directory(tiff: TiffFile) -> Directory:
    """The only directory that holds a mosaic at full resolution, or what a sensor without colour filters saw."""
    mains = [d for d in tiff.directories if tiff.integer(d, tags.NEW_SUBFILE_TYPE, 0) == tags.MAIN_IMAGE]
    meanings = [tiff.integer(d, tags.PHOTOMETRIC_INTERPRETATION, -1) for d in mains]
    found = [d for d, meaning in zip(mains, meanings, strict=True) if meaning == tags.COLOR_FILTER_ARRAY]
    if len(found) == 1:
        return found[0]
    if found:
        _refuse(tiff, f"the file holds {len(found)} mosaics, of which none is named the main one")
    if tags.LINEAR_RAW not in meanings:
        _refuse(tiff, "the file holds no mosaic, only pictures")
    linear = mains[meanings.index(tags.LINEAR_RAW)]
    if meanings.count(tags.LINEAR_RAW) == 1 and tiff.integer(linear, tags.SAMPLES_PER_PIXEL, 1) == 1:
        return linear
    compression = _COMPRESSIONS.get(tiff.integer(linear, tags.COMPRESSION, tags.UNCOMPRESSED), "unknown compression")
    _refuse(tiff, f"the file holds a demosaiced picture (linear DNG, {compression}), not a mosaic")


def _cfa_pattern(tiff: TiffFile, directory: Directory) -> str:
    if tiff.integer(directory, tags.PHOTOMETRIC_INTERPRETATION, -1) == tags.LINEAR_RAW:
        return MONOCHROME
    repeat = tiff.integers(directory, tags.CFA_REPEAT_PATTERN_DIM, (2, 2), most=2)
    size = "×".join(map(str, repeat))
    if repeat not in {(2, 2), (6, 6)}:
        known = "quad-Bayer" if repeat == (4, 4) else "neither Bayer nor X-Trans"
        _refuse(tiff, f"the colour pattern repeats every {size} photosites ({known}), not every 2×2 or 6×6")
    if tiff.integer(directory, tags.CFA_LAYOUT, 1) != 1:
        _refuse(tiff, "the photosites do not lie on a rectangular grid")
    planes = tiff.integers(directory, tags.CFA_PLANE_COLOR, (0, 1, 2), most=16)
    colours = tiff.integers(directory, tags.CFA_PATTERN, most=64)
    letters = "".join("RGB"[colour] if 0 <= colour < 3 else "?" for colour in colours)
    if planes != (0, 1, 2):
        _refuse(tiff, f"the colour planes are {planes}, not red, green and blue")
    if letters not in PATTERNS or len(letters) != repeat[0] * repeat[1]:
        name = "one of the four Bayer patterns" if repeat == (2, 2) else "X-Trans'"
        _refuse(tiff, f"the colour pattern of {size} photosites is {letters or 'missing'}, not {name}")
    return letters


def _sample_format(tiff: TiffFile, directory: Directory) -> tuple[int, int]:
    """Compression and bits per sample, both of a kind that we decode."""
    compression = tiff.integer(directory, tags.COMPRESSION, tags.UNCOMPRESSED)
    bits = tiff.integers(directory, tags.BITS_PER_SAMPLE, (1,), most=16)
    if tiff.integer(directory, tags.SAMPLE_FORMAT, tags.UNSIGNED_INTEGER) != tags.UNSIGNED_INTEGER:
        _refuse(tiff, f"the mosaic holds floating-point or signed numbers of {bits[0]} bits, not unsigned integers")
    if compression not in _DECODED:
        name = _COMPRESSIONS.get(compression, "unknown")
        _refuse(tiff, f"the mosaic's compression ({compression}, {name}) is not supported")
    if tiff.integer(directory, tags.SAMPLES_PER_PIXEL, 1) != 1 or len(bits) != 1:
        _refuse(tiff, "the mosaic holds several samples a photosite, not one")
    if not 8 <= bits[0] <= 16:
        _refuse(tiff, f"the mosaic holds numbers of {bits[0]} bits, not of 8 to 16")
    blocks = set(tiff.integers(directory, tags.SUB_TILE_BLOCK_SIZE, (1,), most=2))
    if tiff.integer(directory, tags.FILL_ORDER, 1) != 1 or blocks != {1}:
        _refuse(tiff, "the mosaic's tiles or bits are stored interleaved")
    return compression, bits[0]


def _predictor_step(tiff: TiffFile, directory: Directory, compression: int, bits: int, columns: int) -> int:
    """How the differences that were deflated have to be undone.

    Where a strip's or tile's columns are no multiple of the step, Adobe's SDK takes rows to be shorter than they are,
    the specification is silent, and nobody can say what the numbers mean.
    """
    if compression not in {tags.DEFLATE, tags.OLD_DEFLATE}:
        return 0
    predictor = tiff.integer(directory, tags.PREDICTOR, tags.NO_PREDICTOR)
    if predictor not in _PREDICTOR_STEPS or bits not in {8, 16}:
        _refuse(tiff, f"the mosaic's deflated numbers of {bits} bits with predictor {predictor} are not supported")
    step = _PREDICTOR_STEPS[predictor]
    if step and columns % step:
        _refuse(tiff, f"the mosaic's predictor {predictor} is not defined for rows of {columns} photosites")
    return step


def _interleave(tiff: TiffFile, directory: Directory) -> tuple[int, int]:
    names = (tags.ROW_INTERLEAVE_FACTOR, tags.COLUMN_INTERLEAVE_FACTOR)
    factors = [tiff.integers(directory, tag, (1,), most=16) for tag in names]
    for tag, numbers in zip(names, factors, strict=True):
        if len(numbers) != 1:
            raise UnreadableRawError(f"tag {tag} (interleave factor) holds {len(numbers)} numbers, not one")
    rows, columns = (numbers[0] for numbers in factors)
    if not (1 <= rows <= _MOST_FIELDS and 1 <= columns <= _MOST_FIELDS):
        _refuse(tiff, f"the mosaic's rows and columns are stored in {rows}×{columns} fields")
    return rows, columns


def _frame_size(tiff: TiffFile, directory: Directory) -> tuple[int, int]:
    height, width = (tiff.integer(directory, tag) for tag in (tags.IMAGE_LENGTH, tags.IMAGE_WIDTH))
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise RawTooLargeError(
            f"the mosaic claims {width}×{height} photosites; at most {MAX_SIDE} a side and "
            f"{MAX_PIXELS // 1_000_000} megapixels are taken"
        )
    if min(height, width) < MIN_SIDE:
        _refuse(tiff, f"the mosaic has {width}×{height} photosites; at least {MIN_SIDE}×{MIN_SIDE} are needed")
    return height, width


def _chunks(tiff: TiffFile, directory: Directory, frame: tuple[int, int], *, tiled: bool) -> tuple[Chunk, ...]:
    """Every strip or tile in raster order; a strip is as wide as the frame, and the last one may be lower."""
    height, width = frame
    if tiled and tags.STRIP_OFFSETS in directory.entries:
        raise UnreadableRawError("the mosaic is described both as strips and as tiles")
    if tiled:
        rows, columns = tiff.integer(directory, tags.TILE_LENGTH), tiff.integer(directory, tags.TILE_WIDTH)
    else:
        rows, columns = min(tiff.integer(directory, tags.ROWS_PER_STRIP, height), height), width
    if rows <= 0 or columns <= 0:
        raise UnreadableRawError(f"the mosaic's strips or tiles claim {columns}×{rows} photosites")
    corners = (-(-height // rows), -(-width // columns))
    if corners[0] * corners[1] * rows * columns > 2 * MAX_PIXELS:
        raise RawTooLargeError(f"the mosaic's tiles claim {columns}×{rows} photosites each, far beyond its frame")
    offsets, sizes = _chunk_extents(tiff, directory, corners[0] * corners[1], tiled=tiled)
    chunks = []
    for index, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
        row, column = (index // corners[1]) * rows, (index % corners[1]) * columns
        stored_rows = rows if tiled else min(rows, height - row)
        chunks.append(Chunk(offset, size, row, column, stored_rows, columns))
    return tuple(chunks)


def _chunk_extents(
    tiff: TiffFile, directory: Directory, wanted: int, *, tiled: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Offsets and byte counts, `wanted` of each; the counts are compared before any value is read."""
    if wanted > MAX_CHUNKS:
        raise UnreadableRawError(f"the mosaic is cut into {wanted} strips or tiles; at most {MAX_CHUNKS} make sense")
    names = (tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS) if tiled else (tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS)
    for tag in names:
        entry = directory.entries.get(tag)
        count = entry.count if entry else 0
        if count != wanted:
            raise UnreadableRawError(f"the mosaic has {wanted} strips or tiles, but tag {tag} describes {count}")
    offsets, sizes = (tiff.integers(directory, tag) for tag in names)
    return offsets, sizes


def _check_extents(tiff: TiffFile, layout: MosaicLayout) -> None:
    """Every chunk lies inside the file, and no two share a byte."""
    end = 8 if tiff.form is CLASSIC else 16  # the header's bytes belong to no chunk
    for chunk in sorted(layout.chunks):
        if chunk.size <= 0:
            raise UnreadableRawError("a strip or tile of the mosaic is empty")
        if chunk.offset < end:
            raise UnreadableRawError(f"strips or tiles of the mosaic overlap at {chunk.offset}")
        end = chunk.offset + chunk.size
    if end > tiff.size:
        raise UnreadableRawError(f"the file is cut off: its mosaic ends at {end}, the file at {tiff.size} bytes")


def _check_contents(tiff: TiffFile, layout: MosaicLayout) -> None:
    """Every chunk has as many bytes as its numbers need, or a JPEG header that claims exactly those numbers."""
    for chunk in layout.chunks:
        if layout.compression == tags.UNCOMPRESSED:
            wanted = chunk.height * ((chunk.width * layout.bits_per_sample + 7) // 8)
            if chunk.size != wanted:
                raise UnreadableRawError(f"a strip or tile of the mosaic has {chunk.size} bytes, wanted {wanted}")
        elif layout.compression == tags.JPEG:
            _check_jpeg(tiff, chunk)
        else:
            _check_size(layout, chunk)


def _check_size(layout: MosaicLayout, chunk: Chunk) -> None:
    """A deflated chunk can hold its numbers, and no chunk is far larger than they are; all else its decoder checks."""
    samples = chunk.height * chunk.width
    least = 1 if layout.compression == tags.JPEG_XL else samples // _MOST_DEFLATED
    if not least <= chunk.size <= 4 * samples + _JPEG_OVERHEAD:
        raise UnreadableRawError(f"a strip or tile of {samples} photosites has {chunk.size} bytes, which cannot be")


def _check_jpeg(tiff: TiffFile, chunk: Chunk) -> None:
    samples = chunk.height * chunk.width
    if not samples / 8 <= chunk.size <= 4 * samples + _JPEG_OVERHEAD:  # a code and its number take 1 … 32 bits
        raise UnreadableRawError(f"a strip or tile of {samples} photosites has {chunk.size} bytes, which cannot be")
    frame = parse_jpeg_frame(tiff.read(chunk.offset, min(chunk.size, _FRAME_BYTES)))
    if frame.samples != samples:
        raise UnreadableRawError(
            f"a strip or tile of {chunk.width}×{chunk.height} photosites holds a JPEG that claims {frame.samples}"
        )
