"""SIDD's validation blocks as patches: what a training on SIDD-Medium is judged by while it runs.

In the flow: blocks → **patches** → held-out score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.base import Patch
from training.raw.bayer import pack, unify
from training.validate import image_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.datasets.sidd_blocks import BlockSet


@dataclass(frozen=True, slots=True)
class BlockPatches:
    """Draws a block, unified and packed; the same seed draws the same."""

    blocks: BlockSet
    patch_size: int
    """Height and width in packed pixels, at most half of a block's."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One patch, wholly decided by `seed`."""
        rng = np.random.default_rng(seed)
        images, count = self.blocks.shape[:2]
        image, block = int(rng.integers(images)), int(rng.integers(count))
        noisy, clean = self.blocks.noisy_blocks(image), self.blocks.clean_blocks(image)
        name, pattern = self.blocks.scenes[image].name, self.blocks.patterns[image]
        noise = image_noise(noisy, None, name)[0]
        kept = (slice(None), slice(self.patch_size), slice(self.patch_size))
        return Patch(
            noisy=pack(unify(noisy[block], pattern))[kept],
            clean=None if clean is None else pack(unify(clean[block], pattern))[kept],
            shot_noise=float(np.mean(noise.shot_noise)),
            read_noise=float(np.mean(noise.read_noise)),
            source=f"{name}, block {block + 1}",
        )
