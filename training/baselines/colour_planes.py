"""Brightness and colour differences of packed planes, or of a picture's, for methods that look at one plane at a time.

The transform is orthogonal: white noise stays white, keeps its variance, and stays independent from plane to plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HALF, _ROOT, _THIRD, _SIXTH = 0.5, np.sqrt(1 / 2), np.sqrt(1 / 3), np.sqrt(1 / 6)
TRANSFORMS = {
    4: np.array(
        [
            [_HALF, _HALF, _HALF, _HALF],  # brightness
            [_ROOT, 0, 0, -_ROOT],  # red against blue
            [_HALF, -_HALF, -_HALF, _HALF],  # magenta against green
            [0, _ROOT, -_ROOT, 0],  # what differs between the greens: position alone
        ]
    ),
    3: np.array(
        [
            [_THIRD, _THIRD, _THIRD],  # brightness
            [_ROOT, 0, -_ROOT],  # red against blue
            [_SIXTH, -2 * _SIXTH, _SIXTH],  # magenta against green
        ]
    ),
}
"""By the number of planes: (4, 4) from R Gr Gb B, (3, 3) from R G B."""


def separate(stabilised: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, h, w) planes R Gr Gb B, or R G B, to brightness and colour differences.

    >>> separate(np.ones((4, 1, 1))).ravel().tolist()
    [2.0, 0.0, 0.0, 0.0]
    """
    return np.asarray(np.einsum("ij,jhw->ihw", TRANSFORMS[len(stabilised)], stabilised))


def join(separated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo `separate`."""
    return np.asarray(np.einsum("ij,ihw->jhw", TRANSFORMS[len(separated)], separated))
