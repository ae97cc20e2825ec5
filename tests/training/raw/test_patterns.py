"""Every pattern that is taken: what it is called, and that whatever is added at a border has its right colour."""

from __future__ import annotations

import numpy as np
import pytest
from dng_factory import OTHER_PATTERNS, letters, xtrans_pattern
from hypothesis import given
from hypothesis import strategies as st

from training.raw.bayer import CFA_PATTERNS, red_position, unify
from training.raw.cells import CELLS
from training.raw.patterns import (
    PATTERNS,
    channel_grid,
    pattern_from,
    phase_of,
    reflect,
    same_colour_offsets,
    tile_cell,
    whole_cells,
)

patterns = pytest.mark.parametrize("pattern", PATTERNS)
sides = st.integers(12, 40)


def test_there_are_four_bayer_patterns_eighteen_of_xtrans_and_monochrome() -> None:
    shifted = {xtrans_pattern(row, column) for row in range(6) for column in range(6)}
    assert len(shifted) == 18
    assert set(PATTERNS) == {*CFA_PATTERNS, *shifted, "Y"}
    kinds = [phase.cell.kind for phase in PATTERNS.values()]
    assert [kinds.count(kind) for kind in CELLS] == [4, 18, 1]


@pytest.mark.parametrize("pattern", ["", "RGBG", "YYYY", "R" * 36, xtrans_pattern()[:-1], xtrans_pattern().swapcase()])
def test_nothing_else_is_a_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="got the CFA pattern"):
        phase_of(pattern)


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_a_bayer_mosaic_begins_where_red_lies(pattern: str) -> None:
    phase = phase_of(pattern)
    assert (phase.row, phase.column) == red_position(pattern)  # type: ignore[arg-type]


@patterns
def test_every_position_has_a_plane_of_its_colour(pattern: str) -> None:
    grid, cell = channel_grid(pattern), phase_of(pattern).cell
    assert sorted(grid.flat) == list(range(cell.channels))
    assert (np.array([*cell.plane_colours])[grid] == letters(pattern, grid.shape)).all()


@patterns
@given(height=sides, width=sides)
def test_whole_cells_have_the_colours_of_cells(pattern: str, height: int, width: int) -> None:
    cell = phase_of(pattern).cell
    rows, columns = whole_cells(phase_of(pattern), (height, width))
    assert len(rows) % cell.side == len(columns) % cell.side == 0
    assert max(len(rows) - height, len(columns) - width) < 2 * cell.side
    found = letters(pattern, (height, width))[np.ix_(rows, columns)]
    assert (found == tile_cell(np.array([[*row] for row in cell.colours]), found.shape)).all()


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
@given(height=sides, width=sides)
def test_whole_cells_of_a_bayer_mosaic_are_the_unified_one(pattern: str, height: int, width: int) -> None:
    mosaic = np.arange(height * width).reshape(height, width)
    rows, columns = whole_cells(phase_of(pattern), mosaic.shape)
    np.testing.assert_array_equal(mosaic[np.ix_(rows, columns)], unify(mosaic, pattern))  # type: ignore[arg-type]


@patterns
@given(height=sides, width=sides)
def test_what_is_reflected_keeps_its_colour(pattern: str, height: int, width: int) -> None:
    places = np.arange(-6, height + 6), np.arange(-6, width + 6)
    rows, columns = reflect(phase_of(pattern), places, (height, width))
    assert min(rows.min(), columns.min()) >= 0
    assert (rows[6:-6] == np.arange(height)).all()
    beyond = letters(pattern, (height + 12, width + 12))  # six rows on every side are a whole number of cells
    assert (letters(pattern, (height, width))[np.ix_(rows, columns)] == beyond).all()


@patterns
@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (2, 5), (-1, -3), (7, 100)])
def test_a_pattern_is_told_from_any_photosite(pattern: str, shift: tuple[int, int]) -> None:
    seen = letters(pattern_from(pattern, *shift), (12, 12))
    assert (seen == np.roll(letters(pattern, (12, 12)), (-shift[0], -shift[1]), axis=(0, 1))).all()


@pytest.mark.parametrize("kind", CELLS)
def test_neighbours_of_the_same_colour_have_it(kind: str) -> None:
    cell = CELLS[kind]  # type: ignore[index]
    planes = np.arange(cell.channels).reshape(cell.side, cell.side)
    known = {plane: offsets for offsets, members in same_colour_offsets(cell).items() for plane in members}
    assert sorted(known) == list(range(cell.channels))
    for plane, offsets in known.items():
        row, column = divmod(plane, cell.side)
        around = [int(planes[(row + down) % cell.side, (column + across) % cell.side]) for down, across in offsets]
        assert {cell.plane_colours[each] for each in around} == {cell.plane_colours[plane]}
        assert (0, 0) in offsets
        assert len(offsets) >= 6
        if kind == "bayer":
            assert set(around) == {plane}, "Gr's neighbours are no Gb"


def test_other_patterns_are_of_other_sensors() -> None:
    assert {phase_of(pattern).cell.kind for pattern in OTHER_PATTERNS} == {"x-trans", "monochrome"}
