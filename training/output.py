"""What a denoised raw is handed back as: the DNG, or its mosaic alone as a TIFF or a NumPy array; with which preview.

In the flow: denormalise → **write_output** → a file that appears whole or not at all.

Source: TIFF 6.0, sections 3 and 4 (bilevel and greyscale strips); the DNG's own tags for what the numbers mean; the NPY
format 1.0 (NumPy Enhancement Proposal 1).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import numpy as np

from training.errors import ConfigError, PhotositeError
from training.pictures import encode_jpeg
from training.raw.atomic import replacing
from training.raw.jpeg import without_metadata
from training.raw.metadata import strip_gps
from training.raw.mosaic_tiff import write_mosaic_tiff
from training.raw.previews import find_previews, jpeg_picture, preview_ranges, rgb_picture
from training.raw.render import choose_rendering, render_screen
from training.raw.rewrite import write_dng
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from training.raw.image import RawImage
    from training.raw.previews import Picture, PreviewPlace
    from training.raw.rewrite import DngChanges
    from training.raw.tiff import TiffFile

MOST_THUMBNAIL = 256
"""Pixels of the longer side up to which IFD0's picture is a thumbnail: stored uncompressed."""

Format = Literal["dng", "tiff", "npy"]
Preview = Literal["keep", "render", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputOptions:
    """What the result looks like; nothing of it changes a pixel of the mosaic."""

    format: Format = "dng"
    """"dng"; "tiff": the mosaic with its levels in tags; "npy": the mosaic alone."""
    preview: Preview = "keep"
    """With "keep" the camera's preview stays, noise and look; "render": made of the denoised mosaic; "none": gone."""
    strip_gps: bool = False
    """Take out where it was taken."""

    def __post_init__(self) -> None:
        """Reject what cannot be done."""
        if self.format not in {"dng", "tiff", "npy"}:
            raise ConfigError(f"format: got {self.format!r}, wanted dng, tiff or npy")
        if self.preview not in {"keep", "render", "none"}:
            raise ConfigError(f"preview: got {self.preview!r}, wanted keep, render or none")
        if self.format != "dng" and (self.preview != "keep" or self.strip_gps):
            raise ConfigError(f"format: a {self.format} has neither a preview nor a place to be stripped of")


def write_output(source: Path, target: Path, raw: RawImage, changes: DngChanges, output: OutputOptions) -> None:
    """Write a denoised raw; `target` is replaced whole or not at all.

    Args:
        source: The DNG that it was.
        target: Where to write; its folder exists.
        raw: The denoised mosaic, and levels in its numbers.
        changes: What else changes in the DNG.
        output: What the result looks like.

    Raises:
        RawError: The result would be too large for a DNG.
        OSError: `target` cannot be written.
        PhotositeError: Where it was taken cannot be taken out.
    """
    if output.format == "tiff":
        write_mosaic_tiff(target, raw)
    elif output.format == "npy":
        with replacing(target) as file:
            np.save(file, raw.mosaic, allow_pickle=False)
    else:
        changes = replace(changes, previews=_new_previews(source, raw, output))
        _write_dng(source, target, raw, changes, output)


def _write_dng(source: Path, target: Path, raw: RawImage, changes: DngChanges, output: OutputOptions) -> None:
    if not output.strip_gps:
        write_dng(source, target, raw.mosaic, changes)
        return
    with TemporaryDirectory(prefix=".photosite-", dir=target.resolve().parent) as folder:
        unfinished = Path(folder) / "output.dng"
        write_dng(source, unfinished, raw.mosaic, changes)
        problem = strip_gps(unfinished)
        if problem:
            raise PhotositeError(f"where the picture was taken cannot be taken out of it: {problem}")
        with unfinished.open("rb") as made, replacing(target) as file:
            shutil.copyfileobj(made, file)


def _new_previews(source: Path, raw: RawImage, output: OutputOptions) -> Mapping[int, Picture | None]:
    """What to put in the place of each preview, by its directory's offset."""
    if output.preview == "keep" and not output.strip_gps:
        return {}
    with open_tiff(source) as tiff:
        places = find_previews(tiff)
        if output.preview == "keep":
            return _stripped(tiff, places)
    if output.preview == "none":
        places = [place for place in places if not place.in_ifd0 or place.long_edge > MOST_THUMBNAIL]
        return {place.directory.offset: _thumbnail(raw) if place.in_ifd0 else None for place in places}
    return {place.directory.offset: _rendered(place, raw) for place in places}


def _stripped(tiff: TiffFile, places: list[PreviewPlace]) -> dict[int, Picture | None]:
    """The camera's JPEGs without their own metadata, which may say where it was taken, too."""
    pictures: dict[int, Picture | None] = {}
    for place in places:
        data = b"".join(tiff.read(start, end - start) for start, end in preview_ranges(tiff, place.directory))
        picture = jpeg_picture(without_metadata(data))
        if picture is not None and picture.data != data:
            pictures[place.directory.offset] = picture
    return pictures


def _rendered(place: PreviewPlace, raw: RawImage) -> Picture | None:
    """A picture of the denoised mosaic at the old preview's size; IFD0's thumbnail as every reader expects it."""
    if place.in_ifd0 and place.long_edge <= MOST_THUMBNAIL:
        return _thumbnail(raw)
    return jpeg_picture(encode_jpeg(_picture(raw, place.long_edge)))


def _thumbnail(raw: RawImage) -> Picture:
    return rgb_picture(_picture(raw, MOST_THUMBNAIL))


def _picture(raw: RawImage, long_edge: int) -> NDArray[np.uint8]:
    """(h, w, 3) not turned: the file's Orientation turns it."""
    rendering = replace(choose_rendering(raw), orientation=1)
    return render_screen(raw, rendering, long_edge)
