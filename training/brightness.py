"""Keeps brightness and colour: takes away what a network adds to, or takes from, the mean at each brightness.

In the flow: network → stitch → **keep_brightness** → unpack.

In deep shadows a bias far below the noise (a twentieth of its standard deviation, say) is still some percent of the
signal, and a tint where the planes differ. Over thousands of photosites of the same brightness the noise averages out,
so that the input's own mean shows the bias, and it can be subtracted.

All photosites count, but brightness and shift change slowly from place to place: both are kept for blocks of 5×5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.raw.bands import for_each_band

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.planes import Planes

MAX_RANGES = 16
MIN_PHOTOSITES = 4096
"""Fewer in a range, and the mean of their noise would be more than a sixtieth of its standard deviation."""
BLOCK = 5
"""Photosites of a block, each way."""
LOCAL = 3
"""Blocks, each way, over which the brightness of a place is averaged; odd."""
_BAND = 16 * BLOCK


def keep_brightness(noisy: Planes, denoised: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift each plane by a smooth function of the local brightness, so that its mean stays the input's everywhere.

    Args:
        noisy: (4, h, w) float32, linear, not clipped, channels R Gr Gb B.
        denoised: The same, denoised; changed in place.

    Returns:
        `denoised`; as it was where a plane is too small for its noise to average out.
    """
    height, width = denoised.shape[1:]
    ranges = min(MAX_RANGES, height * width // MIN_PHOTOSITES)
    if ranges == 0 or min(height, width) < BLOCK * LOCAL:
        return denoised
    brightness, excess = np.empty((2, 4, height // BLOCK, width // BLOCK), dtype=np.float32)

    def look(rows: slice) -> None:
        blocks = slice(rows.start // BLOCK, rows.stop // BLOCK)
        brightness[:, blocks] = block_means(denoised[:, rows])
        excess[:, blocks] = block_means(noisy[:, rows, :]) - brightness[:, blocks]

    for_each_band(height, look, _BAND)
    shift = np.stack([_shift_of(*planes, ranges) for planes in zip(brightness, excess, strict=True)])
    across = np.minimum(
        np.arange(width) // BLOCK, shift.shape[2] - 1
    )  # what is left of a block belongs to its neighbour

    def move(rows: slice) -> None:
        first = rows.start // BLOCK
        down = np.minimum(np.arange(rows.start, rows.stop) // BLOCK, shift.shape[1] - 1) - first
        denoised[:, rows] += shift[:, first : down[-1] + first + 1].take(across, axis=2)[:, down]

    for_each_band(height, move, _BAND)
    return denoised


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


def block_means(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(c, h // 5, w // 5) means of whole blocks; what is left over at the end of a side does not count.

    >>> float(block_means(np.tile(np.float32([0, 1, 2, 3, 4]), (1, 5, 1)))[0, 0, 0])
    2.0
    """
    height, width = (side // BLOCK * BLOCK for side in planes.shape[1:])
    rows = sum(planes[:, start:height:BLOCK, :width] for start in range(1, BLOCK)) + planes[:, :height:BLOCK, :width]
    total = sum(rows[..., start::BLOCK] for start in range(1, BLOCK)) + rows[..., ::BLOCK]
    return np.asarray(total / np.float32(BLOCK**2))


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
