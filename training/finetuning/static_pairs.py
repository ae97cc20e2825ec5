"""Two frames of one static scene: the best that noisy captures can offer, a second look with independent noise.

Nobody has to say so: their difference is noise alone, over nearly the whole frame, in its variance and in its means.
Frames of one scene that were moved, relit or saved twice from one exposure are none.

In the flow: frames → **static groups** → Noise2Noise, and the first judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.raw.bayer import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from training.finetuning.frames import Frame
    from training.noise import NoiseModel

BLOCK = 8
BLOCKS_A_SIDE = 48
"""Blocks looked at, along each side of the frame."""
STATIC_SHARE = 0.9
"""Share of the blocks that must agree with the noise model."""
STRUCTURE = 1.0
"""Variance within a block of both frames' mean, in variances of their difference, from which it holds an edge; noise
alone gives a quarter."""
STRUCTURED_SHARE, MIN_STRUCTURED = 0.75, 12
"""Share of the blocks with edges that must agree, where there are so many."""
MAX_VARIANCE = 1.8
"""Mean square of a block's difference, in variances; 64 Gaussian values stay below in all but one block in 10,000."""
MIN_VARIANCE = 0.5
"""A median below this: one exposure saved twice, whose noise is the same."""
MAX_SHIFT = 3.5
"""Standard deviations that a block's mean may differ by."""


def static_groups(frames: Sequence[Frame], progress: Callable[[float], None]) -> list[list[int]]:
    """Find frames of the same scene.

    Args:
        frames: The captures.
        progress: Called between frames with the share done; what it raises ends the work.

    Returns:
        Groups of at least two indices each, in order; frames without a partner are in none.
    """
    samples: list[NDArray[np.float32]] = []
    groups: list[list[int]] = []
    for index, frame in enumerate(frames):
        progress(index / len(frames))
        samples.append(sample_blocks(pack(frame.read())))
        for group in groups:
            first = frames[group[0]]
            same_kind = frame.kind == first.kind
            noises = first.actual, frame.actual
            if same_kind and is_static(samples[group[0]], samples[index], *noises):
                group.append(index)
                break
        else:
            groups.append([index])
    return [group for group in groups if len(group) > 1]


def partners(groups: Sequence[Sequence[int]]) -> dict[int, int]:
    """The other frame of each that has one: the next of its group.

    >>> partners([[0, 2], [3, 5, 6]])
    {0: 2, 2: 0, 3: 5, 5: 6, 6: 3}
    """
    return {one: group[(at + 1) % len(group)] for group in groups for at, one in enumerate(group)}


def sample_blocks(packed: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 8, 8) blocks of the greens, spread over the frame."""
    green = packed[1]
    rows, columns = (
        np.unique(np.linspace(0, length - BLOCK, min(BLOCKS_A_SIDE, length // BLOCK)).astype(int))
        for length in green.shape
    )
    return np.stack([green[r : r + BLOCK, c : c + BLOCK] for r in rows for c in columns])


def is_static(
    first: NDArray[np.float32], second: NDArray[np.float32], first_noise: NoiseModel, second_noise: NoiseModel
) -> bool:
    """Whether the blocks of two frames differ by their noise alone.

    Args:
        first: (n, 8, 8) linear, the greens.
        second: The same places of another frame.
        first_noise: Its noise.
        second_noise: The other's.
    """
    level = np.maximum((first + second).mean(axis=(1, 2)) / 2, 0)  # (n,)
    variance = sum(noise.shot_noise[1] * level + noise.read_noise[1] for noise in (first_noise, second_noise))
    difference = first.astype(np.float64) - second
    square = np.square(difference).mean(axis=(1, 2)) / variance
    shift = np.abs(difference.mean(axis=(1, 2))) / np.sqrt(variance / BLOCK**2)
    agrees = (square < MAX_VARIANCE) & (shift < MAX_SHIFT)
    structured = ((first + second) / 2).var(axis=(1, 2)) > STRUCTURE * variance
    if structured.sum() >= MIN_STRUCTURED and agrees[structured].mean() < STRUCTURED_SHARE:
        return False  # smooth places look the same after a step aside; edges do not
    return bool(agrees.mean() >= STATIC_SHARE and np.median(square) >= MIN_VARIANCE)
