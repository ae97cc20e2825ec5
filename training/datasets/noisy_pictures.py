"""Photographs as they are (sRGB, three channels), given noise: what the papers train on beside raws.

In the flow: pictures → **patches** → objective → step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.base import Patch
from training.datasets.picture_noise import PICTURE_NOISE, add_picture_noise
from training.datasets.synthetic import draw_crop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class NoisyPictures:
    """Draws noisy patches from a set of pictures; the same seed draws the same patch."""

    pictures: tuple[NDArray[np.uint8], ...]
    """Each (H, W, 3) sRGB."""
    names: tuple[str, ...]
    patch_size: int
    """Height and width of a patch in pixels."""
    noise: str
    """A name of `PICTURE_NOISE`."""
    pairs: bool = False
    """Whether a second noisy frame of each patch is drawn, too."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One patch, wholly decided by `seed`: (3, h, w), channels R G B, not linear."""
        rng = np.random.default_rng(seed)
        index = int(rng.integers(len(self.pictures)))
        clean = to_planes(draw_crop(self.pictures[index], self.patch_size, 1.0, rng))
        level = PICTURE_NOISE[self.noise].draw_level(rng)
        noisy = add_picture_noise(clean, level, rng)
        second = add_picture_noise(clean, level, rng) if self.pairs else None
        return Patch(noisy=noisy, clean=clean, second=second, source=self.names[index], **level._asdict())


def to_planes(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 3) to (3, H, W)."""
    return np.ascontiguousarray(np.moveaxis(picture, -1, 0))
