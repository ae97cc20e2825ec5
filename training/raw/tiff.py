"""A TIFF file's directories, parsed with bounds: nothing a hostile file says makes this slow or large.

In the flow: the first thing that touches an upload. Only directory structure is read here; no pixel is decoded.

Source: TIFF 6.0 (Adobe, 1992), section 2; TIFF Technical Note 1 (SubIFDs); BigTIFF (Aware Systems, 2007), which DNG 1.7
allows. The limits are ours.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from training.errors import UnreadableRawError, UnsupportedRawError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

MAX_DIRECTORIES = 64
MAX_ENTRIES = 4096
MAX_ALL_ENTRIES = 16_384
"""Of all directories together; honest files have fewer than 2,000."""
MAX_VALUE_BYTES = 64 * 1024 * 1024
MAX_NUMBERS = 65_536
"""Values of one tag that are turned into Python numbers: a LinearizationTable of 16-bit numbers has as many."""
MAX_TEXT_BYTES = 4096

SUB_IFDS = 330
EXIF_IFD = 34665


class TiffForm(NamedTuple):
    """How a file writes its directories: `struct`'s codes."""

    counter: str
    """How many entries a directory has."""
    number: str
    """How many values an entry has, their offset, and any other offset."""

    @property
    def count_size(self) -> int:
        """Bytes of a directory before its first entry."""
        return struct.calcsize(f"<{self.counter}")

    @property
    def offset_size(self) -> int:
        """Bytes of an offset; a value of so many lies in the entry itself."""
        return struct.calcsize(f"<{self.number}")

    @property
    def entry_size(self) -> int:
        """Bytes of an entry."""
        return 4 + 2 * self.offset_size

    def directory_size(self, entries: int) -> int:
        """Bytes of a directory, the offset of the next one included, without its values."""
        return self.count_size + entries * self.entry_size + self.offset_size


CLASSIC, BIG = TiffForm("H", "I"), TiffForm("Q", "Q")
"""TIFF as it always was, and BigTIFF."""

BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED = 1, 2, 3, 4, 5, 6, 7
SSHORT, SLONG, SRATIONAL, FLOAT, DOUBLE, IFD = 8, 9, 10, 11, 12, 13
LONG8, SLONG8, IFD8 = 16, 17, 18
TYPE_SIZES = {
    BYTE: 1,
    ASCII: 1,
    SHORT: 2,
    LONG: 4,
    RATIONAL: 8,
    SBYTE: 1,
    UNDEFINED: 1,
    SSHORT: 2,
    SLONG: 4,
    SRATIONAL: 8,
    FLOAT: 4,
    DOUBLE: 8,
    IFD: 4,
    LONG8: 8,
    SLONG8: 8,
    IFD8: 8,
}
_NUMPY_TYPES = {
    BYTE: "u1",
    SHORT: "u2",
    LONG: "u4",
    RATIONAL: "u4",
    SBYTE: "i1",
    UNDEFINED: "u1",
    SSHORT: "i2",
    SLONG: "i4",
    SRATIONAL: "i4",
    FLOAT: "f4",
    DOUBLE: "f8",
    IFD: "u4",
    LONG8: "u8",
    SLONG8: "i8",
    IFD8: "u8",
}

_OTHER_RAWS = {
    b"FUJI": "a Fujifilm RAF",
    b"IIU\0": "a Panasonic RW2",
    b"IIRO": "an Olympus ORF",
    b"IIRS": "an Olympus ORF",
    b"MMOR": "an Olympus ORF",
    b"FOVb": "a Sigma X3F",
    b"\0MRM": "a Minolta MRW",
    b"ftypcrx": "a Canon CR3",
}
"""Raw formats that are no TIFF, by bytes 0-3 or 4-10."""

_MAGICS = {42, 0x55, 0x4F52, 0x5352}
"""TIFF's own magic number, Panasonic's and Olympus' two."""

Number = int | float


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory."""

    tag: int
    type: int
    """TIFF field type, one of `TYPE_SIZES`."""
    count: int
    """How many values."""
    value_offset: int
    """Where in the file its value begins (inside the directory itself for up to 4 bytes, in a BigTIFF 8)."""
    entry_offset: int
    """Where in the file its own bytes begin."""

    @property
    def size(self) -> int:
        """Bytes of its value."""
        return self.count * TYPE_SIZES[self.type]


@dataclass(frozen=True, slots=True)
class Directory:
    """One image file directory (IFD)."""

    offset: int
    """Where it begins."""
    entries: dict[int, Entry]
    """By tag; of a tag that stands twice, the first."""
    next_offset: int
    """Where the next directory of its chain begins, 0 for none."""
    pointer_offset: int
    """Where the bytes lie that point to this directory: header, SubIFDs value, or another's next-pointer."""
    pointer_code: str = "I"
    """What these are to `struct`."""


@dataclass(slots=True)
class TiffFile:
    """An open TIFF file whose directories have all been read and checked.

    Use `open_tiff` or a `with` statement; the file stays open for `value` and `read`.
    """

    path: Path
    byte_order: str
    """"<" little-endian or ">" big-endian."""
    size: int
    """Bytes of the whole file."""
    chain: list[Directory] = field(default_factory=list)
    """IFD0 and those linked after it."""
    sub_directories: dict[int, list[Directory]] = field(default_factory=dict)
    """SubIFDs by the offset of the directory that names them."""
    form: TiffForm = CLASSIC
    tolerant: bool = False
    """Whether tags and directories that make no sense are left out, instead of refused."""
    _descriptor: int = -1
    _base: int = 0
    """Where in the file offset 0 lies."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless the second time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def directories(self) -> list[Directory]:
        """IFD0, its chain and all SubIFDs, in the order they were met."""
        found: list[Directory] = []
        for directory in self.chain:
            found.append(directory)
            self._collect(directory, found)
        return found

    def _collect(self, directory: Directory, found: list[Directory]) -> None:
        for child in self.sub_directories.get(directory.offset, []):
            found.append(child)
            self._collect(child, found)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes at `offset`.

        Raises:
            UnreadableRawError: They lie outside the file, or its disk fails.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise UnreadableRawError(f"the file is cut off or corrupt: {size} bytes at {offset} of {self.size}")
        try:
            data = os.pread(self._descriptor, size, self._base + offset)
        except OSError as error:
            raise UnreadableRawError(f"the file cannot be read: {error.strerror}", detail=str(error)) from error
        if len(data) != size:
            raise UnreadableRawError(f"the file is cut off: {len(data)} of {size} bytes at {offset}")
        return data

    def value_bytes(self, entry: Entry) -> bytes:
        """The value of a tag as it lies in the file."""
        return self.read(entry.value_offset, entry.size)

    def values(
        self, directory: Directory, tag: int, default: tuple[Number, ...] = (), *, most: int = MAX_NUMBERS
    ) -> tuple[Number, ...]:
        """The numbers of a tag: int, or float for rationals and floats; `default` where the tag is missing.

        Args:
            directory: Where to look.
            tag: What to look for.
            default: The answer where it is missing.
            most: How many values make sense: a hostile file must not make us read more.

        Raises:
            UnreadableRawError: The tag holds text, too many values, or a rational with denominator 0.
        """
        entry = directory.entries.get(tag)
        if entry is None:
            return default
        kind = _NUMPY_TYPES.get(entry.type)
        if kind is None or entry.count > most:
            raise UnreadableRawError(f"tag {tag} holds {entry.count} values of type {entry.type}, which makes no sense")
        numbers = np.frombuffer(self.value_bytes(entry), dtype=self.byte_order + kind)
        if entry.type in {RATIONAL, SRATIONAL}:
            pairs = numbers.reshape(-1, 2).astype(np.float64)
            if (pairs[:, 1] == 0).any():
                raise UnreadableRawError(f"tag {tag} holds a fraction with denominator 0")
            numbers = pairs[:, 0] / pairs[:, 1]
        return tuple(numbers.tolist())

    def integers(
        self, directory: Directory, tag: int, default: tuple[int, ...] = (), *, most: int = MAX_NUMBERS
    ) -> tuple[int, ...]:
        """The numbers of a tag that have to be whole; `default` where the tag is missing or empty.

        Raises:
            UnreadableRawError: As `values`; or one of them is not whole.
        """
        numbers = self.values(directory, tag, most=most)
        if any(isinstance(number, float) and not number.is_integer() for number in numbers):
            raise UnreadableRawError(f"tag {tag} holds {numbers[:8]}, which should be whole numbers")
        return tuple(int(number) for number in numbers) or default

    def integer(self, directory: Directory, tag: int, default: int | None = None) -> int:
        """The first number of a tag, which has to be whole.

        Raises:
            UnreadableRawError: As `integers`; or the tag is missing and has no default.
        """
        numbers = self.integers(directory, tag, most=16)
        if numbers:
            return numbers[0]
        if default is None:
            raise UnreadableRawError(f"tag {tag} is missing")
        return default

    def text(self, directory: Directory, tag: int) -> str:
        """The text of a tag up to its first NUL, stripped; empty where the tag is missing or not text."""
        entry = directory.entries.get(tag)
        if entry is None or entry.type not in {ASCII, BYTE, UNDEFINED}:
            return ""
        return (
            self.read(entry.value_offset, min(entry.size, MAX_TEXT_BYTES))
            .split(b"\0", 1)[0]
            .decode("utf-8", "replace")
            .strip()
        )

    def _parse_directory(self, offset: int, pointer_offset: int, pointer_code: str = "I") -> Directory:
        count, form = self._entry_count(offset), self.form
        first = offset + form.count_size
        table = self.read(first, form.directory_size(count) - form.count_size)
        entries: dict[int, Entry] = {}
        for index in range(count):
            entry = self._parse_entry(table, first, form.entry_size * index)
            if entry is not None:
                entries.setdefault(entry.tag, entry)
        (next_offset,) = struct.unpack_from(self.byte_order + form.number, table, form.entry_size * count)
        return Directory(offset, entries, next_offset, pointer_offset, pointer_code)

    def _parse_entry(self, table: bytes, table_offset: int, at: int) -> Entry | None:
        number, inside = self.form.number, self.form.offset_size
        tag, kind, count, value = struct.unpack_from(f"{self.byte_order}HH{number}{number}", table, at)
        if kind not in TYPE_SIZES:
            return None  # TIFF 6.0: readers skip fields of an unknown type
        entry = Entry(tag, kind, count, value, table_offset + at)
        if entry.size <= inside:
            return Entry(tag, kind, count, table_offset + at + 4 + inside, table_offset + at)
        if entry.size > MAX_VALUE_BYTES or value + entry.size > self.size:
            if self.tolerant:
                return None
            raise UnreadableRawError(
                f"the file is cut off or corrupt: tag {tag} claims {entry.size} bytes at {value} of {self.size}"
            )
        return entry

    def _walk(self, first: int, pointer_offset: int) -> None:
        """Read IFD0's chain and every SubIFD, each directory once."""
        seen: dict[int, int] = {}
        code = self.form.number
        pending = [(first, pointer_offset, 0, code)]  # (offset, where the pointer lies, parent's offset or 0, its code)
        while pending:
            try:
                pending.extend(self._read_directory(*pending.pop(0), seen))
            except UnreadableRawError:
                if not self.tolerant:
                    raise

    def _read_directory(
        self, offset: int, pointer: int, parent: int, code: str, seen: dict[int, int]
    ) -> list[tuple[int, int, int, str]]:
        """Read one directory to where it belongs, and note its tags in `seen`; gives those that it points to."""
        if offset in seen:
            raise UnreadableRawError(f"the directories form a cycle at {offset}")
        if len(seen) == MAX_DIRECTORIES:
            raise UnreadableRawError(f"the file has more than {MAX_DIRECTORIES} directories")
        seen[offset] = self._entry_count(offset)
        if sum(seen.values()) > MAX_ALL_ENTRIES:
            raise UnreadableRawError(f"the file has more than {MAX_ALL_ENTRIES} tags")
        directory = self._parse_directory(offset, pointer, code)
        (self.sub_directories.setdefault(parent, []) if parent else self.chain).append(directory)
        following = []
        if directory.next_offset and not parent:
            next_pointer = offset + self.form.directory_size(self._entry_count(offset)) - self.form.offset_size
            following.append((directory.next_offset, next_pointer, 0, self.form.number))
        return [*following, *self._sub_pointers(directory)]

    def _entry_count(self, offset: int) -> int:
        (count,) = struct.unpack(self.byte_order + self.form.counter, self.read(offset, self.form.count_size))
        if not 0 < count <= MAX_ENTRIES:
            raise UnreadableRawError(f"the directory at {offset} has {count} entries; 1 to {MAX_ENTRIES} make sense")
        return int(count)

    def _sub_pointers(self, directory: Directory) -> list[tuple[int, int, int, str]]:
        entry = directory.entries.get(SUB_IFDS)
        if entry is None:
            return []
        if entry.count > MAX_DIRECTORIES or entry.type not in {LONG, IFD, LONG8, IFD8}:
            raise UnreadableRawError(f"tag {SUB_IFDS} (SubIFDs) names {entry.count} directories")
        offsets = self.values(directory, SUB_IFDS)
        size, parent = TYPE_SIZES[entry.type], directory.offset
        code = "I" if size == 4 else "Q"
        return [(int(o), entry.value_offset + size * i, parent, code) for i, o in enumerate(offsets) if o]

    def parse_exif(self, directory: Directory) -> Directory | None:
        """The Exif directory that `directory` points to, None where it has none."""
        offset = self.integer(directory, EXIF_IFD, 0)
        if not offset:
            return None
        return self._parse_directory(offset, directory.entries[EXIF_IFD].value_offset)


def open_tiff(path: Path, *, tolerant: bool = False) -> TiffFile:
    """Open a TIFF file and read all its directories.

    Args:
        path: A file; anything may be in it.
        tolerant: Whether tags and directories that make no sense are left out, instead of refused; maybe all of them.

    Returns:
        The open file; close it, or use it in a `with` statement.

    Raises:
        UnreadableRawError: Not a TIFF file, cut off, or its directories make no sense.
        UnsupportedRawError: Another maker's raw that is no TIFF.
    """
    descriptor = _open(path)
    try:
        return _parse(path, descriptor, tolerant=tolerant)
    except BaseException:
        os.close(descriptor)
        raise


def open_first_directory(path: Path, at: int = 0) -> TiffFile:
    """Open a file that is a TIFF, or one but for its magic number (RW2, ORF), or holds one at `at`; reads IFD0 alone.

    Raises:
        UnreadableRawError: Nothing of the kind.
    """
    descriptor = _open(path)
    try:
        return _parse_first(path, descriptor, at)
    except BaseException:
        os.close(descriptor)
        raise


def _parse_first(path: Path, descriptor: int, at: int) -> TiffFile:
    header = os.pread(descriptor, 8, at)
    byte_order = {b"II": "<", b"MM": ">"}.get(header[:2])
    magic, first = struct.unpack_from((byte_order or "<") + "HI", header.ljust(8, b"\0"), 2)
    if byte_order is None or magic not in _MAGICS:
        raise UnreadableRawError("no TIFF directory")
    tiff = TiffFile(path, byte_order, os.fstat(descriptor).st_size - at, _descriptor=descriptor, _base=at)
    tiff.chain.append(tiff._parse_directory(first, 4))  # noqa: SLF001  (the second half of its construction)
    return tiff


def foreign_signature(path: Path) -> str | None:
    """What another maker's raw that is no TIFF a file is, in words; None for all else.

    Raises:
        UnreadableRawError: It cannot be opened, or is no regular file.
    """
    descriptor = _open(path)
    try:
        header = os.pread(descriptor, 16, 0)
    except OSError as error:
        raise UnreadableRawError(f"the file cannot be read: {error.strerror}", detail=str(error)) from error
    finally:
        os.close(descriptor)
    return next((name for magic, name in _OTHER_RAWS.items() if magic in {header[:4], header[4:11]}), None)


def _open(path: Path) -> int:
    """Open a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would block until written to
    except OSError as error:
        raise UnreadableRawError(f"the file cannot be opened: {error.strerror}", detail=str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableRawError("not a file, but a folder, a device or a pipe")
    return descriptor


def _parse(path: Path, descriptor: int, *, tolerant: bool) -> TiffFile:
    status = os.fstat(descriptor)
    header = os.pread(descriptor, 16, 0)
    if not header:
        raise UnreadableRawError("the file is empty")
    other = next((name for magic, name in _OTHER_RAWS.items() if magic in {header[:4], header[4:11]}), None)
    if other is not None:
        raise UnsupportedRawError(f"the file is {other}, not a DNG")
    byte_order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if byte_order is None or len(header) < 8:
        raise UnreadableRawError(f"not a DNG or other TIFF-based raw file: {_describe(header)}")
    magic, first = struct.unpack_from(byte_order + "HI", header, 2)
    if magic not in {42, 43}:
        raise UnreadableRawError(f"not a DNG or other TIFF-based raw file: its magic number is {magic}, not 42 or 43")
    form = CLASSIC if magic == 42 else BIG
    if form is BIG:
        first = _big_first(header, byte_order)
    tiff = TiffFile(path, byte_order, status.st_size, form=form, tolerant=tolerant, _descriptor=descriptor)
    tiff._walk(first, 8 if form is BIG else 4)  # noqa: SLF001  (the second half of its construction)
    return tiff


def _big_first(header: bytes, byte_order: str) -> int:
    """Where a BigTIFF's first directory begins."""
    if len(header) < 16:
        raise UnreadableRawError("the file is cut off: a BigTIFF of fewer than 16 bytes")
    offset_size, zero, first = struct.unpack_from(byte_order + "HHQ", header, 4)
    if (offset_size, zero) != (8, 0):
        raise UnreadableRawError(f"a BigTIFF with offsets of {offset_size} bytes, which do not exist")
    return int(first)


def _describe(header: bytes) -> str:
    """What a file that is not TIFF seems to be."""
    known = {
        b"\xff\xd8\xff": "it is a JPEG",
        b"\x89PNG": "it is a PNG",
        b"%PDF": "it is a PDF",
        b"PK\x03\x04": "it is a ZIP",
    }
    return next((what for magic, what in known.items() if header.startswith(magic)), f"it begins with {header[:4]!r}")
