"""SIDD's validation blocks as patches: what a training on SIDD-Medium is judged by while it runs.

In the flow: blocks → **patches** → held-out score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.base import Patch
from training.errors import ConfigError
from training.raw.bayer import pack, unify
from training.validate import image_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.datasets.sidd_blocks import BlockSet
    from training.noise import NoiseModel


@dataclass(frozen=True, slots=True)
class BlockPatches:
    """Draws a block, unified and packed; the same seed draws the same."""

    blocks: BlockSet
    patch_size: int
    """Height and width in packed pixels, at most half of a block's."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One patch, wholly decided by `seed`.

        Raises:
            ConfigError: The noise of no image can be estimated.
        """
        rng = np.random.default_rng(seed)
        images, count = self.blocks.shape[:2]
        image, noise = self._with_noise([int(index) for index in rng.permutation(images)])
        block = int(rng.integers(count))
        noisy, clean = self.blocks.noisy_blocks(image), self.blocks.clean_blocks(image)
        name, pattern = self.blocks.scenes[image].name, self.blocks.patterns[image]
        kept = (slice(None), slice(self.patch_size), slice(self.patch_size))
        return Patch(
            noisy=pack(unify(noisy[block], pattern))[kept],
            clean=None if clean is None else pack(unify(clean[block], pattern))[kept],
            shot_noise=float(np.mean(noise.shot_noise)),
            read_noise=float(np.mean(noise.read_noise)),
            source=f"{name}, block {block + 1}",
        )

    def _with_noise(self, images: list[int]) -> tuple[int, NoiseModel]:
        """The first image that has a place flat enough to estimate its noise, and its noise model."""
        for image in images[:-1]:
            try:
                return image, self._noise(image)
            except ConfigError:
                continue
        return images[-1], self._noise(images[-1])

    def _noise(self, image: int) -> NoiseModel:
        return image_noise(self.blocks.noisy_blocks(image), None, self.blocks.scenes[image].name)[0]
