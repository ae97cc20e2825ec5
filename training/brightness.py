"""Keeps brightness and colour: takes away what a network adds to, or takes from, the mean at each brightness.

In the flow: network → stitch → **keep_brightness** → unpack.

In deep shadows a bias far below the noise (a twentieth of its standard deviation, say) is still some percent of the
signal, and a tint where the planes differ. Over thousands of photosites of the same brightness the noise averages out,
so that the input's own mean shows the bias, and it can be subtracted.

All photosites count, but brightness and shift change slowly from place to place: both are kept for blocks of 5×5. Where
a sensor's cell is so large that its planes are small, as that of X-Trans, all planes of a colour are shifted alike, by
what their mean shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.raw.bands import for_each_band
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.planes import Planes
    from training.raw.cells import Cell

    Groups = tuple[tuple[int, ...], ...]

MAX_RANGES = 16
MIN_PHOTOSITES = 4096
"""Fewer in a range, and the mean of their noise would be more than a sixtieth of its standard deviation."""
BLOCK = 5
"""Photosites of a colour in a block, each way; fewer cells where these are larger."""
LOCAL = 3
"""Blocks, each way, over which the brightness of a place is averaged; odd."""
_BAND = 16 * BLOCK


def keep_brightness(noisy: Planes, denoised: NDArray[np.float32], cell: Cell = CELLS["bayer"]) -> NDArray[np.float32]:
    """Shift each plane by a smooth function of the local brightness, so that its mean stays the input's everywhere.

    Args:
        noisy: (c, h, w) float32, linear, not clipped, channels as the cell has them.
        denoised: The same, denoised; changed in place.
        cell: What they are packed by.

    Returns:
        `denoised`; as it was where a plane is too small for its noise to average out.
    """
    height, width = denoised.shape[1:]
    groups, block = _groups(cell), round(BLOCK * CELLS["bayer"].side / cell.side)
    ranges = min(MAX_RANGES, height * width * min(map(len, groups)) // MIN_PHOTOSITES)
    if ranges == 0 or min(height, width) < block * LOCAL:
        return denoised
    brightness, excess = np.empty((2, len(groups), height // block, width // block), dtype=np.float32)

    def look(rows: slice) -> None:
        blocks = slice(rows.start // block, rows.stop // block)
        brightness[:, blocks] = block_means(_pooled(denoised[:, rows], groups), block)
        excess[:, blocks] = block_means(_pooled(noisy[:, rows, :], groups), block) - brightness[:, blocks]

    for_each_band(height, look, _BAND)
    shift = np.stack([_shift_of(*planes, ranges) for planes in zip(brightness, excess, strict=True)])
    shift = shift[[group for _, group in sorted((plane, i) for i, each in enumerate(groups) for plane in each)]]
    across = np.minimum(
        np.arange(width) // block, shift.shape[2] - 1
    )  # what is left of a block belongs to its neighbour

    def move(rows: slice) -> None:
        first = rows.start // block
        down = np.minimum(np.arange(rows.start, rows.stop) // block, shift.shape[1] - 1) - first
        denoised[:, rows] += shift[:, first : down[-1] + first + 1].take(across, axis=2)[:, down]

    for_each_band(height, move, _BAND)
    return denoised


def _groups(cell: Cell) -> Groups:
    """Which planes are shifted alike."""
    if cell.pooled:
        return tuple(cell.planes_of(colour) for colour in sorted(set(cell.plane_colours)))
    return tuple((plane,) for plane in range(cell.channels))


def _pooled(planes: NDArray[np.float32], groups: Groups) -> NDArray[np.float32]:
    """(c, h, w) → (groups, h, w): the mean of every group; the planes themselves where each is a group."""
    if len(groups) == len(planes):
        return planes
    return np.stack([planes[list(group)].mean(axis=0) for group in groups])


def _shift_of(brightness: NDArray[np.float32], excess: NDArray[np.float32], ranges: int) -> NDArray[np.float32]:
    """The shift of every block: equally many blocks a range; between the ranges' centres it is interpolated."""
    local = local_mean(brightness, LOCAL).ravel()
    edges = np.quantile(local, np.linspace(0, 1, ranges + 1)[1:-1])
    index = np.searchsorted(edges, local)
    count = np.bincount(index, minlength=ranges)
    used = count > 0  # a plane of one brightness fills one range
    centres = np.bincount(index, local, ranges)[used] / count[used]
    shifts = np.bincount(index, excess.ravel(), ranges)[used] / count[used]
    return np.interp(local, centres, shifts).astype(np.float32).reshape(brightness.shape)


def block_means(planes: NDArray[np.float32], block: int = BLOCK) -> NDArray[np.float32]:
    """(c, h // block, w // block) means of whole blocks; what is left over at the end of a side does not count.

    >>> float(block_means(np.tile(np.float32([0, 1, 2, 3, 4]), (1, 5, 1)))[0, 0, 0])
    2.0
    """
    height, width = (side // block * block for side in planes.shape[1:])
    rows = sum(planes[:, start:height:block, :width] for start in range(1, block)) + planes[:, :height:block, :width]
    total = sum(rows[..., start::block] for start in range(1, block)) + rows[..., ::block]
    return np.asarray(total / np.float32(block**2))


def local_mean(plane: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Mean over size × size neighbours around each place, reflected at the border.

    Args:
        plane: (h, w) float32, both sides larger than half of `size`.
        size: Odd.

    Returns:
        (h, w) float64.

    >>> float(local_mean(np.float32([[0, 0, 9], [0, 9, 9], [9, 9, 9]]), 3)[1, 1])
    6.0
    """
    half = size // 2
    total = np.pad(plane.astype(np.float64), half, mode="reflect").cumsum(0).cumsum(1)
    total = np.pad(total, ((1, 0), (1, 0)))
    sums: NDArray[np.float64] = (
        total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    )
    return sums / size**2
