"""The bytes of a file that the old mosaic leaves free, and its end: where a rewrite puts what is new.

In the flow: write_dng copies everything but these bytes, then places tiles and directories here. What lies elsewhere
stays at its old offset, which keeps MakerNotes with absolute offsets alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.errors import RawTooLargeError, UnreadableRawError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from training.raw.layout import MosaicLayout
    from training.raw.tiff import TiffFile

MAX_FILE_BYTES = (1 << 32) - 1
"""TIFF's offsets have 32 bits."""
_EVEN = 2
"""TIFF wants directories, and their values, on even offsets."""


class Space:
    """Free ranges of a file, first come first served, and then its end.

    >>> space = Space([(100, 200), (200, 300)], size=1000)
    >>> space.place(150), space.place(60), space.place(40), space.end
    (100, 1000, 250, 1060)
    """

    def __init__(self, ranges: Iterable[tuple[int, int]], size: int) -> None:
        self.ranges = _merged(ranges)
        """Free ranges [start, end), in order; a range at the very end of the file is not one, it shortens the file."""
        self.end = size
        """Where the file ends so far."""
        if self.ranges and self.ranges[-1][1] + self.ranges[-1][1] % _EVEN >= size:
            self.end = self.ranges.pop()[0]
        self.kept = list(_between(self.ranges, self.end))
        """What has to stay: everything else."""
        self._left = list(self.ranges)
        self._too_large = MAX_FILE_BYTES
        """A size that no free range had left."""

    def place(self, size: int) -> int:
        """Take `size` bytes from the first free range that has them, else from the end; the offset is even.

        Raises:
            RawTooLargeError: The file would be larger than TIFF's offsets can address.
        """
        if size < self._too_large:
            for index, (start, end) in enumerate(self._left):
                even = start + start % _EVEN
                if even + size <= end:
                    self._left[index] = (even + size, end)
                    return even
            self._too_large = size
        return self.append(size)

    def append(self, size: int) -> int:
        """Take `size` bytes from the end of the file; the offset is even.

        Raises:
            RawTooLargeError: As for `place`.
        """
        start = self.end + self.end % _EVEN
        if start + size > MAX_FILE_BYTES:
            raise RawTooLargeError("the denoised file would be larger than 4 GiB, the most that a DNG can be")
        self.end = start + size
        return start


def mosaic_space(tiff: TiffFile, layout: MosaicLayout, more: Iterable[tuple[int, int]] = ()) -> Space:
    """The space that the mosaic of a file leaves when it is replaced, and `more`: that of previews.

    Raises:
        UnreadableRawError: The mosaic shares bytes with a directory or a tag's value: writing one would harm the other.
    """
    chunks = [(chunk.offset, chunk.offset + chunk.size) for chunk in layout.chunks] + [*more]
    taken = list(_directory_ranges(tiff))
    if _covered([*chunks, *taken]) < _covered(chunks) + _covered(taken):
        raise UnreadableRawError("the file is corrupt: its mosaic and its directories share bytes")
    return Space(chunks, tiff.size)


def _directory_ranges(tiff: TiffFile) -> Iterator[tuple[int, int]]:
    for directory in tiff.directories:
        yield directory.offset, directory.offset + tiff.form.directory_size(len(directory.entries))
        for entry in directory.entries.values():
            yield entry.value_offset, entry.value_offset + entry.size


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes in order; ranges that overlap, touch, or have only an alignment byte between them are joined."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + merged[-1][1] % _EVEN:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _covered(ranges: list[tuple[int, int]]) -> int:
    """How many bytes lie in any of the ranges."""
    return sum(end - start for start, end in _merged(ranges))


def _between(ranges: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """What lies before, between and after the ranges, up to `size`."""
    at = 0
    for start, end in [*ranges, (size, size)]:
        if start > at:
            yield at, start
        at = end
