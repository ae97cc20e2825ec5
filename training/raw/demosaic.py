"""A plain demosaic for looking at a mosaic pixel by pixel: linear, so that noise stays visible as noise.

In the flow: read_raw → white balance → **demosaic** → render.

Source: of Bayer mosaics: Malvar, He, Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned
color images", ICASSP 2004, figure 2: bilinear interpolation plus a gain times the Laplacian of the colour that is
known; in eighths. Of X-Trans: green by normalised convolution (Knutsson, Westin, "Normalized and Differential
Convolution", CVPR 1993), then red's and blue's differences from it likewise: differences of colours change more slowly
than colours do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.raw.patterns import channel_grid, phase_of, tile_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH = {"bayer": 2, "x-trans": 3, "monochrome": 0}
"""Photosites on each side that a pixel is made of."""
_NEAR = np.array([1, 2, 1], dtype=np.float32)
"""Weights along either axis for green, which lies beside every photosite of X-Trans …"""
_FAR = np.array([1, 2, 3, 2, 1], dtype=np.float32)
"""… and for red and blue, which do not lie beside the middle of a square of greens."""


def demosaic(mosaic: NDArray[np.float32], cfa_pattern: str) -> NDArray[np.float32]:
    """Interpolate the missing colours of every photosite.

    Args:
        mosaic: (h, w) float32, linear, white-balanced: the detail of one colour stands in for another's. At least 3×3;
            beyond its border it is reflected, or of X-Trans left out.
        cfa_pattern: Its pattern, from its top-left.

    Returns:
        (h, w, 3) float32 R, G, B; not clipped, so that a border of the picture can fall a little below 0. All three are
        the mosaic where the sensor has no colour filters.

    >>> demosaic(np.full((4, 5), 0.25, dtype=np.float32), "GBRG")[1, 2].tolist()
    [0.25, 0.25, 0.25]
    """
    cell = phase_of(cfa_pattern).cell
    if cell.kind == "monochrome":
        return np.stack([mosaic] * 3, axis=-1)
    return _demosaic_bayer(mosaic, cfa_pattern) if cell.kind == "bayer" else _demosaic_xtrans(mosaic, cfa_pattern)


def _demosaic_bayer(mosaic: NDArray[np.float32], cfa_pattern: str) -> NDArray[np.float32]:
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


def _demosaic_xtrans(mosaic: NDArray[np.float32], cfa_pattern: str) -> NDArray[np.float32]:
    letters = np.array([*cfa_pattern]).reshape(6, 6)
    red, green, blue = (tile_cell(letters == letter, mosaic.shape) for letter in "RGB")
    greens = np.where(green, mosaic, _spread(mosaic, green, _NEAR))
    reds, blues = (np.where(known, mosaic, greens + _spread(mosaic - greens, known, _FAR)) for known in (red, blue))
    return np.stack([reds, greens, blues], axis=-1)


def _spread(values: NDArray[np.float32], known: NDArray[np.bool_], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) the weighted mean of the known values around each place."""
    total, weight = (_smooth(plane.astype(np.float32), weights) for plane in (np.where(known, values, 0), known))
    return np.asarray(total / np.maximum(weight, 1e-6), dtype=np.float32)


def _smooth(plane: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) weighted sums along both axes; what lies beyond the border counts as 0."""
    reach = len(weights) // 2
    for axis in (0, 1):
        size = plane.shape[axis]
        padded = np.pad(plane, [(reach, reach) if each == axis else (0, 0) for each in (0, 1)])
        parts = (weight * padded.take(range(at, at + size), axis) for at, weight in enumerate(weights))
        plane = np.sum([*parts], axis=0)
    return plane


def _estimates(mosaic: NDArray[np.float32]) -> tuple[NDArray[np.floating], ...]:
    """(h, w) each: green at red or blue; at green the colour of its own row, and of its own column; red at blue."""
    height, width = mosaic.shape
    reach = REACH["bayer"]
    padded = np.pad(mosaic, reach, mode="reflect")

    def at(down: int, across: int) -> NDArray[np.float32]:
        return padded[reach + down : reach + down + height, reach + across : reach + across + width]

    beside, above = at(0, -1) + at(0, 1), at(-1, 0) + at(1, 0)
    far_beside, far_above = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    green = (4 * mosaic + 2 * (beside + above) - far_beside - far_above) / 8
    along = (5 * mosaic + 4 * beside - corners - far_beside + far_above / 2) / 8
    across = (5 * mosaic + 4 * above - corners - far_above + far_beside / 2) / 8
    opposite = (6 * mosaic + 2 * corners - 3 * (far_beside + far_above) / 2) / 8
    return green, along, across, opposite
