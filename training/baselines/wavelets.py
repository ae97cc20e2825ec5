"""Wavelet shrinkage of stabilised planes, after a transform that separates brightness from colour.

Source: Chang, Yu, Vetterli, "Adaptive Wavelet Thresholding for Image Denoising and Compression" (BayesShrink), IEEE TIP
9(9), 2000; scikit-image's implementation, which stands on PyWavelets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pywt  # noqa: F401  (scikit-image asks for it only when it is at work; what is missing shall be known before)
from skimage.restoration import denoise_wavelet

from training.baselines.anscombe import denoise_stabilised
from training.baselines.colour_planes import join, separate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel

WAVELET = "db1"


def denoise(packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
    """See `training.baselines.Baseline`."""
    return denoise_stabilised(packed, noise, lambda planes: join(_filter(separate(planes))))


def _filter(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, h, w): each plane by itself, its noise of unit variance."""
    return np.asarray(denoise_wavelet(planes, sigma=1.0, wavelet=WAVELET, channel_axis=0, rescale_sigma=False))
