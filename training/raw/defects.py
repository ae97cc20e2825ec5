"""Photosites that a file marks as bad: filled for the network, and left as they were in the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME_COLOUR = [(down, across) for down in (-2, 0, 2) for across in (-2, 0, 2) if down or across]


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
    rows, columns = np.nonzero(bad)
    good = np.pad(np.where(bad, 0, signal), 2)
    weight = np.pad((~bad).astype(np.float32), 2)
    total = sum(good[rows + 2 + down, columns + 2 + across] for down, across in _SAME_COLOUR)
    count = sum(weight[rows + 2 + down, columns + 2 + across] for down, across in _SAME_COLOUR)
    known = np.asarray(count) > 0
    filled[rows[known], columns[known]] = np.asarray(total)[known] / np.asarray(count)[known]
    return filled
