"""Non-local means on stabilised planes, patches compared in all four at once.

Source: Buades, Coll, Morel, "A Non-Local Algorithm for Image Denoising", CVPR 2005; scikit-image's implementation,
with its documentation's choice of h = 0.8 σ where every weight is computed with the noise's variance taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.restoration import denoise_nl_means

from training.baselines.anscombe import denoise_stabilised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel

PATCH, DISTANCE = 5, 9
"""Pixels of a patch's side, and how far away others are looked for."""
STRENGTH = 0.8


def denoise(packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """See `training.baselines.Baseline`."""
    return denoise_stabilised(packed, noise, _filter)


def _filter(stabilised: NDArray[np.float64]) -> NDArray[np.float64]:
    options = {"patch_size": PATCH, "patch_distance": DISTANCE, "h": STRENGTH, "sigma": 1.0, "fast_mode": False}
    return np.asarray(denoise_nl_means(stabilised, channel_axis=0, **options))
