"""Training patches of the frames' training regions.

In the flow: regions → **patches** → objective → step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.augment import augment, draw_augmentation, draw_place
from training.datasets.base import Patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.finetuning.frames import Frame
    from training.finetuning.regions import Region


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePatches:
    """Draws noisy patches from frames; the same seed draws the same patch."""

    frames: tuple[Frame, ...]
    regions: tuple[Region, ...]
    """The part of each frame that is trained on."""
    patch_size: int
    """Height and width of a patch in packed pixels."""
    partners: dict[int, int]
    """The other frame of the same scene, where there is one; empty where the objective wants none."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One patch, wholly decided by `seed`."""
        rng = np.random.default_rng(seed)
        usable = sorted(self.partners) or range(len(self.frames))
        index = int(usable[int(rng.integers(len(usable)))])
        frame, region = self.frames[index], self.regions[index]
        place = draw_place(rng, region.shape, "RGGB", self.patch_size)
        top, left = region.top + place.top, region.left + place.left
        area = slice(top, top + place.size), slice(left, left + place.size)
        symmetry = draw_augmentation(rng)
        second = self.frames[self.partners[index]].read_filled(area) if self.partners else None
        return Patch(
            noisy=augment(frame.read(area), symmetry),
            second=None if second is None else augment(second, symmetry),
            filled=augment(frame.read_filled(area), symmetry),
            shot_noise=frame.told.shot_noise[0],
            read_noise=frame.told.read_noise[0],
            actual_noise=(frame.actual.shot_noise[0], frame.actual.read_noise[0]),
            source=f"{frame.name} at row {top}, column {left}",
        )
