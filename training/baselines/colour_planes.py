"""Brightness and colour differences of packed planes, for methods that look at one plane at a time.

The transform is orthogonal: white noise stays white, keeps its variance, and stays independent from plane to plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HALF, _ROOT = 0.5, np.sqrt(0.5)
TRANSFORM = np.array(
    [
        [_HALF, _HALF, _HALF, _HALF],  # brightness
        [_ROOT, 0, 0, -_ROOT],  # red against blue
        [_HALF, -_HALF, -_HALF, _HALF],  # magenta against green
        [0, _ROOT, -_ROOT, 0],  # what differs between the greens: position alone
    ]
)
"""(4, 4), from R Gr Gb B."""


def separate(stabilised: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, h, w) planes R Gr Gb B to brightness, red against blue, magenta against green, green against green.

    >>> separate(np.ones((4, 1, 1))).ravel().tolist()
    [2.0, 0.0, 0.0, 0.0]
    """
    return np.asarray(np.einsum("ij,jhw->ihw", TRANSFORM, stabilised))


def join(separated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo `separate`."""
    return np.asarray(np.einsum("ij,ihw->jhw", TRANSFORM, separated))
