"""Whether what a denoiser took away is noise: noise is white, the picture's detail is not.

In the flow: network → **residual_correlation** → report.

A sensor's noise is independent from photosite to photosite, so that the residual (input minus output) of a good
denoiser has no correlation between neighbours. One that blurs takes detail with it, whose neighbours are alike; one
that adds patterns leaves theirs. Either shows without a clean picture. Source: the residual whiteness principle, e.g.
Lanza et al., "Whiteness constraints in a unified variational framework", JMIV 2019, section 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel

WINDOW = 128
WINDOWS_EACH_WAY = 4
"""So many windows of so many packed pixels, spread over the picture, are looked at: it takes milliseconds."""

LEAST_VARIANCE = 1e-12
"""Of a noise model that says there is no noise at black."""


def residual_correlation(packed: NDArray[np.float32], denoised: NDArray[np.float32], noise: NoiseModel) -> float | None:
    """The larger of the residual's correlations with its neighbours to the right and below.

    Args:
        packed: (4, h, w) float32, linear, not clipped, channels R Gr Gb B: the noisy picture.
        denoised: (4, h, w) float32: what the network made of it.
        noise: The noise model; each residual counts in units of its standard deviation.

    Returns:
        0 … 1, without its sign; None where nothing was taken away.

    >>> from training.noise import NoiseModel
    >>> noise = NoiseModel.uniform(shot_noise=0.0, read_noise=1.0)
    >>> stripes = np.tile(np.float32([1, -1]), (4, 8, 4))
    >>> residual_correlation(stripes, np.zeros_like(stripes), noise)
    1.0
    """
    products = np.zeros(2)
    energy = np.zeros(2)
    for rows, columns in _windows(*packed.shape[1:]):
        clean = denoised[:, rows, columns]
        residual = (packed[:, rows, columns] - clean) / np.sqrt(np.maximum(noise.variance(clean), LEAST_VARIANCE))
        residual -= residual.mean(axis=(1, 2), keepdims=True)
        for axis, (first, second) in enumerate(
            ((residual[:, :-1], residual[:, 1:]), (residual[:, :, :-1], residual[:, :, 1:]))
        ):
            products[axis] += np.sum(first * second, dtype=np.float64)
            energy[axis] += np.sqrt(np.sum(first**2, dtype=np.float64) * np.sum(second**2, dtype=np.float64))
    if not energy.all():
        return None
    return round(float(np.max(np.abs(products / energy))), 4)


def _windows(height: int, width: int) -> list[tuple[slice, slice]]:
    """Windows spread over a picture; fewer where it is small."""
    return [(rows, columns) for rows in _spread(height) for columns in _spread(width)]


def _spread(length: int) -> list[slice]:
    """Where the windows lie along one side.

    >>> _spread(200)
    [slice(0, 128, None), slice(72, 200, None)]
    """
    size = min(WINDOW, length)
    count = min(WINDOWS_EACH_WAY, -(-length // size))
    starts = np.linspace(0, length - size, count).astype(int)
    return [slice(int(start), int(start) + size) for start in starts]
