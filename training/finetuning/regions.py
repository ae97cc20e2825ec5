"""What of each frame is trained on, and what is judged on: one piece each, with nothing in common.

A band at one end of every frame is held out. Patches lie wholly in the rest; the judge's tiles, with their context,
wholly in the band. So no pixel that a training step has seen reaches a judged one.

In the flow: frames → **regions** → patches, judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from training.datasets.augment import smallest_mosaic
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.finetuning.frames import Frame

HELD_OUT_SHARE = 0.2
SMALLEST_BAND = 128
"""Photosites; two tiles of the judge."""


class Region(NamedTuple):
    """A rectangle of an RGGB mosaic, half open, that begins on red and has even sides."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index that cuts it out."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def overlaps(self, other: Region) -> bool:
        """Whether they have a photosite in common."""
        rows = self.top < other.bottom and other.top < self.bottom
        return rows and self.left < other.right and other.left < self.right


class Split(NamedTuple):
    """A frame's two parts."""

    training: Region
    held_out: Region


def split(shape: tuple[int, ...], share: float, *, at_end: bool) -> Split:
    """Cut a band off the end, or the beginning, of a frame's longer side.

    Args:
        shape: Height and width of the mosaic, even.
        share: Of the longer side.
        at_end: Which end.

    >>> split((800, 1000), 0.2, at_end=True).held_out
    Region(top=0, left=800, bottom=800, right=1000)
    """
    height, width = shape
    longer = max(height, width)
    band = max(SMALLEST_BAND, round(longer * share / 2) * 2)
    cut = longer - band if at_end else band
    parts = [(0, cut), (cut, longer)]
    training, held_out = parts if at_end else parts[::-1]
    if width >= height:
        return Split(*(Region(0, start, height, stop) for start, stop in (training, held_out)))
    return Split(*(Region(start, 0, stop, width) for start, stop in (training, held_out)))


def split_frames(frames: Sequence[Frame], groups: Sequence[Sequence[int]], share: float, patch: int) -> list[Split]:
    """Each frame's parts; frames of one scene are cut at the same end, which the first one's content decides.

    Raises:
        ConfigError: A frame is too small for a patch beside its held-out band; names it.
    """
    leader = {index: group[0] for group in groups for index in group}
    needed = smallest_mosaic(patch)
    splits = []
    for index, frame in enumerate(frames):
        at_end = int(frames[leader.get(index, index)].digest[:8], 16) % 2 == 0
        parts = split(frame.mosaic.shape, share, at_end=at_end)
        if min(parts.training.shape) < needed:
            height, width = frame.mosaic.shape
            raise ConfigError(
                f"captures: {frame.name} has {height}×{width} photosites; beside the part that is held out to judge on,"
                f" a training patch needs {needed}×{needed}"
            )
        splits.append(parts)
    return splits
