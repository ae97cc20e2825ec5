"""Other makers' raws (CR2, CR3, NEF, ARW, RAF, ORF, RW2, PEF …): LibRaw's words put into ours.

In the flow: foreign_kind → **read_foreign** → RawImage, or `new_dng.py`, which makes a DNG of it. What LibRaw says is
about the full frame and in its own order of colours; here it is read from the top-left of the active area, as always.

Source: LibRaw 0.22 (libraw_data_t): `cblack`, `filters`, `cam_mul`, `pre_mul`, `cam_xyz`; flip as dcraw numbers it.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import RawError, UnreadableRawError, UnsupportedRawError
from training.raw import tags
from training.raw.colour import CameraColour
from training.raw.decode import default_decoder
from training.raw.exposure import Exposure
from training.raw.image import ActiveArea, RawImage, RawMetadata, Rectangle
from training.raw.layout import MIN_SIDE
from training.raw.levels import Levels
from training.raw.naming import foreign_camera
from training.raw.patterns import PATTERNS, channel_grid, tile_cell
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.raw.colour import Matrix, Triple
    from training.raw.decode import Decoder
    from training.raw.tiff import Directory, TiffFile

ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
"""LibRaw's flip as TIFF's Orientation."""
_MOST_GAIN = 100.0
_HEADER_BYTES = 8
"""Of a TIFF file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignRaw:
    """Another maker's raw in memory."""

    raw: RawImage
    """The full frame in the file's numbers, after its own tone curve."""
    preview: bytes
    """The camera's preview as a JPEG; empty where there is none."""


def read_foreign(path: Path, kind: str, decoder: Decoder | None = None) -> ForeignRaw:
    """Read another maker's raw.

    Args:
        path: A file that `foreign_kind` takes for one.
        kind: What that said.
        decoder: The program that decodes pixels; this process's own if None.

    Returns:
        Its mosaic, what is known about it, and its preview.

    Raises:
        UnreadableRawError: Not a raw file, cut off, or corrupt.
        UnsupportedRawError: A raw file of a kind that we do not take.
        RawTooLargeError: More pixels than the limits allow.
    """
    _check_directories(path)
    make, model = foreign_camera(path)
    camera = " ".join(part for part in (make, model) if part) or kind
    try:
        mosaic, facts, preview = (decoder or default_decoder()).decode_foreign(path)
        metadata = _metadata(facts, mosaic.shape, make, model, kind)
    except UnsupportedRawError as error:
        raise UnsupportedRawError(f"{camera}: {error.message}", detail=error.detail) from error
    return ForeignRaw(raw=RawImage(mosaic=mosaic, metadata=metadata), preview=preview)


def _check_directories(path: Path) -> None:
    """Refuse a TIFF that LibRaw would decode to nonsense without a word.

    Where a mosaic's directory does not say where it lies, it would take the file's header for it; a table that only
    DNGs have, it would apply. Whether a file is cut off it shows itself (`libraw.py`): how many bytes a mosaic has is
    not always said rightly by honest files. Other kinds of files, and what makes no sense to us, are its to judge.
    """
    try:
        tiff = open_tiff(path, tolerant=True)
    except RawError:
        return
    with tiff:
        for directory in tiff.directories:
            if tags.LINEARIZATION_TABLE in directory.entries:
                raise UnreadableRawError("the file is corrupt: it is no DNG, but has a DNG's LinearizationTable")
            if _is_mosaic(tiff, directory) and not _has_a_place(tiff, directory):
                raise UnreadableRawError("the file is corrupt: it does not say where its mosaic lies")


def _is_mosaic(tiff: TiffFile, directory: Directory) -> bool:
    is_filtered = tags.COLOR_FILTER_ARRAY in _numbers(tiff, directory, tags.PHOTOMETRIC_INTERPRETATION)
    return (is_filtered or tags.CFA_PATTERN in directory.entries) and tags.IMAGE_WIDTH in directory.entries


def _has_a_place(tiff: TiffFile, directory: Directory) -> bool:
    """Whether a mosaic's strips or tiles all begin in the file, after its header."""
    starts = _numbers(tiff, directory, tags.STRIP_OFFSETS) or _numbers(tiff, directory, tags.TILE_OFFSETS)
    return bool(starts) and all(_HEADER_BYTES <= start < tiff.size for start in starts)


def _numbers(tiff: TiffFile, directory: Directory, tag: int) -> tuple[float, ...]:
    """The numbers of a tag; none where it is missing, or holds none."""
    try:
        return tiff.values(directory, tag)
    except UnreadableRawError:
        return ()


def _metadata(facts: dict[str, Any], shape: tuple[int, ...], make: str, model: str, kind: str) -> RawMetadata:
    height, width = shape
    area = _active_area(facts, shape)
    ids, letters = _from(area, facts["colour_ids"]), _from(area, [*facts["pattern"]])
    pattern = "".join(letters.reshape(-1).tolist())
    if pattern not in PATTERNS:
        raise UnsupportedRawError(f"the colour pattern is {pattern}, neither one of the four of Bayer nor X-Trans'")
    levels = _levels(facts, ids, pattern)
    captured = facts["captured"]
    return RawMetadata(
        make=make,
        model=model,
        iso=round(facts["iso"]) or None,
        width=width,
        height=height,
        bits_per_sample=max(8, int(levels.white_level).bit_length()),
        compression=f"{kind}, decoded by LibRaw",
        cfa_pattern=pattern,
        active_area=area,
        levels=levels,
        exposure=Exposure(
            time_s=_positive(facts["time_s"]),
            f_number=_positive(facts["f_number"]),
            captured=None if captured is None else dt.datetime.fromisoformat(captured),
        ),
        colour=CameraColour(as_shot_neutral=_neutral(facts), xyz_to_camera=_matrix(facts["xyz_to_camera"])),
        orientation=ORIENTATIONS.get(facts["flip"], 1),
        default_crop=_crop(facts, area),
    )


def _from(area: ActiveArea, cell: list[Any]) -> NDArray[Any]:
    """A square cell of the full frame, as it is seen from the active area's corner."""
    side = math.isqrt(len(cell))
    return np.roll(np.array(cell).reshape(side, side), (-area.top, -area.left), axis=(0, 1))


def _active_area(facts: dict[str, Any], shape: tuple[int, ...]) -> ActiveArea:
    (top, left), (height, width) = facts["margins"], facts["visible"]
    area = ActiveArea(top, left, min(top + height, shape[0]), min(left + width, shape[1]))
    if min(area.height, area.width) < MIN_SIDE:
        raise UnsupportedRawError(f"the active area has {area.height}×{area.width} photosites; {MIN_SIDE} are needed")
    return area


def _levels(facts: dict[str, Any], ids: NDArray[np.intp], pattern: str) -> Levels:
    """Black per channel, by the colour ids of the active area's first cell."""
    blacks, grid = np.array(facts["black_by_id"], dtype=np.float64)[ids], channel_grid(pattern)
    by_channel = tile_cell(blacks, grid.shape).reshape(-1)[np.argsort(grid.reshape(-1))]
    try:
        return Levels(black_level=tuple(by_channel.tolist()), white_level=float(facts["white"]))
    except ValueError as error:
        raise UnreadableRawError(f"the file's levels make no sense: {error}") from error


def _neutral(facts: dict[str, Any]) -> Triple | None:
    """The camera's colour of grey: green over each gain, of the picture's white balance or else of daylight's."""
    for name in ("camera_gains", "daylight_gains"):
        gains = facts[name][:3]
        if min(gains) > 0 and max(gains) <= _MOST_GAIN * min(gains):
            red, green, blue = (gains[1] / gain for gain in gains)
            return red, green, blue
    return None


def _matrix(rows: list[list[float]]) -> Matrix | None:
    """XYZ to the camera's colours; None where LibRaw's table does not hold the camera."""
    matrix = np.array(rows)
    if matrix.shape != (3, 3) or abs(np.linalg.det(matrix)) < 1e-6:
        return None
    red, green, blue = (tuple(row) for row in matrix.tolist())
    return red, green, blue


def _crop(facts: dict[str, Any], area: ActiveArea) -> Rectangle | None:
    """What the camera itself shows, where LibRaw knows it."""
    (top, left), (height, width) = facts["crop_corner"], facts["crop"]
    crop = Rectangle(top, left, top + height, left + width).intersection(area)
    return crop if min(crop.height, crop.width) >= MIN_SIDE else None


def _positive(number: float) -> float | None:
    return number if number > 0 else None
