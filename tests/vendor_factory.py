r"""Makes raws in the layouts of other makers from nothing: what LibRaw needs to take them for theirs, and no more.

CR2 is coded as Canon does (lossless JPEG, with or without slices); NEF, ARW, PEF and RAF are the makers' uncompressed
variants: their own codings would have to be written here first.

In the flow of the tests: **make_cr2, make_nef, make_arw, make_pef, make_raf** → foreign_kind, read_foreign, a new DNG.

Source: TIFF 6.0; CR2: the header "CR\2\0" with the offset of the raw directory, and tag 0xc640 (slices), as dcraw
reads them; NEF and ARW: a SubIFD with a colour filter array; PEF: IFD0 itself; RAF: a header with the places of a JPEG,
of big-endian records, and of a TIFF with a directory (0xf000) for the mosaic, as dcraw's parse_fuji reads them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from dng_factory import (
    Field,
    assemble,
    byte,
    encode_directory,
    encode_jpeg,
    encode_ljpeg,
    long,
    pack_bits,
    rational,
    short,
    sshort,
    text,
    undefined,
    xtrans_pattern,
)

from training.raw import tags

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CR2_SLICES = 0xC640
RAF_PATTERN, RAF_MARGIN, RAF_BLACK = xtrans_pattern(1, 2), 6, 1024
GAINS = {"R": 2.0, "G": 1.0, "B": 1.5}
"""White balance of NEF and ARW; the other two keep it in notes that are not written here."""
NEF_WHITE, ARW_WHITE, PEF_WHITE, CR2_WHITE = 4095, 16383, 4095, 16383
"""The largest number of each."""


def make_nef(path: Path, mosaic: NDArray[np.uint16]) -> Path:
    """A Nikon NEF: 12 bits, packed, in a SubIFD, with a JPEG preview in IFD0."""
    raw = _mosaic_tags(mosaic, 12, "RGGB")
    preview = encode_jpeg(160, 120)
    ifd0 = _camera_tags("NIKON CORPORATION", "NIKON D70") | _preview_tags(preview, 160, 120)
    exif = _exif_tags() | {tags.MAKER_NOTE: undefined(_nikon_note())}
    files = assemble({"ifd0": ifd0, "raw": raw, "exif": exif}, _pixels(preview, mosaic, 12), ">")
    path.write_bytes(files)
    return path


def make_arw(path: Path, mosaic: NDArray[np.uint16], preview: bytes | None = None) -> Path:
    """A Sony ARW: 14 bits in 16, in a SubIFD, with the corrections of its lens; `preview` is a JPEG of 160×120."""
    raw = _mosaic_tags(mosaic, 16, "RGGB") | {
        0x7032: sshort(16, *range(0, 160, 10)),
        0x7035: sshort(32, *range(-16, 16)),
        0x7037: sshort(16, *range(-160, 0, 10)),
        0x7313: sshort(*(round(1024 * GAINS[colour]) for colour in "RGGB")),
    }
    preview = preview or encode_jpeg(160, 120)
    ifd0 = _camera_tags("SONY", "ILCE-7M2") | _preview_tags(preview, 160, 120)
    path.write_bytes(assemble({"ifd0": ifd0, "raw": raw, "exif": _exif_tags()}, _pixels(preview, mosaic, 16), "<"))
    return path


def make_pef(path: Path, mosaic: NDArray[np.uint16]) -> Path:
    """A Pentax PEF: 12 bits, packed, in IFD0."""
    ifd0 = _camera_tags("PENTAX", "PENTAX K-x") | _mosaic_tags(mosaic, 12, "BGGR")
    path.write_bytes(assemble({"ifd0": ifd0, "exif": _exif_tags()}, {"ifd0": [pack_bits(mosaic, 12, ">")]}, ">"))
    return path


def make_cr2(path: Path, mosaic: NDArray[np.uint16], slices: tuple[int, int, int] | None = None) -> Path:
    """A Canon CR2: four directories in a chain, of which the last is a lossless JPEG, in slices if asked for.

    Args:
        path: Where to write it.
        mosaic: (H, W) uint16 of 14 bits.
        slices: How many slices there are before the last, their width, the last one's width.
    """
    laid_out = mosaic if slices is None else _sliced(mosaic, slices)
    jpeg, preview = encode_ljpeg(laid_out, 14), encode_jpeg(160, 120)
    camera = _camera_tags("Canon", "Canon EOS 40D")
    raw: dict[int, Field] = {
        tags.COMPRESSION: short(6),
        tags.STRIP_OFFSETS: long(0),
        tags.STRIP_BYTE_COUNTS: long(len(jpeg)),
    }
    if slices is not None:
        raw[CR2_SLICES] = short(*slices)
    thumbnail: dict[int, Field] = {0x201: long(0), 0x202: long(len(preview))}
    chain = [camera | _preview_tags(preview, 160, 120) | {tags.EXIF_IFD: long(0)}, thumbnail, _rgb_tags(), raw]
    sizes = [len(encode_directory(fields, 0, "<")) for fields in [*chain, _exif_tags()]]
    offsets = [16 + sum(sizes[:index]) for index in range(len(sizes) + 1)]
    at = offsets[-1]
    rgb_at = at + len(preview) + len(preview) % 2
    jpeg_at = rgb_at + 16 * 16 * 3 * 2
    chain[0] |= {tags.STRIP_OFFSETS: long(at), tags.EXIF_IFD: long(offsets[4])}
    chain[1][0x201] = long(at)
    chain[2][tags.STRIP_OFFSETS] = long(rgb_at)
    chain[3][tags.STRIP_OFFSETS] = long(jpeg_at)
    encoded = [encode_directory(fields, offset, "<") for fields, offset in zip(chain, offsets, strict=False)]
    linked = b"".join(
        _linked(directory, len(fields), offset)
        for directory, fields, offset in zip(encoded, chain, [*offsets[1:4], 0], strict=True)
    )
    header = b"II" + struct.pack("<HI", 42, 16) + b"CR\2\0" + struct.pack("<I", offsets[3])
    data = preview.ljust(rgb_at - at, b"\0") + bytes(16 * 16 * 3 * 2) + jpeg
    path.write_bytes(header + linked + encode_directory(_exif_tags(), offsets[4], "<") + data)
    return path


def make_raf(path: Path, mosaic: NDArray[np.uint16]) -> Path:
    """A Fujifilm RAF of an X-Trans sensor: 14 bits in 16, with margins of `RAF_MARGIN` that see no light.

    Args:
        path: Where to write it.
        mosaic: (H, W) uint16 of 14 bits; its active area begins with `RAF_PATTERN`.
    """
    height, width = mosaic.shape
    camera = _camera_tags("FUJIFILM", "X-T2")
    exif = b"Exif\0\0" + assemble({"ifd0": camera, "exif": _exif_tags()}, {}, "<")
    preview = encode_jpeg(160, 120)
    preview = preview[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + preview[2:]
    records = {
        0x0100: struct.pack(">2H", height, width),
        0x0121: struct.pack(">2H", height - 2 * RAF_MARGIN, width - 2 * RAF_MARGIN),
        0x0131: bytes("RGB".index(letter) for letter in reversed(RAF_PATTERN)),
        0x2FF0: struct.pack(">4H", *(round(256 * GAINS[colour]) for colour in "GRGB")),
    }
    described = struct.pack(">I", len(records)) + b"".join(
        struct.pack(">2H", tag, len(value)) + value for tag, value in records.items()
    )
    pieces = [preview, described, _raf_mosaic(mosaic)]
    header = bytearray(b"FUJIFILMCCD-RAW 0201FF119501X-T2".ljust(160, b"\0"))
    at = len(header)
    for index, piece in enumerate(pieces):
        struct.pack_into(">2I", header, 84 + 8 * index, at, len(piece))
        at += len(piece) + len(piece) % 2
    path.write_bytes(bytes(header) + b"".join(piece + b"\0" * (len(piece) % 2) for piece in pieces))
    return path


def _raf_mosaic(mosaic: NDArray[np.uint16]) -> bytes:
    """The TIFF in a RAF that holds its mosaic: a directory with one entry, that for another one."""
    height, width = mosaic.shape
    outer = {0xF000: Field(13, (26,))}
    inner: dict[int, Field] = {
        0xF001: long(width),
        0xF002: long(height),
        0xF003: long(14),
        0xF007: long(0),
        0xF008: long(mosaic.nbytes),
        0xF00A: long(*[RAF_BLACK] * 36),
    }
    begin = 26 + len(encode_directory(inner, 26, "<"))
    inner[0xF007] = long(begin)
    header = b"II" + struct.pack("<HI", 42, 8) + encode_directory(outer, 8, "<")
    return header.ljust(26, b"\0") + encode_directory(inner, 26, "<") + mosaic.astype("<u2").tobytes()


def _nikon_note() -> bytes:
    """Nikon's MakerNote with a white balance: a TIFF file of its own, whose offsets begin after ten bytes."""
    fields = {0x0001: undefined(b"0210"), 0x000C: rational(GAINS["R"], GAINS["B"], 1, 1)}
    return b"Nikon\0\2\x10\0\0" + struct.pack(">2sHI", b"MM", 42, 8) + encode_directory(fields, 8, ">")


def _sliced(mosaic: NDArray[np.uint16], slices: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Canon's slices: one after the other in the stream, which is then cut into rows as wide as the frame."""
    count, width, last = slices
    edges = [width * index for index in range(count + 1)]
    pieces = [mosaic[:, left : left + width] for left in edges[:-1]] + [mosaic[:, edges[-1] : edges[-1] + last]]
    return np.concatenate([piece.reshape(-1) for piece in pieces]).reshape(mosaic.shape)


def _linked(directory: bytes, entries: int, following: int) -> bytes:
    """A directory with the offset of the next of its chain."""
    at = 2 + 12 * entries
    return directory[:at] + struct.pack("<I", following) + directory[at + 4 :]


def _pixels(preview: bytes, mosaic: NDArray[np.uint16], bits: int) -> dict[str, list[bytes]]:
    return {"ifd0": [preview], "raw": [pack_bits(mosaic, bits, ">" if bits < 16 else "<")]}


def _camera_tags(make: str, model: str) -> dict[int, Field]:
    return {
        tags.MAKE: text(make),
        tags.MODEL: text(model),
        tags.ORIENTATION: short(1),
        tags.DATE_TIME: text("2021:03:04 05:06:07"),
        0x013B: text("Nobody"),
    }


def _exif_tags() -> dict[int, Field]:
    return {
        tags.EXPOSURE_TIME: rational(1 / 125),
        tags.F_NUMBER: rational(2.8),
        tags.ISO_SPEED_RATINGS: short(1600),
        tags.DATE_TIME_ORIGINAL: text("2021:03:04 05:06:07"),
        0xA434: text("Phantom 50mm"),
    }


def _mosaic_tags(mosaic: NDArray[np.uint16], bits: int, cfa_pattern: str) -> dict[int, Field]:
    height, width = mosaic.shape
    return {
        tags.NEW_SUBFILE_TYPE: long(0),
        tags.IMAGE_WIDTH: long(width),
        tags.IMAGE_LENGTH: long(height),
        tags.BITS_PER_SAMPLE: short(bits),
        tags.COMPRESSION: short(1),
        tags.PHOTOMETRIC_INTERPRETATION: short(tags.COLOR_FILTER_ARRAY),
        tags.STRIP_OFFSETS: long(0),
        tags.SAMPLES_PER_PIXEL: short(1),
        tags.ROWS_PER_STRIP: long(height),
        tags.STRIP_BYTE_COUNTS: long(height * ((width * bits + 7) // 8)),
        tags.PLANAR_CONFIGURATION: short(1),
        tags.CFA_REPEAT_PATTERN_DIM: short(2, 2),
        tags.CFA_PATTERN: byte(*("RGB".index(letter) for letter in cfa_pattern)),
    }


def _preview_tags(preview: bytes, width: int, height: int) -> dict[int, Field]:
    return {
        tags.NEW_SUBFILE_TYPE: long(1),
        tags.IMAGE_WIDTH: long(width),
        tags.IMAGE_LENGTH: long(height),
        tags.BITS_PER_SAMPLE: short(8, 8, 8),
        tags.COMPRESSION: short(6),
        tags.PHOTOMETRIC_INTERPRETATION: short(6),
        tags.STRIP_OFFSETS: long(0),
        tags.SAMPLES_PER_PIXEL: short(3),
        tags.ROWS_PER_STRIP: long(height),
        tags.STRIP_BYTE_COUNTS: long(len(preview)),
    }


def _rgb_tags() -> dict[int, Field]:
    return {
        tags.IMAGE_WIDTH: short(16),
        tags.IMAGE_LENGTH: short(16),
        tags.BITS_PER_SAMPLE: short(16, 16, 16),
        tags.COMPRESSION: short(1),
        tags.PHOTOMETRIC_INTERPRETATION: short(2),
        tags.STRIP_OFFSETS: long(0),
        tags.SAMPLES_PER_PIXEL: short(3),
        tags.ROWS_PER_STRIP: short(16),
        tags.STRIP_BYTE_COUNTS: long(16 * 16 * 6),
    }
