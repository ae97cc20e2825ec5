"""Several files as one zip archive, made while it is sent: nothing is whole in memory, nothing lies on the disk.

In the flow: results → **archive** → client.

Source: PKWARE APPNOTE 6.3.10; written by the standard library's zipfile as to a pipe: sizes and CRCs follow their data
(section 4.3.9), ZIP64 where a file needs it.
"""

from __future__ import annotations

import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

PIECE_BYTES = 256 * 1024
_DATE = (1980, 1, 1, 0, 0, 0)
"""Always the same, the format's first day: the same files are the same archive."""
_PLAIN_FILE = 0o100644 << 16


class Entry(NamedTuple):
    """A file of an archive."""

    name: str
    bytes: int
    path: Callable[[], Path]
    """Where it lies; asked when its turn comes."""


def stream_zip(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive, stored and not compressed (denoised raws do not shrink), in pieces.

    Args:
        entries: Its files; their names all different.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(cast("BinaryIO", pipe), "w") as archive:
        for entry in entries:
            about = zipfile.ZipInfo(entry.name, date_time=_DATE)
            about.file_size = entry.bytes  # decides on ZIP64
            about.external_attr = _PLAIN_FILE
            with entry.path().open("rb") as source, archive.open(about, "w") as target:
                while data := source.read(PIECE_BYTES):
                    target.write(data)
                    yield pipe.take()
    yield pipe.take()


def unique_names(names: Iterable[str]) -> list[str]:
    """The names, with a number where one comes again; so, too, where a file system does not tell a from A.

    >>> unique_names(["a.dng", "b.dng", "A.dng", "a-2.dng"])
    ['a.dng', 'b.dng', 'A-2.dng', 'a-2-2.dng']
    """
    given: set[str] = set()
    found = []
    for name in names:
        path, candidate, count = PurePosixPath(name), name, 1
        while candidate.casefold() in given:
            count += 1
            candidate = f"{path.stem}-{count}{path.suffix}"
        given.add(candidate.casefold())
        found.append(candidate)
    return found


class _Pipe:
    """A file that can only be written; keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        """Append."""
        self._written += data
        return len(data)

    def flush(self) -> None:
        """Nothing: there is nothing behind it."""

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self._written)
        self._written.clear()
        return taken
