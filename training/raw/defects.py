"""Photosites that a file marks as bad: filled for the network, and left as they were in the output."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.raw.patterns import channel_grid, phase_of, same_colour_offsets

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    ValueAt = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float32]]


class Mended(NamedTuple):
    """Bad photosites that have good neighbours, in raster order, and what stands in for them; (n,) each."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: NDArray[np.float32]


def mend_bad_pixels(value_at: ValueAt, bad: NDArray[np.bool_], cfa_pattern: str) -> Mended:
    """The mean of the good photosites of the same colour around each bad one.

    Args:
        value_at: Gives the float32 values of a mosaic at (n,) rows and (n,) columns.
        bad: (h, w).
        cfa_pattern: The mosaic's, from its top-left.
    """
    rows, columns = np.nonzero(bad)
    height, width = bad.shape
    total, count = np.zeros((2, len(rows)), dtype=np.float32)
    grid = channel_grid(cfa_pattern)
    planes = grid[rows % len(grid), columns % len(grid)]
    for offsets, members in same_colour_offsets(phase_of(cfa_pattern).cell).items():
        chosen = np.flatnonzero(np.isin(planes, members))
        for down, across in offsets:
            row, column = rows[chosen] + down, columns[chosen] + across
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            row, column = np.where(inside, row, 0), np.where(inside, column, 0)
            good = inside & ~bad[row, column]  # which leaves out the bad one itself
            total[chosen] += np.where(good, value_at(row, column), np.float32(0))
            count[chosen] += good
    known = count > 0
    return Mended(rows[known], columns[known], total[known] / count[known])


def fill_bad_pixels(signal: NDArray[np.float32], bad: NDArray[np.bool_], cfa_pattern: str) -> NDArray[np.float32]:
    """Replace bad photosites by the mean of the good ones of the same colour around them.

    One with no good neighbour stays as it is.

    Args:
        signal: (h, w) float32, a mosaic.
        bad: (h, w).
        cfa_pattern: The mosaic's, from its top-left.

    Returns:
        (h, w) float32, a copy.

    >>> signal = np.arange(25, dtype=np.float32).reshape(5, 5)
    >>> bad = np.zeros((5, 5), dtype=bool)
    >>> bad[2, 2], signal[2, 2] = True, 1000
    >>> float(fill_bad_pixels(signal, bad, "RGGB")[2, 2])
    12.0
    """
    filled = signal.copy()
    mended = mend_bad_pixels(lambda rows, columns: signal[rows, columns], bad, cfa_pattern)
    filled[mended.rows, mended.columns] = mended.values
    return filled
