"""Makes DNG files of every layout from nothing, by a TIFF writer of its own: the reader is tested by another hand.

In the flow of the tests: **make_dng** → read_raw, write_dng, and the raw programs that nobody here wrote.

Source: TIFF 6.0, sections 2, 3, 8 and 15; DNG specification 1.7, chapter 4; opcode lists: chapter 7.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import imagecodecs
import numpy as np

from training.raw import tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Layout = Literal[
    "strips", "tiles", "ljpeg-strip", "ljpeg-strips", "ljpeg-tile", "ljpeg-tiles", "deflate-strips", "deflate-tiles",
    "jxl-tile", "jxl-tiles",
]  # fmt: skip
LAYOUTS: tuple[Layout, ...] = ("strips", "tiles", "ljpeg-strip", "ljpeg-strips", "ljpeg-tile", "ljpeg-tiles")
MODERN_LAYOUTS: tuple[Layout, ...] = ("deflate-strips", "deflate-tiles", "jxl-tile", "jxl-tiles")
"""What many programs cannot read: only Adobe's do."""
COMPRESSIONS = {"ljpeg": tags.JPEG, "deflate": tags.DEFLATE, "jxl": tags.JPEG_XL}
COLOURS = {"R": 0, "G": 1, "B": 2}
XTRANS_ROWS = ("GBGGRG", "RGRBGB", "GBGGRG", "GRGGBG", "BGBRGR", "GRGGBG")
"""As a camera's active area may begin."""
MAKE, MODEL = "Phantom", "Phantom One"
COLOR_MATRIX = (0.6461, -0.1164, -0.0857, -0.3825, 1.1597, 0.2534, -0.0416, 0.1540, 0.6039)
_FORMATS = {
    1: "B",
    2: "B",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    7: "B",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    18: "Q",
}


@dataclass(frozen=True)
class Field:
    """The type and the values of one tag; rationals are flattened pairs."""

    type: int
    values: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many values, a rational being one."""
        return len(self.values) // len(_FORMATS[self.type])

    def encode(self, byte_order: str) -> bytes:
        """The value's bytes."""
        return struct.pack(byte_order + _FORMATS[self.type] * self.count, *self.values)


def byte(*values: int) -> Field:
    """Numbers of 8 bits."""
    return Field(1, values)


def text(value: str) -> Field:
    """Text with its closing NUL."""
    return Field(2, tuple(value.encode() + b"\0"))


def short(*values: int) -> Field:
    """Numbers of 16 bits."""
    return Field(3, values)


def long(*values: int) -> Field:
    """Numbers of 32 bits."""
    return Field(4, values)


def rational(*values: float) -> Field:
    """Fractions of two numbers of 32 bits."""
    return Field(5, _pairs(values))


def srational(*values: float) -> Field:
    """Signed fractions."""
    return Field(10, _pairs(values))


def undefined(value: bytes) -> Field:
    """Bytes that mean something to somebody else."""
    return Field(7, tuple(value))


def sshort(*values: int) -> Field:
    """Signed numbers of 16 bits."""
    return Field(8, values)


def double(*values: float) -> Field:
    """Floating-point numbers of 64 bits."""
    return Field(12, values)


def _pairs(values: Iterable[float]) -> tuple[int, ...]:
    fractions = [Fraction(value).limit_denominator(10_000) for value in values]
    return tuple(number for f in fractions for number in (f.numerator, f.denominator))


def letters(pattern: str, shape: tuple[int, int]) -> NDArray[np.str_]:
    """The colour of every photosite, by the definition of a pattern's name."""
    side = math.isqrt(len(pattern))
    return np.array([[pattern[r % side * side + c % side] for c in range(shape[1])] for r in range(shape[0])])


def xtrans_pattern(row: int = 0, column: int = 0) -> str:
    """The 36 letters of X-Trans from another row and column on."""
    places = [(down % 6, across % 6) for down in range(row, row + 6) for across in range(column, column + 6)]
    return "".join(XTRANS_ROWS[down][across] for down, across in places)


OTHER_PATTERNS = (xtrans_pattern(), xtrans_pattern(1, 2), xtrans_pattern(5, 3), "Y")
"""Of sensors that are not Bayer's: X-Trans in a few of its phases, and one without colour filters."""


def sample_mosaic(height: int, width: int, bits: int = 14, seed: int = 0) -> NDArray[np.uint16]:
    """(height, width) uint16: a slope with noise, over the whole range of `bits`, different at every photosite."""
    slope = np.add.outer(np.linspace(0.1, 0.5, height), np.linspace(0.0, 0.4, width)) * 2**bits
    noise = np.random.default_rng(seed).normal(0, 2**bits / 100, (height, width))
    mosaic: NDArray[np.uint16] = np.clip(slope + noise, 0, 2**bits - 1).astype(np.uint16)
    mosaic[0, 0], mosaic[-1, -1] = 0, 2**bits - 1
    return mosaic


def make_dng(
    path: Path,
    mosaic: NDArray[np.uint16],
    *,
    cfa_pattern: str = "RGGB",
    bits: int = 14,
    layout: Layout = "strips",
    byte_order: Literal["<", ">"] = "<",
    rows_per_strip: int | None = None,
    tile_shape: tuple[int, int] = (64, 96),
    ljpeg_components: int = 2,
    ljpeg_predictor: int = 1,
    deflate_predictor: int = 1,
    sub_ifd: bool = False,
    data_first: bool = False,
    big_tiff: bool = False,
    active_area: tuple[int, int, int, int] | None = None,
    black_level: float | Sequence[float] | None = 0,
    black_repeat: tuple[int, int] | None = None,
    black_delta_h: Sequence[float] | None = None,
    black_delta_v: Sequence[float] | None = None,
    white_level: int | None = None,
    linearization_table: Sequence[int] | None = None,
    noise_profile: Sequence[float] | None = None,
    noise_reduction_applied: float | None = None,
    opcode_list1: bytes | None = None,
    opcode_list2: bytes | None = None,
    opcode_list3: bytes | None = None,
    iso: int | None = 400,
    maker_note: bytes | None = None,
    xmp: bytes | None = None,
    preview: bytes | None = None,
    orientation: int = 1,
    make: str = MAKE,
    model: str = MODEL,
    raw_tags: Mapping[int, Field | None] | None = None,
    ifd0_tags: Mapping[int, Field | None] | None = None,
    exif_tags: Mapping[int, Field | None] | None = None,
) -> Path:
    """Write a DNG that raw programs open.

    Args:
        path: Where to write it.
        mosaic: (H, W) uint16 as stored, every value below 2 ** bits; with a table, the table's indices.
        cfa_pattern: Read from the top-left of the active area; "Y" for a sensor without colour filters.
        bits: BitsPerSample.
        layout: Strips or tiles, packed or lossless JPEG.
        byte_order: "<" or ">".
        rows_per_strip: Of "strips" and "ljpeg-strips"; a third of the frame if None.
        tile_shape: Rows and columns of "tiles" and "ljpeg-tiles"; multiples of 16.
        ljpeg_components: 1, 2 or 4; 1 is used where the width cannot be divided.
        ljpeg_predictor: 1 … 7.
        deflate_predictor: 1 none, 2 differences of neighbours, 34892 of those two apart, 34893 four.
        sub_ifd: The mosaic in a SubIFD and a thumbnail in IFD0, not the mosaic in IFD0.
        data_first: Pixels before the directories, not after them.
        big_tiff: Counts and offsets of 64 bits.
        active_area: Top, left, bottom, right; no tag if None.
        black_level: One value, or one for each place of `black_repeat`; no tag if None.
        black_repeat: Rows and columns; guessed from the number of values if None.
        black_delta_h: BlackLevelDeltaH, one per column of the active area.
        black_delta_v: BlackLevelDeltaV, one per row of the active area.
        white_level: WhiteLevel; no tag if None.
        linearization_table: LinearizationTable.
        noise_profile: NoiseProfile.
        noise_reduction_applied: NoiseReductionApplied.
        opcode_list1: OpcodeList1, from `opcode_list`.
        opcode_list2: OpcodeList2.
        opcode_list3: OpcodeList3.
        iso: ISO speed in the Exif directory.
        maker_note: MakerNote in the Exif directory.
        xmp: XMP packet in IFD0.
        preview: A JPEG that becomes the second SubIFD (with `sub_ifd` only).
        orientation: Orientation.
        make: Make.
        model: Model, also UniqueCameraModel.
        raw_tags: Replaces (or with None removes) tags of the raw directory, after everything else.
        ifd0_tags: The same for IFD0.
        exif_tags: The same for the Exif directory.

    Returns:
        `path`.
    """
    storage = _Storage(
        layout, bits, byte_order, rows_per_strip, tile_shape, ljpeg_components, ljpeg_predictor, deflate_predictor
    )
    chunks, raw = _store(mosaic, storage)
    repeat, blacks = _black_fields(black_level, black_repeat)
    raw |= {
        tags.NEW_SUBFILE_TYPE: long(0),
        tags.IMAGE_WIDTH: long(mosaic.shape[1]),
        tags.IMAGE_LENGTH: long(mosaic.shape[0]),
        tags.BITS_PER_SAMPLE: short(bits),
        tags.SAMPLES_PER_PIXEL: short(1),
        tags.PLANAR_CONFIGURATION: short(1),
        **_filter_tags(cfa_pattern),
        tags.LINEARIZATION_TABLE: short(*linearization_table) if linearization_table is not None else None,
        tags.BLACK_LEVEL_REPEAT_DIM: repeat,
        tags.BLACK_LEVEL: blacks,
        tags.BLACK_LEVEL_DELTA_H: srational(*black_delta_h) if black_delta_h is not None else None,
        tags.BLACK_LEVEL_DELTA_V: srational(*black_delta_v) if black_delta_v is not None else None,
        tags.WHITE_LEVEL: long(white_level) if white_level is not None else None,
        tags.ACTIVE_AREA: long(*active_area) if active_area is not None else None,
        tags.NOISE_PROFILE: double(*noise_profile) if noise_profile is not None else None,
        tags.NOISE_REDUCTION_APPLIED: (
            rational(noise_reduction_applied) if noise_reduction_applied is not None else None
        ),
        tags.OPCODE_LIST_1: undefined(opcode_list1) if opcode_list1 is not None else None,
        tags.OPCODE_LIST_2: undefined(opcode_list2) if opcode_list2 is not None else None,
        tags.OPCODE_LIST_3: undefined(opcode_list3) if opcode_list3 is not None else None,
        **(raw_tags or {}),
    }
    ifd0 = {
        tags.MAKE: text(make),
        tags.MODEL: text(model),
        tags.ORIENTATION: short(orientation),
        tags.SOFTWARE: text("factory"),
        tags.DNG_VERSION: byte(1, 4, 0, 0),
        tags.DNG_BACKWARD_VERSION: byte(1, 1, 0, 0),
        tags.UNIQUE_CAMERA_MODEL: text(model),
        **_colour_tags(cfa_pattern),
        tags.XMP: Field(1, tuple(xmp)) if xmp is not None else None,
        **(ifd0_tags or {}),
    }
    exif = {
        tags.ISO_SPEED_RATINGS: short(iso) if iso is not None else None,
        tags.MAKER_NOTE: undefined(maker_note) if maker_note is not None else None,
        **(exif_tags or {}),
    }
    present: dict[int, Field | None] = {tag: field for tag, field in raw.items() if field is not None}
    directories = {"ifd0": ifd0, "raw": present, "exif": exif} if sub_ifd else {"ifd0": ifd0 | present, "exif": exif}
    pixels = {"raw" if sub_ifd else "ifd0": chunks}
    if sub_ifd:
        thumbnail, directories["ifd0"] = _thumbnail(), directories["ifd0"] | _THUMBNAIL_TAGS
        pixels["ifd0"] = [thumbnail]
    if sub_ifd and preview is not None:
        directories["preview"], pixels["preview"] = _preview_tags(preview), [preview]
    path.write_bytes(assemble(directories, pixels, byte_order, data_first=data_first, big_tiff=big_tiff))
    return path


def _filter_tags(cfa_pattern: str) -> dict[int, Field | None]:
    """What the photosites see."""
    if cfa_pattern == "Y":
        return {tags.PHOTOMETRIC_INTERPRETATION: short(tags.LINEAR_RAW)}
    side = math.isqrt(len(cfa_pattern))
    return {
        tags.PHOTOMETRIC_INTERPRETATION: short(tags.COLOR_FILTER_ARRAY),
        tags.CFA_REPEAT_PATTERN_DIM: short(side, side),
        tags.CFA_PATTERN: byte(*(COLOURS[letter] for letter in cfa_pattern)),
        tags.CFA_PLANE_COLOR: byte(0, 1, 2),
        tags.CFA_LAYOUT: short(1),
    }


def _colour_tags(cfa_pattern: str) -> dict[int, Field | None]:
    """What the camera's colours mean."""
    if cfa_pattern == "Y":
        return {}
    return {
        tags.COLOR_MATRIX_1: srational(*COLOR_MATRIX),
        tags.AS_SHOT_NEUTRAL: rational(0.5, 1, 0.625),
        tags.CALIBRATION_ILLUMINANT_1: short(21),
    }


def opcode(identifier: int, parameters: bytes, *, version: tuple[int, int, int, int] = (1, 3, 0, 0)) -> bytes:
    """One opcode of an opcode list: big-endian whatever the file's byte order."""
    return struct.pack(">I4BII", identifier, *version, 0, len(parameters)) + parameters


def opcode_list(*opcodes: bytes) -> bytes:
    """An opcode list."""
    return struct.pack(">I", len(opcodes)) + b"".join(opcodes)


def fix_bad_pixels_constant(constant: int, bayer_phase: int = 0) -> bytes:
    """Opcode 4: photosites that hold `constant` are bad."""
    return opcode(4, struct.pack(">II", constant, bayer_phase))


def fix_bad_pixels_list(
    points: Sequence[tuple[int, int]] = (),
    rectangles: Sequence[tuple[int, int, int, int]] = (),
    bayer_phase: int = 0,
) -> bytes:
    """Opcode 5: bad points (row, column) and rectangles (top, left, bottom, right) of the full frame."""
    header = struct.pack(">III", bayer_phase, len(points), len(rectangles))
    numbers = [number for item in (*points, *rectangles) for number in item]
    return opcode(5, header + struct.pack(f">{len(numbers)}I", *numbers))


def pack_bits(rows: NDArray[np.uint16], bits: int, byte_order: str) -> bytes:
    """Numbers of 8 … 16 bits as TIFF stores them uncompressed: each row begins on a whole byte."""
    if bits == 16:
        return rows.astype(byte_order + "u2").tobytes()
    planes = (rows[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1  # (rows, columns, bits), most significant first
    return np.packbits(planes.reshape(rows.shape[0], -1).astype(np.uint8), axis=1).tobytes()


def encode_ljpeg(tile: NDArray[np.uint16], bits: int, components: int = 2, predictor: int = 1) -> bytes:
    """A lossless JPEG of `tile`, its columns dealt to `components`; to one if they cannot be divided."""
    height, width = tile.shape
    shape = (height, width // components, components) if components > 1 and width % components == 0 else tile.shape
    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(tile, dtype=np.uint8 if bits <= 8 else np.uint16).reshape(shape),
            colorspace="GRAYSCALE" if len(shape) == 2 else "UNKNOWN",
            outcolorspace="GRAYSCALE" if len(shape) == 2 else "UNKNOWN",
            lossless=True,
            predictor=predictor,
            bitspersample=bits,
        )
    )


def encode_jpeg(width: int, height: int) -> bytes:
    """A JPEG for people to look at: a slope of greys."""
    slope = np.broadcast_to(np.linspace(0, 255, width), (height, width)).astype(np.uint8)
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(np.stack([slope] * 3, axis=2)), level=90))


def assemble(
    directories: Mapping[str, Mapping[int, Field | None]],
    pixels: Mapping[str, Sequence[bytes]],
    byte_order: str,
    *,
    data_first: bool = False,
    big_tiff: bool = False,
) -> bytes:
    """Lay out directories and pixel data, and fill in every offset.

    Args:
        directories: "ifd0" and others by name; "raw" and "preview" become its SubIFDs, "exif" its Exif directory.
        pixels: The strips or tiles of each directory that has any.
        byte_order: "<" or ">".
        data_first: Pixels before the directories.
        big_tiff: Counts and offsets of 64 bits.

    Returns:
        The file.
    """
    complete = {name: {t: f for t, f in fields.items() if f is not None} for name, fields in directories.items()}
    complete = {name: fields for name, fields in complete.items() if fields}
    children = [name for name in complete if name in {"raw", "preview"}]
    if children:
        complete["ifd0"].setdefault(tags.SUB_IFDS, long(*(0 for _ in children)))
    if "exif" in complete:
        complete["ifd0"].setdefault(tags.EXIF_IFD, long(0))
    sizes = {n: len(encode_directory(fields, 0, byte_order, big_tiff=big_tiff)) for n, fields in complete.items()}
    begin = 16 if big_tiff else 8
    data_size = sum(len(chunk) + len(chunk) % 2 for chunks in pixels.values() for chunk in chunks)
    at = begin + data_size if data_first else begin
    offsets = {}
    for name, size in sizes.items():
        offsets[name], at = at, at + size
    if children:
        _point(complete["ifd0"], tags.SUB_IFDS, [offsets[name] for name in children])
    if "exif" in complete:
        _point(complete["ifd0"], tags.EXIF_IFD, [offsets["exif"]])
    data = _place_pixels(complete, pixels, begin if data_first else at)
    encoded = b"".join(
        encode_directory(fields, offsets[name], byte_order, big_tiff=big_tiff) for name, fields in complete.items()
    )
    first = offsets["ifd0"]
    header = (
        struct.pack(byte_order + "HHHQ", 43, 8, 0, first) if big_tiff else struct.pack(byte_order + "HI", 42, first)
    )
    header = (b"II" if byte_order == "<" else b"MM") + header
    return header + (data + encoded if data_first else encoded + data)


def _place_pixels(complete: dict[str, dict[int, Field]], pixels: Mapping[str, Sequence[bytes]], at: int) -> bytes:
    data = b""
    for name, chunks in pixels.items():
        offsets = []
        for chunk in chunks:
            offsets.append(at + len(data))
            data += chunk + b"\0" * (len(chunk) % 2)
        for tag in (tags.STRIP_OFFSETS, tags.TILE_OFFSETS):
            _point(complete[name], tag, offsets)
    return data


def _point(fields: dict[int, Field], tag: int, offsets: Sequence[int]) -> None:
    """Fill in offsets, unless a test has put its own there."""
    if tag in fields and fields[tag].values == tuple(0 for _ in offsets):
        fields[tag] = long(*offsets)


def encode_directory(fields: Mapping[int, Field], offset: int, byte_order: str, *, big_tiff: bool = False) -> bytes:
    """A directory as it lies at `offset`, followed by its values."""
    counter, number, inside = ("Q", "Q", 8) if big_tiff else ("H", "I", 4)
    table, values = struct.pack(byte_order + counter, len(fields)), b""
    values_at = offset + len(table) + (4 + 2 * inside) * len(fields) + inside
    for tag, entry in sorted(fields.items()):
        value = entry.encode(byte_order)
        table += struct.pack(f"{byte_order}HH{number}", tag, entry.type, entry.count)
        if len(value) <= inside:
            table += value.ljust(inside, b"\0")
        else:
            table += struct.pack(byte_order + number, values_at + len(values))
            values += value + b"\0" * (len(value) % 2)
    return table + b"\0" * inside + values


def _black_fields(
    level: float | Sequence[float] | None, repeat: tuple[int, int] | None
) -> tuple[Field | None, Field | None]:
    if level is None:
        return None, None
    levels = tuple(level) if isinstance(level, (tuple, list)) else (level,)
    shape = repeat or {1: (1, 1), 4: (2, 2)}[len(levels)]
    whole = all(float(value).is_integer() for value in levels)
    field = short(*(int(value) for value in levels)) if whole else rational(*levels)
    return (None if shape == (1, 1) else short(*shape)), field


@dataclass(frozen=True)
class _Storage:
    """How `make_dng` was asked to store the mosaic."""

    layout: Layout
    bits: int
    byte_order: str
    rows_per_strip: int | None
    tile_shape: tuple[int, int]
    components: int
    predictor: int
    deflate_predictor: int

    def encode(self, piece: NDArray[np.uint16]) -> bytes:
        """The bytes of one strip or tile."""
        if self.layout.startswith("ljpeg"):
            return encode_ljpeg(piece, self.bits, self.components, self.predictor)
        if self.layout.startswith("jxl"):
            return bytes(imagecodecs.jpegxl_encode(np.ascontiguousarray(piece), lossless=True, effort=1))
        if self.layout.startswith("deflate"):
            return zlib.compress(_differences(piece, self.deflate_predictor).astype(self.byte_order + "u2").tobytes())
        return pack_bits(piece, self.bits, self.byte_order)


def _store(mosaic: NDArray[np.uint16], storage: _Storage) -> tuple[list[bytes], dict[int, Field | None]]:
    """The chunks of the mosaic, and the tags that describe them with offsets of 0."""
    pieces = _tiles(mosaic, storage) if "tile" in storage.layout else _strips(mosaic, storage)
    chunks = [storage.encode(piece) for piece in pieces]
    rows, columns = pieces[0].shape
    zeros, sizes = long(*(0 for _ in chunks)), long(*(len(chunk) for chunk in chunks))
    compression = COMPRESSIONS.get(storage.layout.partition("-")[0], tags.UNCOMPRESSED)
    fields: dict[int, Field | None] = {tags.COMPRESSION: short(compression)}
    if compression == tags.DEFLATE and storage.deflate_predictor != 1:
        fields[tags.PREDICTOR] = short(storage.deflate_predictor)
    if "tile" in storage.layout:
        fields |= {tags.TILE_LENGTH: long(rows), tags.TILE_WIDTH: long(columns)}
        fields |= {tags.TILE_OFFSETS: zeros, tags.TILE_BYTE_COUNTS: sizes}
    else:
        fields |= {tags.ROWS_PER_STRIP: long(rows), tags.STRIP_OFFSETS: zeros, tags.STRIP_BYTE_COUNTS: sizes}
    return chunks, fields


def _differences(piece: NDArray[np.uint16], predictor: int) -> NDArray[np.uint16]:
    """(h, w) uint16, modulo 65536: each number less the one so many columns before it."""
    step = {1: 0, 2: 1, 34892: 2, 34893: 4}[predictor]
    differences = piece.copy()
    if step:
        differences[:, step:] -= piece[:, :-step]
    return differences


def _tiles(mosaic: NDArray[np.uint16], storage: _Storage) -> list[NDArray[np.uint16]]:
    height, width = mosaic.shape
    whole = (-(-height // 16) * 16, -(-width // 16) * 16)
    rows, columns = storage.tile_shape if storage.layout.endswith("tiles") else whole
    padded = np.pad(mosaic, ((0, -height % rows), (0, -width % columns)), mode="edge")
    corners = [(row, column) for row in range(0, height, rows) for column in range(0, width, columns)]
    return [padded[row : row + rows, column : column + columns] for row, column in corners]


def _strips(mosaic: NDArray[np.uint16], storage: _Storage) -> list[NDArray[np.uint16]]:
    height = mosaic.shape[0]
    rows = height if storage.layout == "ljpeg-strip" else storage.rows_per_strip or -(-height // 3)
    return [mosaic[row : row + rows] for row in range(0, height, rows)]


_THUMBNAIL_SIDE = 16
_THUMBNAIL_TAGS: dict[int, Field | None] = {
    tags.NEW_SUBFILE_TYPE: long(1),
    tags.IMAGE_WIDTH: long(_THUMBNAIL_SIDE),
    tags.IMAGE_LENGTH: long(_THUMBNAIL_SIDE),
    tags.BITS_PER_SAMPLE: short(8, 8, 8),
    tags.COMPRESSION: short(tags.UNCOMPRESSED),
    tags.PHOTOMETRIC_INTERPRETATION: short(2),
    tags.SAMPLES_PER_PIXEL: short(3),
    tags.PLANAR_CONFIGURATION: short(1),
    tags.ROWS_PER_STRIP: long(_THUMBNAIL_SIDE),
    tags.STRIP_OFFSETS: long(0),
    tags.STRIP_BYTE_COUNTS: long(3 * _THUMBNAIL_SIDE**2),
}


def _thumbnail() -> bytes:
    return bytes(range(256)) * 3


def _preview_tags(preview: bytes) -> dict[int, Field | None]:
    height, width = imagecodecs.jpeg8_decode(preview).shape[:2]
    return {
        tags.NEW_SUBFILE_TYPE: long(1),
        tags.IMAGE_WIDTH: long(width),
        tags.IMAGE_LENGTH: long(height),
        tags.BITS_PER_SAMPLE: short(8, 8, 8),
        tags.COMPRESSION: short(tags.JPEG),
        tags.PHOTOMETRIC_INTERPRETATION: short(6),
        tags.SAMPLES_PER_PIXEL: short(3),
        tags.PLANAR_CONFIGURATION: short(1),
        tags.ROWS_PER_STRIP: long(height),
        tags.STRIP_OFFSETS: long(0),
        tags.STRIP_BYTE_COUNTS: long(len(preview)),
    }
