"""BM3D of a mosaic of any sensor: colour by colour, or the whole of it, its colours first brought to one level.

Where a colour's photosites form no plane, as those of X-Trans, what lies between them is filled in first.

A plane of one colour has a quarter of the photosites, or fewer; the mosaic has them all, and neighbours in it are
neighbours in the picture. Only its colours stand in the way, as a pattern: so what they differ by locally is taken off,
and put back afterwards. It is measured twice: in the noisy mosaic over many photosites, and then, closer, in what the
first pass made of it. The first pass's result is not used otherwise.

The whole mosaic is ours; the idea that a mosaic can be filtered without taking its colours apart is that of Danielyan,
Vehviläinen, Foi, Katkovnik, Egiazarian, "Cross-Color BM3D Filtering of Noisy Raw Data", LNLA 2009, who match blocks of
the same phase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from training.baselines.anscombe import denoise_stabilised
from training.baselines.bm3d import filter_planes
from training.raw.cells import CELLS, pack_cells, unpack_cells
from training.raw.patterns import tile_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.raw.cells import Cell

SPREADS = (8.0, 2.0)
"""Photosites that a colour's level is the Gaussian mean over, in the first and in the second pass."""


FILLING = 1.0
"""Photosites that what lies between those of a colour is the Gaussian mean over."""


def denoise_colours(packed: NDArray[np.float32], noise: NoiseModel, cell: Cell = CELLS["bayer"]) -> NDArray[np.float32]:
    """See `training.baselines.Baseline`; of (C, h, w) planes of any cell, every colour by itself, filled in."""

    def filtered(planes: NDArray[np.float64]) -> NDArray[np.float64]:
        mosaic, colours = _mosaic(planes, cell)
        result = mosaic.copy()
        for colour in np.unique(colours):
            here = colours == colour
            filled = np.where(here, mosaic, _local_mean(mosaic, here, FILLING))
            result[here] = filter_planes(filled[None])[0][here]
        return pack_cells(result, cell.side)

    return denoise_stabilised(packed, noise, filtered, cell)


def denoise(packed: NDArray[np.float32], noise: NoiseModel, cell: Cell = CELLS["bayer"]) -> NDArray[np.float32]:
    """See `training.baselines.Baseline`; of (C, h, w) planes of any cell, all colours together."""

    def filtered(planes: NDArray[np.float64]) -> NDArray[np.float64]:
        mosaic, colours = _mosaic(planes, cell)
        result = mosaic
        for spread in SPREADS[: 2 if len(set(cell.plane_colours)) > 1 else 1]:
            pattern = colour_pattern(result, colours, spread)
            result = filter_planes((mosaic - pattern)[None])[0] + pattern
        return pack_cells(result, cell.side)

    return denoise_stabilised(packed, noise, filtered, cell)


def colour_pattern(mosaic: NDArray[np.float64], colours: NDArray[np.str_], spread: float) -> NDArray[np.float64]:
    """(H, W) by how much the local mean of every photosite's colour is above the mean of those of all colours.

    >>> grey = np.full((6, 6), 0.5)
    >>> float(np.abs(colour_pattern(grey, np.array([["R", "G"], ["G", "B"]] * 3).repeat(3, axis=1), 2.0)).max())
    0.0
    """
    present = [colours == colour for colour in np.unique(colours)]
    levels = [_local_mean(mosaic, here, spread) for here in present]
    return np.asarray(np.select(present, levels) - np.mean(levels, axis=0))


def _mosaic(planes: NDArray[np.float64], cell: Cell) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """(H, W) each: the mosaic of packed planes, and the colour of every photosite."""
    mosaic = unpack_cells(planes, cell.side)
    return mosaic, tile_cell(cell.grid, mosaic.shape)


def _local_mean(mosaic: NDArray[np.float64], here: NDArray[np.bool_], spread: float) -> NDArray[np.float64]:
    """(H, W) the Gaussian mean, everywhere, over those photosites that are meant."""
    mask = here.astype(np.float64)
    return np.asarray(gaussian_filter(mosaic * mask, spread) / gaussian_filter(mask, spread))
