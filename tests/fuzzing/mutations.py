"""Structure-aware damage to raw files: tags, types, counts, offsets, links and coded pixels, changed where they lie.

In the flow of the tests: an honest file → **mutate** → inspect and read_raw, which refuse it or read it rightly.

Source: what TIFF 6.0 lets a directory say; ITU-T T.81's markers. A change never moves what comes after it, so that
several of them in one file all hit what they aim at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.errors import RawError
from training.raw import tags
from training.raw.tiff import BIG, TYPE_SIZES, open_tiff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from training.raw.tiff import Directory, Entry, TiffFile, TiffForm

_CHUNK_TAGS = ((tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS), (tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS))
_TAGS = sorted({value for name, value in vars(tags).items() if name.isupper() and isinstance(value, int)})
_STORAGE = {
    tags.IMAGE_WIDTH, tags.IMAGE_LENGTH, tags.BITS_PER_SAMPLE, tags.COMPRESSION, tags.SAMPLE_FORMAT, tags.FILL_ORDER,
    tags.PREDICTOR, tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS, tags.ROWS_PER_STRIP,
    tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS, tags.TILE_WIDTH, tags.TILE_LENGTH, tags.SUB_TILE_BLOCK_SIZE,
    tags.ROW_INTERLEAVE_FACTOR, tags.COLUMN_INTERLEAVE_FACTOR, tags.LINEARIZATION_TABLE,
}  # fmt: skip
"""Tags by which pixels are found and decoded."""
_SIZED = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MARKERS = [bytes.fromhex(code) for code in ("ffd8", "ffd9", "ffc3", "ffc0", "ffc4", "ffda", "ffdd", "ff00", "ffff")]
_JPEG_HEADER = 96
"""Bytes within which a chunk's frame, tables and scan header lie."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where the parts of an honest file lie."""

    byte_order: str
    form: TiffForm
    entries: tuple[Entry, ...]
    links: tuple[int, ...]
    """Where the offsets of directories lie: in the header, after each directory, in SubIFDs."""
    chunks: tuple[tuple[int, int], ...]
    """Offset and size of each strip and tile, thumbnails' included."""
    storage: frozenset[int]
    """Where those tags lie, of `entries`, by which the mosaic is found and decoded."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change; its numbers are taken modulo what there is."""

    kind: str
    """One of `KINDS`."""
    place: int
    """Which tag, link, chunk or byte."""
    part: int
    """Which value of it, or which of the numbers that are worth trying."""
    number: int
    """A number, or a second place."""


def dissect(path: Path) -> Anatomy:
    """Take an honest file apart."""
    with open_tiff(path) as tiff:
        directories = [*tiff.directories, *_exif(tiff)]
        return Anatomy(
            byte_order=tiff.byte_order,
            form=tiff.form,
            entries=tuple(entry for directory in directories for entry in directory.entries.values()),
            links=tuple({8 if tiff.form is BIG else 4, *(_next_link(tiff, directory) for directory in directories)}),
            chunks=tuple(chunk for directory in directories for chunk in _chunks(tiff, directory)),
            storage=frozenset(
                entry.entry_offset
                for directory in directories
                for entry in directory.entries.values()
                if entry.tag == tags.SUB_IFDS or (_is_mosaic(tiff, directory) and entry.tag in _STORAGE)
            ),
        )


def _is_mosaic(tiff: TiffFile, directory: Directory) -> bool:
    """Whether a directory is the mosaic's; in a CR2, the only one that does not say what it means."""
    meaning = tiff.integer(directory, tags.PHOTOMETRIC_INTERPRETATION, tags.COLOR_FILTER_ARRAY)
    return meaning == tags.COLOR_FILTER_ARRAY


def _exif(tiff: TiffFile) -> list[Directory]:
    found = tiff.parse_exif(tiff.chain[0])
    return [found] if found else []


def _next_link(tiff: TiffFile, directory: Directory) -> int:
    return directory.offset + tiff.form.directory_size(len(directory.entries)) - tiff.form.offset_size


def _chunks(tiff: TiffFile, directory: Directory) -> list[tuple[int, int]]:
    found = []
    for places, sizes in _CHUNK_TAGS:
        try:
            found += list(zip(tiff.integers(directory, places), tiff.integers(directory, sizes), strict=False))
        except RawError:
            continue
    return [(offset, size) for offset, size in found if size > 0]


def mutate(data: bytes, anatomy: Anatomy, mutations: Sequence[Mutation]) -> bytes:
    """The file with these changes, one after the other."""
    changed = bytearray(data)
    for mutation in mutations:
        KINDS[mutation.kind](changed, anatomy, mutation)
    return bytes(changed)


def restore_description(damaged: bytes, honest: bytes, anatomy: Anatomy, *, storage: bool) -> bytes:
    """The honest file with the damaged one's pixels, and, unless `storage`, what that says of how they are stored.

    Other readers refuse files for reasons that have nothing to do with pixels: a colour matrix of one number.
    """
    kept = list(anatomy.chunks)
    for entry in anatomy.entries if not storage else ():
        if entry.entry_offset in anatomy.storage:
            kept += [(entry.entry_offset, anatomy.form.entry_size), (entry.value_offset, entry.size)]
    restored = bytearray(honest)
    for start, size in kept:
        _write(restored, start, damaged[start : start + size])
    if any(start + size > len(damaged) for start, size in anatomy.chunks):  # what was cut off must stay away
        del restored[len(damaged) :]
    return bytes(restored)


def _write(data: bytearray, at: int, replacement: bytes) -> None:
    """Overwrite what is there; beyond the end there is nothing."""
    replacement = replacement[: max(0, len(data) - at)]
    data[at : at + len(replacement)] = replacement


def _entry(anatomy: Anatomy, mutation: Mutation) -> Entry:
    return anatomy.entries[mutation.place % len(anatomy.entries)]


def _chunk(anatomy: Anatomy, place: int) -> tuple[int, int]:
    return anatomy.chunks[place % len(anatomy.chunks)]


def _worth_trying(old: int, size: int, file_bytes: int, mutation: Mutation) -> int:
    """A number of `size` bytes that a careless reader may stumble over, or any."""
    most = 256**size - 1
    candidates = (
        0, 1, 2, 3, 7, 8, 63, 64, 255, 256, 65_535, 65_536, most // 2, most // 2 + 1, most - 1, most,
        old - 1, old + 1, old * 2, old // 2, -old, file_bytes - 1, file_bytes, mutation.number,
        mutation.number % 65_536,
    )  # fmt: skip
    return candidates[mutation.part % len(candidates)] & most


def _change_number(data: bytearray, at: int, size: int, anatomy: Anatomy, mutation: Mutation) -> None:
    code = anatomy.byte_order + _SIZED[size]
    if at + size <= len(data):
        (old,) = struct.unpack_from(code, data, at)
        _write(data, at, struct.pack(code, _worth_trying(old, size, len(data), mutation)))


def _change_value(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    entry = _entry(anatomy, mutation)
    size = TYPE_SIZES[entry.type]
    half = 4 if size == 8 and entry.type in {5, 10} else size  # a fraction is two numbers
    index = (mutation.number >> 16) % max(1, entry.size // half)
    _change_number(data, entry.value_offset + half * index, half, anatomy, mutation)


def _change_type(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    _write(data, _entry(anatomy, mutation).entry_offset + 2, struct.pack(f"{anatomy.byte_order}H", mutation.part % 20))


def _change_count(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    entry_offset, size = _entry(anatomy, mutation).entry_offset, anatomy.form.offset_size
    _change_number(data, entry_offset + 4, size, anatomy, mutation)


def _change_place(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    entry_offset, size = _entry(anatomy, mutation).entry_offset, anatomy.form.offset_size
    _change_number(data, entry_offset + 4 + size, size, anatomy, mutation)


def _change_tag(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    tag = _TAGS[mutation.part % len(_TAGS)] if mutation.number % 4 else mutation.number % 65_536
    _write(data, _entry(anatomy, mutation).entry_offset, struct.pack(f"{anatomy.byte_order}H", tag))


def _swap_values(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    """Two tags change what they say: type, count and value."""
    here = _entry(anatomy, mutation).entry_offset + 2
    there = anatomy.entries[mutation.number % len(anatomy.entries)].entry_offset + 2
    size = anatomy.form.entry_size - 2
    first, second = bytes(data[here : here + size]), bytes(data[there : there + size])
    _write(data, here, second)
    _write(data, there, first)


def _change_link(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    at = anatomy.links[mutation.place % len(anatomy.links)]
    _change_number(data, at, anatomy.form.offset_size, anatomy, mutation)


def _change_pixel(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    offset, size = _chunk(anatomy, mutation.place)
    _write(data, offset + mutation.number % size, bytes([mutation.part % 256]))


def _change_coding(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    """A byte of a chunk's first ones: of a JPEG's frame, tables and scan header, of a deflated stream's header."""
    offset, size = _chunk(anatomy, mutation.place)
    _write(data, offset + mutation.number % min(size, _JPEG_HEADER), bytes([mutation.part % 256]))


def _plant_marker(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    offset, size = _chunk(anatomy, mutation.place)
    _write(data, offset + mutation.number % size, _MARKERS[mutation.part % len(_MARKERS)])


def _blank(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    offset, size = _chunk(anatomy, mutation.place)
    first = mutation.number % size
    length = 1 + (mutation.number >> 8) % (size - first)
    _write(data, offset + first, bytes([mutation.part % 256]) * length)


def _copy(data: bytearray, _anatomy: Anatomy, mutation: Mutation) -> None:
    """A piece of the file once more, where something else was."""
    if data:
        source, length = mutation.number % len(data), 1 + mutation.part % 256
        _write(data, mutation.place % len(data), bytes(data[source : source + length]))


def _cut(data: bytearray, _anatomy: Anatomy, mutation: Mutation) -> None:
    del data[mutation.number % (len(data) + 1) :]


def _cut_end(data: bytearray, _anatomy: Anatomy, mutation: Mutation) -> None:
    del data[max(0, len(data) - 1 - mutation.number % 64) :]


def _grow(data: bytearray, _anatomy: Anatomy, mutation: Mutation) -> None:
    data.extend(bytes([mutation.part % 256]) * (mutation.number % 4096))


def _change_header(data: bytearray, anatomy: Anatomy, mutation: Mutation) -> None:
    size = 16 if anatomy.form is BIG else 8
    _write(data, mutation.place % size, bytes([mutation.part % 256]))


KINDS: dict[str, Callable[[bytearray, Anatomy, Mutation], None]] = {
    "value": _change_value,
    "type": _change_type,
    "count": _change_count,
    "place": _change_place,
    "tag": _change_tag,
    "swap": _swap_values,
    "link": _change_link,
    "pixel": _change_pixel,
    "coding": _change_coding,
    "marker": _plant_marker,
    "blank": _blank,
    "copy": _copy,
    "cut": _cut,
    "cut end": _cut_end,
    "grow": _grow,
    "header": _change_header,
}
"""Every way to damage a file."""
