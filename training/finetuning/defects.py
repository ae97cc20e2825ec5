"""Photosites that are wrong in every capture: hot ones, mostly, and dead ones.

A method that learns from noisy captures takes for signal what does not change from capture to capture. So the places
are found, by what they do in different scenes, and filled in from their neighbours in what is learned from and judged
by. The network's input keeps them: it learns what a hot photosite looks like, and to remove it wherever it lies.

In the flow: frames → **defects** → patches, judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import median_filter

from training.raw.bayer import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from training.finetuning.frames import Frame
    from training.noise import NoiseModel

MIN_SCENES = 3
"""In fewer, a star or a lamp could be taken for a hot photosite."""
MAX_SCENES = 16
"""More do not find many more."""
SURE = 7.0
"""Standard deviations of the mean over all scenes; a frame has tens of millions of photosites."""
MEDIAN_ERROR = 1.2533
"""Standard error of a median, in those of a mean."""
STRIP = 512
"""Photosites' rows that are looked at together; even."""
MARGIN = 2
_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)


def find_defects(frames: Sequence[Frame], progress: Callable[[float], None]) -> NDArray[np.bool_] | None:
    """Find photosites that differ from their neighbours in the same direction in most scenes.

    Args:
        frames: Of one camera and size, each of another scene.
        progress: Called between strips of rows with the share done; what it raises ends the work.

    Returns:
        (H, W), or None where there are too few scenes to tell, or no such photosite.
    """
    if len(frames) < MIN_SCENES:
        return None
    chosen = frames[:MAX_SCENES]
    height, width = chosen[0].mosaic.shape
    limit = SURE * MEDIAN_ERROR / np.sqrt(len(chosen))
    found = np.zeros((height, width), dtype=bool)
    for top in range(0, height, STRIP):
        first, last = max(0, top - MARGIN), min(height, top + STRIP + MARGIN)
        excess = [_excess(frame.read((slice(first, last), slice(None))), frame.actual) for frame in chosen]
        bottom = min(height, top + STRIP)
        progress(bottom / height)
        found[top:bottom] = (np.abs(np.median(excess, axis=0)) > limit)[top - first : bottom - first]
    return found if found.any() else None


def _excess(mosaic: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """(H, W) by how much each photosite differs from the eight around it of its colour, in standard deviations."""
    packed = pack(mosaic)
    around = np.stack([median_filter(plane, footprint=_RING, mode="reflect") for plane in packed])
    return unpack(((packed - around) / np.sqrt(noise.variance(around))).astype(np.float32))
