"""Image quality.

Source: the SIDD benchmark's convention, Abdelhamed et al., CVPR 2018: PSNR and SSIM on the raw mosaic with a range of
1, the output clipped to [0, 1], the mean taken over the blocks' values. SSIM: Wang et al., "Image Quality Assessment:
From Error Visibility to Structural Similarity", IEEE TIP 13(4), 2004, with a Gaussian window of 11×11 pixels and
σ = 1.5, only where it fits inside the picture. Figures that leave out the range, or take another window, differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import correlate1d

if TYPE_CHECKING:
    from numpy.typing import NDArray

SSIM_RADIUS, SSIM_SIGMA = 5, 1.5


def psnr(signal: NDArray[np.floating], clean: NDArray[np.floating]) -> float:
    """Peak signal-to-noise ratio in decibels, for a range of 1.

    Args:
        signal: Any shape, linear; clipped to [0, 1] here.
        clean: The same shape, in [0, 1].

    Returns:
        Decibels; infinite for equal arrays.

    >>> psnr(np.array([0.5, 0.6]), np.array([0.5, 0.5])).__round__(2)
    23.01
    """
    error = np.clip(signal, 0, 1).astype(np.float64) - clean
    mean_square = float(np.mean(np.square(error)))
    return float("inf") if mean_square == 0 else -10 * float(np.log10(mean_square))


def ssim(signal: NDArray[np.floating], clean: NDArray[np.floating]) -> float:
    """Structural similarity for a range of 1, a mean over all windows that lie inside the picture.

    Args:
        signal: (H, W) linear, at least 11×11; clipped to [0, 1] here.
        clean: The same shape, in [0, 1].

    Returns:
        At most 1, which equal pictures have.

    >>> ssim(np.eye(16), np.eye(16)).__round__(6)
    1.0
    """
    x, y = np.clip(signal, 0, 1).astype(np.float64), np.asarray(clean, dtype=np.float64)
    mean_x, mean_y, square_x, square_y, product = _window_means(np.stack([x, y, x * x, y * y, x * y]))
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    covariance, variances = product - mean_x * mean_y, square_x - mean_x**2 + square_y - mean_y**2
    return float(np.mean(luminance * (2 * covariance + 0.03**2) / (variances + 0.03**2)))


def _window_means(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, H - 10, W - 10): the Gaussian-weighted mean of every window of (n, H, W) planes."""
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    weights = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    means = correlate1d(correlate1d(planes, weights / weights.sum(), axis=1), weights / weights.sum(), axis=2)
    inside = slice(SSIM_RADIUS, -SSIM_RADIUS)
    return np.asarray(means[:, inside, inside])
