"""Photosites that a file marks as bad: filled for the network, and left as they were in the output."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    ValueAt = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float32]]

_SAME_COLOUR = [(down, across) for down in (-2, 0, 2) for across in (-2, 0, 2) if down or across]


class Mended(NamedTuple):
    """Bad photosites that have good neighbours, in raster order, and what stands in for them; (n,) each."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: NDArray[np.float32]


def mend_bad_pixels(value_at: ValueAt, bad: NDArray[np.bool_]) -> Mended:
    """The mean of the good photosites of the same colour around each bad one.

    Args:
        value_at: Gives the float32 values of a Bayer mosaic at (n,) rows and (n,) columns.
        bad: (h, w).
    """
    rows, columns = np.nonzero(bad)
    height, width = bad.shape
    total, count = np.zeros((2, len(rows)), dtype=np.float32)
    for down, across in _SAME_COLOUR:
        row, column = rows + down, columns + across
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = np.where(inside, row, 0), np.where(inside, column, 0)
        good = inside & ~bad[row, column]
        total += np.where(good, value_at(row, column), np.float32(0))
        count += good
    known = count > 0
    return Mended(rows[known], columns[known], total[known] / count[known])


def fill_bad_pixels(signal: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Replace bad photosites by the mean of the good ones of the same colour around them.

    One with no good neighbour stays as it is.

    Args:
        signal: (h, w) float32, a Bayer mosaic.
        bad: (h, w).

    Returns:
        (h, w) float32, a copy.

    >>> signal = np.arange(25, dtype=np.float32).reshape(5, 5)
    >>> bad = np.zeros((5, 5), dtype=bool)
    >>> bad[2, 2], signal[2, 2] = True, 1000
    >>> float(fill_bad_pixels(signal, bad)[2, 2])
    12.0
    """
    filled = signal.copy()
    mended = mend_bad_pixels(lambda rows, columns: signal[rows, columns], bad)
    filled[mended.rows, mended.columns] = mended.values
    return filled
