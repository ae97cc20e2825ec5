"""What one network makes of noisy patches, as pairs for another one to learn from.

Two kinds of pairs: the noisy patch and the first network's result; and that result with noise of the patch's strength
drawn anew, and the result. The second kind has the clean side that the noise was really added to.

In the flow: noisy patches → first network → **pairs** → objective → step.

Source: Wu, Liu, Cao, Ren, Zuo, "Unpaired Learning of Deep Image Denoising" (DBSN), ECCV 2020, the section on knowledge
distillation, with the weights of its authors' program (XHWXD/DBSN), 0.1 for the first kind and 1 for the second.
Differences, both deliberate: the clean side of the second kind is a photograph of another scene there, which noisy
images alone do not bring, so that results take its place; the weights are shares of the patches, the same in the mean.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.photons import draw_noisy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from training.datasets.base import Patch, PatchSource

MEASURED_SHARE = 0.1 / 1.1
"""Of the pairs whose noisy side was measured."""
OWN_DRAWS = 1
"""Sets these draws apart from the source's, of the same seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DistilledPatches:
    """Draws pairs; the same seed draws the same pair."""

    source: PatchSource
    """Of noisy patches; what else they have is left out."""
    teacher: Callable[[Patch], NDArray[np.float32]]
    """The first network: what it makes of a patch, of the same shape."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One pair, wholly decided by `seed`."""
        patch = self.source.draw(seed)
        rng = np.random.default_rng((*seed, OWN_DRAWS))
        result = self.teacher(patch)
        if rng.random() < MEASURED_SHARE:
            return dataclasses.replace(patch, clean=result, second=None)
        clean = np.maximum(result, 0)  # there is no light below black
        noisy = draw_noisy(clean, patch.shot_noise, patch.read_noise, rng)
        return dataclasses.replace(patch, noisy=noisy, clean=clean, second=None)
