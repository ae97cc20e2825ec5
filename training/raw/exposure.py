"""How a picture was taken, as far as its file says: speed, exposure time, aperture, the camera's clock.

In the flow: open_tiff → **read_exposure**, beside the mosaic. Nothing here is needed to denoise; what cannot be read is
left unknown, and does not spoil the file.

Source: Exif 2.3, section 4.6.5; the ISO speed of TIFF/EP (ISO 12234-2) lies in IFD0.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.errors import UnreadableRawError
from training.raw import tags

if TYPE_CHECKING:
    from training.raw.tiff import Directory, TiffFile

CLOCK = "%Y:%m:%d %H:%M:%S"
"""How Exif writes a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposure:
    """How a picture was taken; None for what the file does not say."""

    time_s: float | None = None
    """Seconds that the shutter was open."""
    f_number: float | None = None
    """Focal length over the aperture's diameter."""
    captured: dt.datetime | None = None
    """When, by the camera's clock, whose time zone is not known."""


def read_exposure(tiff: TiffFile) -> Exposure:
    """What the Exif directory says."""
    exif = _exif(tiff)
    if exif is None:
        return Exposure()
    return Exposure(
        time_s=_positive(tiff, exif, tags.EXPOSURE_TIME),
        f_number=_positive(tiff, exif, tags.F_NUMBER),
        captured=_captured(tiff, exif),
    )


def read_iso(tiff: TiffFile) -> int | None:
    """ISO speed from the Exif directory, else from IFD0; None where neither says, or says 0."""
    for directory in (_exif(tiff), tiff.chain[0]):
        iso = _iso(tiff, directory) if directory else 0
        if iso > 0:
            return iso
    return None


def _iso(tiff: TiffFile, directory: Directory) -> int:
    try:
        iso = tiff.integer(directory, tags.ISO_SPEED_RATINGS, 0)
        return tiff.integer(directory, tags.RECOMMENDED_EXPOSURE_INDEX, iso) if iso == 65535 else iso
    except UnreadableRawError:
        return 0


def _exif(tiff: TiffFile) -> Directory | None:
    try:
        return tiff.parse_exif(tiff.chain[0])
    except UnreadableRawError:
        return None


def _positive(tiff: TiffFile, exif: Directory, tag: int) -> float | None:
    try:
        values = tiff.values(exif, tag, most=1)
    except UnreadableRawError:
        return None
    return float(values[0]) if values and math.isfinite(values[0]) and values[0] > 0 else None


def _captured(tiff: TiffFile, exif: Directory) -> dt.datetime | None:
    """DateTimeOriginal; cameras whose clock was never set write blanks or zeros."""
    try:
        return dt.datetime.strptime(tiff.text(exif, tags.DATE_TIME_ORIGINAL), CLOCK)  # noqa: DTZ007  (has none)
    except (UnreadableRawError, ValueError):
        return None
