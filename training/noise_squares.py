"""What an X-Trans mosaic's noise is read off: its squares of four greens, as if they were the planes of a Bayer mosaic.

The noise estimation compares planes whose photosites lie side by side, in patches of 4×4. An X-Trans mosaic packed by
its cell has 36 planes at a sixth of the size, too coarse for that. But every three rows and columns four greens form a
square of 2×2; its four photosites are four planes at a third of the size, and what differs between them is noise even
in texture. All colours of a sensor have the same noise at the same signal, so red and blue are not missed.

In the flow: packed planes → **estimation_planes** → noise estimation.

Source: the pattern in `training/raw/cells.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.raw.cells import unpack_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.planes import Place, Planes
    from training.raw.cells import Cell

_SIDE = 6
_STEP = 3
"""Photosites from a square to the next."""
_FIRST = 2
"""Row and column of the first square."""


def estimation_planes(packed: Planes, cell: Cell) -> Planes:
    """Four planes to estimate noise by: the packed ones themselves, or the squares of X-Trans."""
    return GreenSquares(packed) if cell.kind == "x-trans" else packed


class GreenSquares:
    """The squares of green of a packed X-Trans mosaic, made of its planes where and when they are read.

    Args:
        packed: (36, h, w) float32.

    >>> planes = np.arange(72, dtype=np.float32).reshape(36, 1, 2)  # a mosaic of 6×12
    >>> squares = GreenSquares(planes)
    >>> squares.shape
    (4, 1, 3)
    >>> (squares[:, :, :] // 2).astype(int)[:, 0, 0].tolist()  # the planes of rows 2 and 3, columns 2 and 3
    [14, 15, 20, 21]
    """

    def __init__(self, packed: Planes) -> None:
        self._packed = packed

    @property
    def shape(self) -> tuple[int, int, int]:
        """4, rows, columns."""
        _, height, width = self._packed.shape
        return 4, 2 * height - 1, 2 * width - 1

    def __getitem__(self, place: Place, /) -> NDArray[np.float32]:
        """(channels, rows, columns) float32: a piece."""
        channels, down, across = (range(size)[part] for part, size in zip(place, self.shape, strict=True))
        cells, top = _cells_of(down)
        more_cells, left = _cells_of(across)
        mosaic = unpack_cells(np.asarray(self._packed[:, cells, more_cells]), _SIDE)
        planes = [
            mosaic[top + channel // 2 :: _STEP, left + channel % 2 :: _STEP][: len(down), : len(across)]
            for channel in channels
        ]
        return np.stack(planes)


def _cells_of(squares: range) -> tuple[slice, int]:
    """The rows, or columns, of cells that hold squares; and where within them the first square begins."""
    start = _STEP * squares.start + _FIRST
    stop = _STEP * (squares.stop - 1) + _FIRST + 2
    return slice(start // _SIDE, -(-stop // _SIDE)), start % _SIDE
