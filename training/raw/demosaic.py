"""A plain demosaic for looking at a mosaic pixel by pixel: linear, so that noise stays visible as noise.

In the flow: read_raw → white balance → **demosaic** → render.

Source: Malvar, He, Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images", ICASSP
2004, figure 2: bilinear interpolation plus a gain times the Laplacian of the colour that is known; in eighths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.raw.patterns import channel_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.raw.bayer import CfaPattern

REACH = 2
"""Photosites on each side that a pixel is made of."""


def demosaic(mosaic: NDArray[np.float32], cfa_pattern: CfaPattern) -> NDArray[np.float32]:
    """Interpolate the two missing colours of every photosite.

    Args:
        mosaic: (h, w) float32, linear, white-balanced: the Laplacian of one colour stands in for another's. At least
            3×3; beyond its border it is reflected.
        cfa_pattern: Its pattern.

    Returns:
        (h, w, 3) float32 R, G, B; not clipped, so that a border of the picture can fall a little below 0.

    >>> demosaic(np.full((4, 5), 0.25, dtype=np.float32), "GBRG")[1, 2].tolist()
    [0.25, 0.25, 0.25]
    """
    green, along, across, opposite = _estimates(mosaic)
    by_channel = {  # what red, green and blue are at a photosite of each channel R, Gr, Gb, B
        0: (mosaic, green, opposite),
        1: (along, mosaic, across),
        2: (across, mosaic, along),
        3: (opposite, green, mosaic),
    }
    colours = np.empty((*mosaic.shape, 3), dtype=np.float32)
    for (row, column), channel in np.ndenumerate(channel_grid(cfa_pattern)):
        for colour, estimate in enumerate(by_channel[int(channel)]):
            colours[row::2, column::2, colour] = estimate[row::2, column::2]
    return colours


def _estimates(mosaic: NDArray[np.float32]) -> tuple[NDArray[np.floating], ...]:
    """(h, w) each: green at red or blue; at green the colour of its own row, and of its own column; red at blue."""
    height, width = mosaic.shape
    padded = np.pad(mosaic, REACH, mode="reflect")

    def at(down: int, across: int) -> NDArray[np.float32]:
        return padded[REACH + down : REACH + down + height, REACH + across : REACH + across + width]

    beside, above = at(0, -1) + at(0, 1), at(-1, 0) + at(1, 0)
    far_beside, far_above = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    green = (4 * mosaic + 2 * (beside + above) - far_beside - far_above) / 8
    along = (5 * mosaic + 4 * beside - corners - far_beside + far_above / 2) / 8
    across = (5 * mosaic + 4 * above - corners - far_above + far_beside / 2) / 8
    opposite = (6 * mosaic + 2 * corners - 3 * (far_beside + far_above) / 2) / 8
    return green, along, across, opposite
