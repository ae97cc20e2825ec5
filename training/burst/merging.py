"""The mean of a burst's frames, wherever they agree with the first one.

In the flow: pack → **Merge** → denoise. Frames of one exposure have the same noise, so that the mean of least variance
weighs them alike. A frame counts where it differs from the first by no more than the noise of both: by the mean square
of the difference around a place, which an edge that moved makes larger, and by its mean, which tells where something
smooth moved. Where nothing agrees the first frame remains alone, so that what moves leaves no ghost.

Source: the two tests are those of variance and mean of normal samples of known variance (chi-squared distribution); to
merge towards one reference frame, by how far each other one stands above the noise: Hasinoff et al., "Burst Photography
for High Dynamic Range and Low-Light Imaging on Mobile Cameras", SIGGRAPH Asia 2016, section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.brightness import local_mean
from training.burst.alignment import find_shift, guide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.burst.alignment import Shift
    from training.noise import NoiseModel

WINDOW = 7
"""Cells each way that are looked at together: 196 photosites."""
SQUARE_RAMP = (1.25, 1.5)
"""Mean square of the difference in variances: noise alone gives 1 ± 0.1. From full weight to none."""
MEAN_RAMP = (3.0, 6.0)
"""Mean of a colour's differences, squared, in its variances, averaged over four colours: noise alone stays below 3 in
98 of 100 places, and below 6 in all but one of 10,000."""
MOST_STRONGER = 1.5
"""Times that the variance may be larger than the noise model says: files' own noise profiles are believed up to 1.4."""
MOST = 3.0
"""Standard deviations of a difference: a single hot photosite counts no more than this."""
_BAND = 256
"""Rows that are compared at a time, to keep memory small."""


class Merged(NamedTuple):
    """What a burst gives."""

    packed: NDArray[np.float32]
    """(4, h, w) linear, not clipped, channels R Gr Gb B: the mean."""
    frames: NDArray[np.float32]
    """(h, w) of how many frames the mean at each cell is worth: the noise's variance is divided by it."""


class Placement(NamedTuple):
    """How a frame was merged."""

    shift: Shift
    """Against the first frame."""
    agreement: float
    """Share of what both show that agrees."""


class Merge:
    """A mean that grows frame by frame; memory is that of two frames, however many there are.

    Args:
        first: (4, h, w) float32, linear, not clipped: the frame that decides what the picture shows.
        noise: The noise of each frame.
    """

    def __init__(self, first: NDArray[np.float32], noise: NoiseModel) -> None:
        self._first, self._noise = first, noise
        self._guide = guide(first, noise)
        self._sum = first.copy()
        self._weights = np.ones(first.shape[1:], dtype=np.float32)
        self._squares = np.ones(first.shape[1:], dtype=np.float32)

    def add(self, other: NDArray[np.float32]) -> Placement:
        """Align a frame, and add it wherever it agrees with the first.

        Args:
            other: (4, h, w) float32, as `first`.
        """
        shift = find_shift(self._guide, guide(other, self._noise))
        here, there = shift.overlap(*self._first.shape[1:])
        moved = other[:, *there]
        weight = agreement(self._first[:, *here], moved, self._noise)  # (h', w')
        self._sum[:, *here] += weight * moved
        self._weights[here] += weight
        self._squares[here] += np.square(weight)
        return Placement(shift, float(weight.mean()))

    def result(self) -> Merged:
        """The mean of what was added so far."""
        packed, frames = self._sum / self._weights, np.square(self._weights) / self._squares
        return Merged(packed.astype(np.float32, copy=False), frames.astype(np.float32, copy=False))


def agreement(first: NDArray[np.float32], other: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """(h, w) in 0 … 1: how surely two frames show the same thing, as far as their noise lets one tell.

    Args:
        first: (4, h, w) linear.
        other: (4, h, w) linear, already shifted.
        noise: The noise of each; where half of all places differ by more, it is taken to be that much stronger.
    """
    height, reach = first.shape[1], WINDOW // 2
    squares, means = np.empty((2, *first.shape[1:]), dtype=np.float32)
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        rows = slice(max(0, top - reach), min(height, bottom + reach))
        inner = slice(top - rows.start, bottom - rows.start)
        square, mean = _compare(first[:, rows], other[:, rows], noise)
        squares[top:bottom], means[top:bottom] = square[inner], mean[inner]
    stronger = float(np.clip(np.median(squares), 1, MOST_STRONGER))
    weight = _ramp(squares / stronger, SQUARE_RAMP) * _ramp(means / stronger, MEAN_RAMP)
    return weight.astype(np.float32)


def _compare(
    first: NDArray[np.float32], other: NDArray[np.float32], noise: NoiseModel
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(h, w) each: the difference's mean square around a place, and its mean, squared, of the colours on average."""
    deviation = np.sqrt(2 * noise.variance((first + other) / 2))  # of the difference
    difference = np.clip((first - other) / deviation, -MOST, MOST)
    square = local_mean(np.square(difference).mean(axis=0), WINDOW)
    means = [np.square(WINDOW * local_mean(plane, WINDOW)) for plane in difference]
    return square, np.mean(means, axis=0)


def _ramp(values: NDArray[np.floating], ends: tuple[float, float]) -> NDArray[np.float64]:
    """From 1 at the first end to 0 at the second."""
    weight: NDArray[np.float64] = np.interp(values, ends, (1.0, 0.0))
    return weight
