"""What a mosaic's pattern is: which cell the sensor repeats, and where in it the active area begins.

A pattern is named by its letters, read from the top-left of the active area, row by row: "RGGB" and its three kin, the
36 letters of X-Trans in its 18 phases, and "Y" of a sensor without colour filters. Nothing else is a pattern.

Packed planes are the photosites of the cell in the phase of `cells.py`, row by row. What a mosaic lacks to begin and to
end with a whole cell is reflected at a row, or column, about which the cell is symmetric: so every photosite that is
added has its right colour.

In the flow: tags → **pattern** → unify, pack … unpack, restore; levels, render.

Source: DNG specification 1.4, CFAPattern (33422).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from training.raw.cells import CELLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.raw.bayer import Scalar
    from training.raw.cells import Cell

    Offsets = tuple[tuple[int, int], ...]

MONOCHROME = "Y"
REACH = {"bayer": 2, "x-trans": 2, "monochrome": 1}
"""How far away, in rows and columns, neighbours of the same colour are looked for: around red and blue there are eight
in a Bayer mosaic then, and five in X-Trans."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A pattern: a cell, and which of its photosites the active area begins with."""

    cell: Cell
    row: int
    """Rows of the cell above the first one: 0 … side − 1."""
    column: int
    """Columns of the cell left of the first one."""

    @property
    def letters(self) -> str:
        """The cell as it is seen from the active area's top-left, row by row."""
        return "".join(np.roll(self.cell.grid, (-self.row, -self.column), axis=(0, 1)).reshape(-1).tolist())


def _known_patterns() -> dict[str, Phase]:
    """Every pattern by its name; of phases that look alike the first counts."""
    phases = [
        Phase(cell, row, column) for cell in CELLS.values() for row in range(cell.side) for column in range(cell.side)
    ]
    patterns: dict[str, Phase] = {}
    for phase in phases:
        patterns.setdefault(MONOCHROME if phase.cell.kind == "monochrome" else phase.letters, phase)
    return patterns


PATTERNS = _known_patterns()
"""4 of Bayer, 18 of X-Trans, 1 of monochrome sensors."""


def phase_of(pattern: str) -> Phase:
    """The cell and phase of a pattern.

    Raises:
        ValueError: There is no such pattern.

    >>> phase = phase_of("GRBG")
    >>> phase.cell.kind, phase.row, phase.column
    ('bayer', 0, 1)
    """
    if pattern not in PATTERNS:
        raise ValueError(f"got the CFA pattern {pattern!r}, wanted one of Bayer's four, X-Trans' 18, or {MONOCHROME!r}")
    return PATTERNS[pattern]


def pattern_from(pattern: str, down: int, across: int) -> str:
    """A pattern as it is seen from another photosite, so many rows down and columns across.

    >>> pattern_from("RGGB", 0, 1), pattern_from("RGGB", -1, 0), pattern_from("Y", 1, 1)
    ('GRBG', 'GBRG', 'Y')
    """
    phase = phase_of(pattern)
    moved = replace(phase, row=(phase.row + down) % phase.cell.side, column=(phase.column + across) % phase.cell.side)
    return next(name for name, known in PATTERNS.items() if known.letters == moved.letters)


def channel_grid(pattern: str) -> NDArray[np.intp]:
    """Which packed plane each position of the top-left cell belongs to.

    >>> channel_grid("RGGB").tolist()
    [[0, 1], [2, 3]]
    >>> channel_grid("GRBG").tolist()  # Gr R / B Gb
    [[1, 0], [3, 2]]
    """
    phase = phase_of(pattern)
    planes = np.arange(phase.cell.channels, dtype=np.intp).reshape(phase.cell.side, phase.cell.side)
    return np.roll(planes, (-phase.row, -phase.column), axis=(0, 1))


def cfa_numbers(pattern: str) -> tuple[int, ...]:
    """CFAPattern's numbers: 0 red, 1 green, 2 blue; none where the sensor has no colour filters.

    >>> cfa_numbers("GRBG"), cfa_numbers("Y")
    ((1, 0, 2, 1), ())
    """
    return tuple("RGB".index(letter) for letter in pattern) if pattern != MONOCHROME else ()


def tile_cell(values: NDArray[Scalar], shape: tuple[int, int]) -> NDArray[Scalar]:
    """Repeat a cell over a frame of any size.

    >>> tile_cell(np.array([[1, 2], [3, 4]]), (2, 3)).tolist()
    [[1, 2, 1], [3, 4, 3]]
    """
    height, width = shape
    rows, columns = values.shape
    return np.tile(values, (-(-height // rows), -(-width // columns)))[:height, :width]


def whole_cells(phase: Phase, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which rows and columns of an active area whole cells are made of.

    Args:
        phase: Of the active area.
        shape: Its rows and columns, at least two cells each way.

    Returns:
        (H',) rows and (W',) columns, as many as whole cells have; those that the area lacks are reflected.

    >>> [places.tolist() for places in whole_cells(phase_of("GRBG"), (4, 4))]
    [[0, 1, 2, 3], [1, 0, 1, 2, 3, 2]]
    """
    side = phase.cell.side
    rows, columns = (
        np.arange(-(-(length + first) // side) * side) - first
        for first, length in zip((phase.row, phase.column), shape, strict=True)
    )
    return reflect(phase, (rows, columns), shape)


def restore(unified: NDArray[Scalar], pattern: str, shape: tuple[int, ...]) -> NDArray[Scalar]:
    """Cut the (H, W) mosaic of a pattern out of one that begins with a cell."""
    phase = phase_of(pattern)
    return unified[phase.row : phase.row + shape[0], phase.column : phase.column + shape[1]]


def reflect(
    phase: Phase, places: tuple[NDArray[np.intp], NDArray[np.intp]], shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of an active area in the place of those that it lacks, of the same colours.

    Args:
        phase: Of the active area.
        places: Rows and columns, counted from its top-left; a cell at most beyond its borders.
        shape: Its rows and columns, at least two cells each way.
    """
    lines = phase.cell.colours, tuple("".join(column) for column in zip(*phase.cell.colours, strict=True))
    rows, columns = (_reflected(*axis) for axis in zip(lines, (phase.row, phase.column), places, shape, strict=True))
    return rows, columns


def _reflected(lines: tuple[str, ...], first: int, places: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Along one axis: reflected at the outermost lines about which the cell is symmetric."""
    begin = next(line for line in range(length) if _is_axis(lines, (line + first) % len(lines)))
    end = next(line for line in reversed(range(length)) if _is_axis(lines, (line + first) % len(lines)))
    places = np.where(places < 0, 2 * begin - places, places)
    return np.where(places >= length, 2 * end - places, places)


@cache
def _is_axis(lines: tuple[str, ...], line: int) -> bool:
    """Whether the cell's lines, repeated, are the same on both sides of one."""
    side = len(lines)
    return all(lines[(line + step) % side] == lines[(line - step) % side] for step in range(1, side))


@cache
def same_colour_offsets(cell: Cell) -> dict[Offsets, tuple[int, ...]]:
    """Where neighbours of the same colour lie, by what they are neighbours of.

    Bayer's two greens are not the same: only one of them has red beside it.

    Returns:
        Offsets in rows and columns, 0 among them; and the planes whose photosites have these.

    >>> found = same_colour_offsets(CELLS["monochrome"])
    >>> [(len(offsets), planes) for offsets, planes in found.items()]
    [(9, (0, 1, 2, 3))]
    """
    reach, side = REACH[cell.kind], cell.side
    around = [(down, across) for down in range(-reach, reach + 1) for across in range(-reach, reach + 1)]
    names = [str(plane) if cell.kind == "bayer" else colour for plane, colour in enumerate(cell.plane_colours)]
    found: dict[Offsets, tuple[int, ...]] = {}
    for plane, name in enumerate(names):
        row, column = divmod(plane, side)
        offsets = tuple(
            (down, across)
            for down, across in around
            if names[(row + down) % side * side + (column + across) % side] == name
        )
        found[offsets] = (*found.get(offsets, ()), plane)
    return found
