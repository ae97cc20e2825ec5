"""BM3D of planes: each by itself, and after a transform that separates brightness from colour.

"White" stands for noise taken as it is, with its mean variance; without it, noise is stabilised first.

The `bm3d` package is its authors' and free for non-commercial use only, so nothing of ours depends on it.

Source: Dabov, Foi, Katkovnik, Egiazarian, "Image Denoising by Sparse 3-D Transform-Domain Collaborative Filtering",
IEEE TIP 16(8), 2007; matching blocks by brightness alone: its section V-C; the program: Mäkinen, Azzari, Foi,
"Collaborative Filtering of Correlated Noise", IEEE TIP 29, 2020, in its default profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import bm3d
import numpy as np

from training.baselines.anscombe import denoise_stabilised
from training.baselines.colour_planes import join, separate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.noise import NoiseModel


def denoise_planes(packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """See `training.baselines.Baseline`; every plane by itself."""
    return denoise_stabilised(
        packed, noise, lambda planes: np.concatenate([filter_planes(plane[None]) for plane in planes])
    )


def denoise_colour(packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """See `training.baselines.Baseline`; blocks are matched by brightness, for all colours alike."""
    return denoise_stabilised(packed, noise, lambda planes: join(filter_planes(separate(planes))))


def denoise_white_planes(packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """See `training.baselines.Baseline`; every plane by itself, its noise taken for white."""
    return _as_white(packed, noise, _each_by_itself)


def denoise_white_colour(packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """See `training.baselines.Baseline`; of pictures with Gaussian noise this is what papers call CBM3D."""
    return _as_white(packed, noise, lambda planes: join(filter_planes(separate(planes))))


def _each_by_itself(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([filter_planes(plane[None]) for plane in planes])


def _as_white(
    packed: NDArray[np.float32], noise: NoiseModel, denoise: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Run a method for noise of unit variance on planes divided by the root of their noise's mean variance."""
    deviation = float(np.sqrt(mean_variance(packed, noise)))
    return np.maximum(denoise(packed.astype(np.float64) / deviation) * deviation, 0).astype(np.float32)


def mean_variance(packed: NDArray[np.float32], noise: NoiseModel) -> float:
    """The noise's variance, a mean over the picture; the mean of noisy values is the signal's."""
    levels = zip(packed.mean(axis=(1, 2)), noise.shot_noise, noise.read_noise, strict=False)
    return float(np.mean([shot * max(float(mean), 0.0) + read for mean, shot, read in levels]))


def filter_planes(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, h, w): BM3D of planes with noise of unit variance, blocks matched by the first of them.

    Its thresholds of similarity are made for a first plane between 0 and 1.
    """
    low = planes.min(axis=(1, 2), keepdims=True)
    extent = max(float(np.ptp(planes[0])), 1.0)
    profile = bm3d.BM3DProfile()
    profile.num_threads = 1  # with more, sums are added in another order each time
    scaled = np.moveaxis((planes - low) / extent, 0, -1)  # (h, w, n)
    filtered = np.asarray(bm3d.bm3d(scaled, [1 / extent] * len(planes), profile)).reshape(scaled.shape)
    result: NDArray[np.float64] = np.moveaxis(filtered, -1, 0) * extent + low
    return result
