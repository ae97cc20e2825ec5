"""The frames of a burst: read one by one, and refused with a reason where they do not fit together.

In the flow: read_raw → **FrameCheck** → align, merge → **FrameCheck**.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.errors import UnsupportedRawError

if TYPE_CHECKING:
    from training.burst.merging import Placement
    from training.raw.image import RawImage, RawMetadata

MIN_AGREEMENT = 0.5
"""Share of a frame that has to show what the first one shows, for it to be of the same scene."""
_NEAR = 0.02
"""What differs by less, relatively, was rounded or measured anew, not set anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BurstFrame:
    """What became of a frame."""

    name: str
    """The file's name."""
    shift: tuple[int, int]
    """Rows and columns of photosites, both even, by which it was moved onto the first frame."""
    agreement: float
    """Share of what both frames show that agrees, and was merged; 1 for the first frame."""


class FrameCheck:
    """Compares each frame with the first one, and remembers them all.

    Args:
        name: The first frame's file name.
        raw: The first frame.
    """

    def __init__(self, name: str, raw: RawImage) -> None:
        self._name, self._metadata = name, raw.metadata
        self._seen = {_digest(raw): name}

    def check(self, name: str, raw: RawImage) -> None:
        """Take a frame, or refuse it.

        Raises:
            UnsupportedRawError: It is of another camera or another setting, or the same exposure once more.
        """
        for what, ours, theirs in _differences(self._metadata, raw.metadata):
            raise UnsupportedRawError(
                f"{name} does not belong to the burst: its {what} is {theirs}, that of {self._name} is {ours}"
            )
        digest = _digest(raw)
        if digest in self._seen:
            twin = self._seen[digest]
            raise UnsupportedRawError(f"{name} is the same exposure as {twin}: merging them takes no noise away")
        self._seen[digest] = name

    def check_placement(self, name: str, placement: Placement) -> None:
        """Take a frame for one of the same scene, or refuse it.

        Raises:
            UnsupportedRawError: Too little of it shows what the first frame shows.
        """
        shift, share = placement
        if share < MIN_AGREEMENT:
            raise UnsupportedRawError(
                f"{name} does not show what {self._name} shows: {share:.0%} of it agree within the noise, at the best "
                f"shift of {2 * shift.down} rows and {2 * shift.across} columns; {MIN_AGREEMENT:.0%} are needed"
            )


def _digest(raw: RawImage) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(raw.mosaic).data).digest()


def _differences(first: RawMetadata, other: RawMetadata) -> list[tuple[str, object, object]]:
    """What has to be the same and is not: its name, and both values."""
    pairs: list[tuple[str, object, object]] = [
        ("camera", first.camera, other.camera),
        ("size", f"{first.width}×{first.height}", f"{other.width}×{other.height}"),
        ("colour pattern", first.cfa_pattern, other.cfa_pattern),
        ("active area", tuple(first.active_area), tuple(other.active_area)),
        ("white level", first.levels.white_level, other.levels.white_level),
        ("range from black to white", _range(first), _range(other)),
        ("ISO speed", first.iso, other.iso),
        ("exposure time", first.exposure.time_s, other.exposure.time_s),
        ("aperture", first.exposure.f_number, other.exposure.f_number),
    ]
    return [(what, ours, theirs) for what, ours, theirs in pairs if not _alike(ours, theirs)]


def _range(metadata: RawMetadata) -> float:
    return round(float(metadata.levels.signal_range.mean()), 1)


def _alike(ours: object, theirs: object) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=_NEAR)
    return ours == theirs
