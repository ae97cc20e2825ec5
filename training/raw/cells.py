"""What a sensor repeats: the square cell of photosites that a mosaic is packed by.

Packed, every photosite of the cell is a plane of its own, row by row: an RGGB mosaic becomes R, Gr, Gb, B at half the
size, one of X-Trans 36 planes at a sixth. A model takes one kind of cell, and its manifest says which.

Source: the X-Trans pattern as Fujifilm's files, and DNG's CFAPattern for them, hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SensorKind = Literal["bayer", "x-trans", "monochrome"]

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Cell:
    """A sensor's cell in the phase that models know."""

    kind: SensorKind
    colours: tuple[str, ...]
    """Rows from the top: R, G, B, or Y of a sensor without colour filters."""
    pooled: bool
    """Whether planes of one colour share their local brightness; cells so large hold too few photosites of their own
    in what is local."""

    @property
    def side(self) -> int:
        """Photosites each way."""
        return len(self.colours)

    @property
    def grid(self) -> NDArray[np.str_]:
        """(side, side) the colour of every photosite, a letter each."""
        return np.array([[*row] for row in self.colours])

    @property
    def channels(self) -> int:
        """Planes of a packed mosaic."""
        return self.side**2

    @property
    def plane_colours(self) -> str:
        """The colour of every plane."""
        return "".join(self.colours)

    @property
    def noise_channels(self) -> tuple[int, ...]:
        """Which number of a noise model, R Gr Gb B, every plane has. Where greens are alike, Gr's is as good as Gb's.

        >>> CELLS["bayer"].noise_channels, CELLS["monochrome"].noise_channels
        ((0, 1, 2, 3), (0, 0, 0, 0))
        """
        if self.kind == "bayer":
            return (0, 1, 2, 3)
        return tuple({"R": 0, "Y": 0, "G": 1, "B": 3}[colour] for colour in self.plane_colours)

    def planes_of(self, colour: str) -> tuple[int, ...]:
        """Which planes have a colour.

        >>> CELLS["bayer"].planes_of("G"), len(CELLS["x-trans"].planes_of("R"))
        ((1, 2), 8)
        """
        return tuple(plane for plane, each in enumerate(self.plane_colours) if each == colour)


CELLS = {
    "bayer": Cell("bayer", ("RG", "GB"), pooled=False),
    "x-trans": Cell("x-trans", ("GBGGRG", "RGRBGB", "GBGGRG", "GRGGBG", "BGBRGR", "GRGGBG"), pooled=True),
    "monochrome": Cell("monochrome", ("YY", "YY"), pooled=False),
}


def pack_cells(mosaic: NDArray[Scalar], side: int) -> NDArray[Scalar]:
    """(side·h, side·w) → (side², h, w), one plane for each photosite of the cell, row by row.

    >>> pack_cells(np.array([[1, 2], [3, 4]]), 2).ravel().tolist()
    [1, 2, 3, 4]
    """
    height, width = (length // side for length in mosaic.shape)
    cells = mosaic.reshape(height, side, width, side).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(cells.reshape(side**2, height, width))


def unpack_cells(planes: NDArray[Scalar], side: int) -> NDArray[Scalar]:
    """(side², h, w) → (side·h, side·w): undo `pack_cells`."""
    _, height, width = planes.shape
    cells = planes.reshape(side, side, height, width).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(cells.reshape(side * height, side * width))
