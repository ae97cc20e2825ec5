"""Cells: what a sensor repeats, and packing by it."""

from __future__ import annotations

import numpy as np
import pytest

from training.raw.bayer import pack, unpack
from training.raw.cells import CELLS, Cell, pack_cells, unpack_cells

CELL_LIST = list(CELLS.values())


@pytest.mark.parametrize("cell", CELL_LIST, ids=str)
def test_every_photosite_becomes_a_pixel_of_its_places_plane(cell: Cell) -> None:
    mosaic = np.arange(18 * 24).reshape(18, 24)
    planes = pack_cells(mosaic, cell.side)
    assert planes.shape == (cell.channels, 18 // cell.side, 24 // cell.side)
    for plane, pixels in enumerate(planes):
        row, column = divmod(plane, cell.side)
        np.testing.assert_array_equal(pixels, mosaic[row :: cell.side, column :: cell.side])
    np.testing.assert_array_equal(unpack_cells(planes, cell.side), mosaic)


def test_bayers_cell_packs_as_ever() -> None:
    mosaic = np.random.default_rng(0).random((6, 8), dtype=np.float32)
    np.testing.assert_array_equal(pack_cells(mosaic, 2), pack(mosaic))
    np.testing.assert_array_equal(unpack_cells(pack(mosaic), 2), unpack(pack(mosaic)))


def test_xtrans_is_fujifilms_pattern() -> None:
    """Eight reds, eight blues, twenty greens; every row and column has all three; it repeats itself by (3, 3)."""
    grid = np.array([list(row) for row in CELLS["x-trans"].colours])
    assert {colour: int((grid == colour).sum()) for colour in "RGB"} == {"R": 8, "G": 20, "B": 8}
    assert all(set(line) == {"R", "G", "B"} for line in (*grid, *grid.T))
    np.testing.assert_array_equal(np.roll(grid, (3, 3), axis=(0, 1)), grid)
    np.testing.assert_array_equal(grid[0:3], grid[2::-1])  # and is symmetric about the middle of each of its blocks
    np.testing.assert_array_equal(grid[:, 3:6], grid[:, 5:2:-1])


@pytest.mark.parametrize("cell", CELL_LIST, ids=str)
def test_planes_of_a_colour_and_their_noise(cell: Cell) -> None:
    everything = sorted(plane for colour in "RGBY" for plane in cell.planes_of(colour))
    assert everything == list(range(cell.channels))
    assert [cell.plane_colours[plane] for plane in cell.planes_of("G")] == ["G"] * len(cell.planes_of("G"))
    for plane, channel in enumerate(cell.noise_channels):
        assert "RGGB"[channel] == cell.plane_colours[plane].replace("Y", "R")
