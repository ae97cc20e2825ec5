"""Keeps brightness and colour: takes away what a network adds to, or takes from, the mean at each brightness.

In the flow: network → stitch → **keep_brightness** → unpack.

In deep shadows a bias far below the noise (a twentieth of its standard deviation, say) is still some percent of the
signal, and a tint where the planes differ. Over thousands of photosites of the same brightness the noise averages out,
so that the input's own mean shows the bias, and it can be subtracted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_RANGES = 16
MIN_PHOTOSITES = 4096
"""Fewer in a range, and the mean of their noise would be more than a sixtieth of its standard deviation."""
LOCAL = 15
"""Photosites of a plane, each way, over which the brightness of a place is averaged; odd."""


def keep_brightness(noisy: NDArray[np.float32], denoised: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift each plane by a smooth function of the local brightness, so that its mean stays the input's everywhere.

    Args:
        noisy: (4, h, w) float32, linear, not clipped, channels R Gr Gb B.
        denoised: The same, denoised.

    Returns:
        (4, h, w) float32; `denoised` itself where a plane is too small for its noise to average out.
    """
    ranges = min(MAX_RANGES, noisy[0].size // MIN_PHOTOSITES)
    if ranges == 0:
        return denoised
    return np.stack([_keep_plane(*planes, ranges) for planes in zip(noisy, denoised, strict=True)])


def _keep_plane(noisy: NDArray[np.float32], denoised: NDArray[np.float32], ranges: int) -> NDArray[np.float32]:
    """Equally many photosites a range; between the ranges' centres the shift is interpolated."""
    brightness = local_mean(denoised, LOCAL).ravel()
    edges = np.quantile(brightness, np.linspace(0, 1, ranges + 1)[1:-1])
    index = np.searchsorted(edges, brightness)
    count = np.bincount(index, minlength=ranges)
    used = count > 0  # a plane of one brightness fills one range
    centres = np.bincount(index, brightness, ranges)[used] / count[used]
    shifts = np.bincount(index, (noisy - denoised).ravel(), ranges)[used] / count[used]
    shift = np.interp(brightness, centres, shifts).astype(np.float32)
    return denoised + shift.reshape(denoised.shape)


def local_mean(plane: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Mean over size × size photosites around each one, reflected at the border.

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
