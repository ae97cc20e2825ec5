"""All that is known of the captures before anything is trained: frames, scenes, defects, and what kind of noise it is.

In the flow: files → **material** → plan, regions, judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from training.finetuning.character import find_character
from training.finetuning.defects import find_defects
from training.finetuning.frames import open_frames, with_defects
from training.finetuning.static_pairs import partners, static_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from training.finetuning.character import Character
    from training.finetuning.frames import Frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """The captures, read and understood."""

    frames: tuple[Frame, ...]
    groups: tuple[tuple[int, ...], ...]
    """Indices of frames of one static scene; those without a second frame are in none."""
    character: Character
    skipped: tuple[str, ...]
    """Sentences about captures that were left out."""

    @property
    def partners(self) -> dict[int, int]:
        """The other frame of each that has one."""
        return partners(self.groups)

    @property
    def defect_count(self) -> int:
        """Photosites that are wrong in every capture, of all cameras."""
        return sum(
            {frame.kind: int(frame.defects.sum()) for frame in self.frames if frame.defects is not None}.values()
        )


def gather(paths: Sequence[Path], run: Path, patch_size: int, progress: Callable[[str, float], None]) -> Material:
    """Read captures, and find out what there is to know about them.

    Args:
        paths: The files.
        run: The run's folder, for the decoded mosaics.
        patch_size: Height and width in packed pixels of the smallest patch that training needs.
        progress: Called with a stage, "read" or "noise", and its share done; what it raises ends the work.

    Raises:
        ConfigError: None of them can be used.
    """
    frames, skipped = open_frames(paths, run, patch_size, lambda share: progress("read", share))
    noise = partial(progress, "noise")
    groups = static_groups(frames, part_of(noise, 0.0, 0.2))
    frames = _know_defects(frames, groups, part_of(noise, 0.2, 0.8))
    return Material(
        frames=tuple(frames),
        groups=tuple(map(tuple, groups)),
        character=find_character(frames, part_of(noise, 0.8, 1.0)),
        skipped=tuple(skipped),
    )


def part_of(progress: Callable[[float], None], start: float, stop: float) -> Callable[[float], None]:
    """What tells of the whole when it is told of a part.

    >>> part_of(print, 0.5, 1.0)(0.5)
    0.75
    """
    return lambda share: progress(start + share * (stop - start))


def _know_defects(
    frames: Sequence[Frame], groups: Sequence[Sequence[int]], progress: Callable[[float], None]
) -> list[Frame]:
    """The frames with the defects of their sensor known; frames of one scene count once."""
    repeated = {index for group in groups for index in group[1:]}
    scenes: dict[tuple[str, tuple[int, ...]], list[Frame]] = {}
    for index, frame in enumerate(frames):
        scenes.setdefault(frame.kind, []).extend([] if index in repeated else [frame])
    defects = {}
    for index, (kind, seen) in enumerate(scenes.items()):
        half = len(scenes) * 2
        defects[kind] = find_defects(seen, part_of(progress, index / half, (index + 1) / half))
    known = []
    for index, frame in enumerate(frames):
        progress(0.5 + 0.5 * index / len(frames))
        mask = defects[frame.kind]
        known.append(frame if mask is None else with_defects(frame, mask))
    return known
