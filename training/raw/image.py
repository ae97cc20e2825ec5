"""A raw file in memory: the mosaic and what the file says about it, checked once when it is made.

In the flow: **read_raw** makes it, `training/denoise.py` consumes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.raw.colour import CameraColour
from training.raw.exposure import Exposure
from training.raw.patterns import phase_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.raw.cells import SensorKind
    from training.raw.levels import Levels
    from training.raw.patterns import Phase


class Rectangle(NamedTuple):
    """A rectangle of photosites, half open, in full-frame coordinates."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index that cuts it out of a full frame."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def intersection(self, other: Rectangle) -> Rectangle:
        """What both have in common; empty (no height or no width) where that is nothing.

        >>> Rectangle(0, 0, 4, 6).intersection(Rectangle(2, 3, 9, 9))
        Rectangle(top=2, left=3, bottom=4, right=6)
        """
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Rectangle(top, left, max(bottom, top), max(right, left))


class ActiveArea(Rectangle):
    """The photosites that saw light."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RawMetadata:
    """What a raw file says about its mosaic; known without decoding a pixel."""

    make: str
    """Camera maker, as the file spells it; empty if it does not say."""
    model: str
    """Camera model, as the file spells it; empty if it does not say."""
    iso: int | None
    """ISO speed, None if the file does not say (or says 0)."""
    width: int
    """Columns of the full frame, masked margins included."""
    height: int
    """Rows of the full frame, masked margins included."""
    bits_per_sample: int
    """Bits of a stored number, before any linearisation."""
    compression: str
    """How the mosaic is stored, in words: "uncompressed", "lossless JPEG" …"""
    cfa_pattern: str
    """Read from the top-left of the active area; see `patterns.py`."""
    active_area: ActiveArea
    """Photosites that saw light; the others come back as they were."""
    levels: Levels
    """Black and white of the numbers in `RawImage.mosaic`."""
    noise_profile: NoiseModel | None = None
    """The file's own noise model (tag 51041), None if it has none."""
    noise_reduction_applied: float | None = None
    """NoiseReductionApplied (tag 50935), None if unknown."""
    denoised_by: str = ""
    """Who marked this file as denoised ("photosite", "darktable"); empty for nobody."""
    linearised: bool = False
    """The file has a LinearizationTable; `RawImage.mosaic` holds its outputs."""
    precision_fixed: bool = False
    """The file's opcodes depend on stored numbers, so these may not be scaled."""
    exposure: Exposure = field(default_factory=Exposure)
    """How the picture was taken, as far as the file says."""
    colour: CameraColour = field(default_factory=CameraColour)
    """What the camera's colours mean, as far as the file says."""
    orientation: int = 1
    """How to turn the picture for viewing (tag 274), 1 … 8; the mosaic is never turned."""
    default_crop: Rectangle | None = None
    """What is meant to be seen (tags 50719, 50720), within the active area; None for all of that."""

    @property
    def phase(self) -> Phase:
        """Which cell the sensor repeats, and what of it the active area begins with."""
        return phase_of(self.cfa_pattern)

    @property
    def sensor(self) -> SensorKind:
        """What kind of sensor it is."""
        return self.phase.cell.kind

    @property
    def visible_area(self) -> Rectangle:
        """What is meant to be seen."""
        return self.default_crop or self.active_area

    @property
    def camera(self) -> str:
        """Make and model, the make not said twice; "unknown" if the file does not say."""
        repeated = self.model.lower().startswith(self.make.lower())
        return " ".join(part for part in ("" if repeated else self.make, self.model) if part) or "unknown"

    def __post_init__(self) -> None:
        """Reject an active area that leaves the frame, an unknown pattern, and levels of another."""
        wanted, found = self.phase.cell.channels, len(self.levels.black_level)
        if found != wanted:
            raise ValueError(f"got {found} black levels, wanted {wanted} for the pattern {self.cfa_pattern}")
        area = self.active_area
        if not (0 <= area.top < area.bottom <= self.height and 0 <= area.left < area.right <= self.width):
            raise ValueError(f"got the active area {tuple(area)}, wanted it inside {self.height}×{self.width}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RawImage:
    """One sensor frame: the mosaic, and what its file says about it."""

    mosaic: NDArray[np.uint16]
    """(H, W) uint16: the full frame in the file's numbers, after its LinearizationTable; margins included."""
    metadata: RawMetadata
    """What the file says."""
    bad_pixels: NDArray[np.bool_] | None = field(default=None)
    """(H, W) photosites that the file itself marks as bad, None for none."""
    digest_matches: bool | None = None
    """Whether the mosaic is the one whose digest the file holds; None where it holds none."""

    def __post_init__(self) -> None:
        """Reject a mosaic that does not fit its metadata."""
        wanted = (self.metadata.height, self.metadata.width)
        if self.mosaic.shape != wanted or self.mosaic.dtype != np.uint16:
            raise ValueError(f"got a mosaic {self.mosaic.shape} {self.mosaic.dtype}, wanted {wanted} uint16")
        if self.bad_pixels is not None and self.bad_pixels.shape != wanted:
            raise ValueError(f"got bad pixels {self.bad_pixels.shape}, wanted {wanted}")

    @property
    def active_mosaic(self) -> NDArray[np.uint16]:
        """(h, w) uint16: a view of the active area."""
        return self.mosaic[self.metadata.active_area.slices]

    def window(self, area: Rectangle) -> RawImage:
        """A part of the active area as a picture of its own, which is all visible.

        Black and white stay the file's, but for the rows' and columns' mean black deltas, which are the part's own.

        Args:
            area: Within the active area, in full-frame coordinates; begins on a whole cell of it.

        Raises:
            ValueError: It does not.
        """
        active = self.metadata.active_area
        inside = area.intersection(active) == area and area.height and area.width
        side = self.metadata.phase.cell.side
        if not inside or (area.top - active.top) % side or (area.left - active.left) % side:
            raise ValueError(f"got the window {tuple(area)}, wanted whole cells of {tuple(active)}")
        levels = self.metadata.levels
        levels = replace(
            levels,
            black_delta_rows=levels.black_delta_rows[area.top - active.top :][: area.height],
            black_delta_columns=levels.black_delta_columns[area.left - active.left :][: area.width],
        )
        metadata = replace(
            self.metadata,
            width=area.width,
            height=area.height,
            active_area=ActiveArea(0, 0, area.height, area.width),
            default_crop=None,
            levels=levels,
        )
        bad_pixels = None if self.bad_pixels is None else self.bad_pixels[area.slices]
        return RawImage(mosaic=self.mosaic[area.slices], metadata=metadata, bad_pixels=bad_pixels)
