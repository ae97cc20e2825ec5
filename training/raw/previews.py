"""The pictures in a DNG that are there to be looked at before anybody develops it: thumbnail and previews.

In the flow: write_output asks which there are, and what a rewrite is to put in their place; new_dng.py makes the first.

Source: DNG specification 1.4, chapter 2 "Preview Images": NewSubFileType 1, or 65537 for an alternative one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.errors import UnreadableRawError
from training.raw import tags
from training.raw import tiff as types
from training.raw.directory import number_field
from training.raw.jpeg import parse_picture_frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.raw.directory import Field
    from training.raw.tiff import Directory, TiffFile

_REDUCED = {tags.REDUCED_IMAGE, 65537}
_MEANINGS = {tags.BLACK_IS_ZERO, tags.RGB, tags.YCBCR}
STORAGE = {
    tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS, tags.ROWS_PER_STRIP, tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS,
    tags.TILE_WIDTH, tags.TILE_LENGTH, tags.PREDICTOR, tags.YCBCR_SUBSAMPLING, tags.YCBCR_POSITIONING,
    tags.REFERENCE_BLACK_WHITE, tags.SAMPLE_FORMAT,
}  # fmt: skip
"""Tags that describe how the old picture was stored."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a directory stores it: in one strip."""

    height: int
    width: int
    samples: int
    """1 or 3."""
    data: bytes
    """A JPEG, or uncompressed RGB."""
    subsampling: tuple[int, int] | None = None
    """Of a JPEG in colour; None for all else."""
    is_jpeg: bool = False

    def fields(self, offset: int, byte_order: str) -> list[Field]:
        """The tags of a directory whose picture's data lie at `offset`."""
        meaning = tags.RGB if not self.is_jpeg else tags.YCBCR if self.samples == 3 else tags.BLACK_IS_ZERO
        compression = tags.JPEG if self.is_jpeg else tags.UNCOMPRESSED
        values = [
            (tags.IMAGE_WIDTH, types.LONG, [self.width]),
            (tags.IMAGE_LENGTH, types.LONG, [self.height]),
            (tags.BITS_PER_SAMPLE, types.SHORT, self.samples * [8]),
            (tags.COMPRESSION, types.SHORT, [compression]),
            (tags.PHOTOMETRIC_INTERPRETATION, types.SHORT, [meaning]),
            (tags.STRIP_OFFSETS, types.LONG, [offset]),
            (tags.SAMPLES_PER_PIXEL, types.SHORT, [self.samples]),
            (tags.ROWS_PER_STRIP, types.LONG, [self.height]),
            (tags.STRIP_BYTE_COUNTS, types.LONG, [len(self.data)]),
            (tags.PLANAR_CONFIGURATION, types.SHORT, [1]),
        ]
        if self.subsampling is not None:
            values.append((tags.YCBCR_SUBSAMPLING, types.SHORT, [*self.subsampling]))
        return [number_field(tag, kind, numbers, byte_order) for tag, kind, numbers in values]


def jpeg_picture(data: bytes) -> Picture | None:
    """A JPEG as a directory stores it; None where it is none that can be described."""
    frame = parse_picture_frame(data)
    if frame is None:
        return None
    subsampling = frame.subsampling if frame.components == 3 else None
    return Picture(frame.height, frame.width, frame.components, data, subsampling, is_jpeg=True)


def rgb_picture(pixels: NDArray[np.uint8]) -> Picture:
    """(h, w, 3) uint8 as a directory stores it, uncompressed."""
    height, width, samples = pixels.shape
    return Picture(height, width, samples, pixels.tobytes())


@dataclass(frozen=True, slots=True)
class PreviewPlace:
    """A directory that holds a preview."""

    directory: Directory
    long_edge: int
    """Pixels of its longer side."""
    in_ifd0: bool
    """IFD0 itself, whose picture can be replaced, but not be dropped."""


def find_previews(tiff: TiffFile) -> list[PreviewPlace]:
    """The previews in IFD0 and its SubIFDs; not depth maps or masks, and nothing that cannot be read."""
    ifd0 = tiff.chain[0]
    return [
        PreviewPlace(directory, _long_edge(tiff, directory), directory is ifd0)
        for directory in (ifd0, *tiff.sub_directories.get(ifd0.offset, []))
        if _is_preview(tiff, directory)
    ]


def preview_ranges(tiff: TiffFile, directory: Directory) -> list[tuple[int, int]]:
    """[start, end) of the bytes of a directory's picture, those inside the file."""
    ranges = []
    for at, size in ((tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS), (tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS)):
        pairs = zip(tiff.integers(directory, at), tiff.integers(directory, size), strict=False)
        ranges += [(start, start + count) for start, count in pairs if count > 0 and start + count <= tiff.size]
    return ranges


def _is_preview(tiff: TiffFile, directory: Directory) -> bool:
    try:
        reduced = tiff.integer(directory, tags.NEW_SUBFILE_TYPE, tags.MAIN_IMAGE) in _REDUCED
        return (
            reduced
            and tiff.integer(directory, tags.PHOTOMETRIC_INTERPRETATION, -1) in _MEANINGS
            and _long_edge(tiff, directory) > 0
            and bool(preview_ranges(tiff, directory))
        )
    except UnreadableRawError:
        return False


def _long_edge(tiff: TiffFile, directory: Directory) -> int:
    return max(tiff.integer(directory, tag, 0) for tag in (tags.IMAGE_WIDTH, tags.IMAGE_LENGTH))
