"""By how many whole 2×2 cells a frame of a burst is shifted against the first one.

In the flow: pack → **find_shift** → merge. Whole cells keep every photosite its colour and its noise: nothing is
interpolated. What a fraction of a cell, a turn or a tilt leaves, the merge has to notice, place by place.

Candidates are the peaks of a phase correlation, each spatial frequency weighted by how far it stands above the noise;
among them and their neighbours the one whose frames differ least is taken, and no shift where that is as good.

Source: Kuglin and Hines, "The Phase Correlation Image Alignment Method", IEEE Conf. on Cybernetics and Society, 1975;
the weighting by noise is that of Wiener's filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft

from training.brightness import local_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel

MAX_SHARE = 0.25
"""Of a side: frames that are shifted by more have too little in common."""
_CANDIDATES = 4
_COARSE = 31
"""Cells over which brightness is averaged and taken off: what is left are edges and texture."""
_SURE = 5.0
"""Standard errors by which a shift has to lessen the difference to be believed."""
_MOST_SQUARE = 50.0
"""Five standard deviations of a difference of two frames, squared."""


class Shift(NamedTuple):
    """Where a frame's cell (row, column) lies in the first frame: at (row + down, column + across)."""

    down: int
    across: int

    def overlap(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """What both frames show, as rows and columns of the first one and of the shifted one.

        >>> Shift(2, -1).overlap(10, 10)
        ((slice(2, 10, None), slice(0, 9, None)), (slice(0, 8, None), slice(1, 10, None)))
        """
        rows, columns = (
            (slice(max(0, step), length + min(0, step)), slice(max(0, -step), length - max(0, step)))
            for step, length in ((self.down, height), (self.across, width))
        )
        return (rows[0], columns[0]), (rows[1], columns[1])


def guide(packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """(h, w) float32: the brightness of each cell in units of its noise, which is then alike everywhere.

    Args:
        packed: (4, h, w) linear, not clipped, channels R Gr Gb B.
        noise: Its noise.
    """
    brightness = packed.mean(axis=0)
    shot, read = float(np.mean(noise.shot_noise)) / 4, float(np.mean(noise.read_noise)) / 4
    floor = read + 0.375 * shot**2
    stabilised: NDArray[np.float32] = 2 * brightness / (np.sqrt(shot * np.maximum(brightness, 0) + floor) + floor**0.5)
    return stabilised


def find_shift(first: NDArray[np.float32], other: NDArray[np.float32]) -> Shift:
    """How the other frame is shifted against the first; (0, 0) where nothing in them can tell.

    Args:
        first: (h, w) from `guide`.
        other: The same of another frame.
    """
    height, width = first.shape
    ours, theirs = ((frame - local_mean(frame, _COARSE)).astype(np.float32) for frame in (first, other))
    surface = _correlation(ours, theirs)
    limits = int(MAX_SHARE * height), int(MAX_SHARE * width)
    candidates = _peaks(surface, limits)
    near = {
        Shift(down, across)
        for peak in candidates
        for down in range(peak.down - 1, peak.down + 2)
        for across in range(peak.across - 1, peak.across + 2)
        if abs(down) <= limits[0] and abs(across) <= limits[1]
    }
    still = Shift(0, 0)
    differences = {shift: _difference(ours, theirs, shift) for shift in near | {still}}
    best = min(differences, key=lambda shift: (differences[shift], shift))
    error = differences[still] * (2 / first.size) ** 0.5  # of the mean of squares, Gaussian noise alone
    return best if differences[best] < differences[still] - _SURE * error else still


def _correlation(first: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h', w') how well the frames fit at each shift, cyclic; frequencies below the noise count for next to nothing."""
    window = np.outer(*(np.hanning(length).astype(np.float32) for length in first.shape))
    size = [fft.next_fast_len(length, real=True) for length in first.shape]
    spectra = [fft.rfft2(frame * window, size) for frame in (first, other)]
    noise_power = float(np.square(window).sum())  # that of white noise of unit variance
    product = spectra[0] * np.conj(spectra[1])
    product /= np.abs(spectra[0]) * np.abs(spectra[1]) + 4 * noise_power
    surface: NDArray[np.float32] = fft.irfft2(product, size)
    return surface


def _peaks(surface: NDArray[np.float32], limits: tuple[int, int]) -> list[Shift]:
    """The highest places within the limits, each at least two cells from a higher one."""
    found: list[Shift] = []
    window = np.ix_(*(np.arange(-limit, limit + 1) for limit in limits))
    near = surface[window].copy()
    for _ in range(_CANDIDATES):
        row, column = (int(place) for place in np.unravel_index(np.argmax(near), near.shape))
        found.append(Shift(row - limits[0], column - limits[1]))
        near[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = -np.inf
    return found


def _difference(first: NDArray[np.float32], other: NDArray[np.float32], shift: Shift) -> float:
    """How much the frames differ at a shift: the mean square; what moved and outliers count no more than most."""
    here, there = shift.overlap(*first.shape)
    return float(np.minimum(np.square(first[here] - other[there]), _MOST_SQUARE).mean())
