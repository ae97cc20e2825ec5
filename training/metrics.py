"""Image quality.

Source: the SIDD benchmark's convention, Abdelhamed et al., CVPR 2018: PSNR on the raw signal with a range of 1, the
output clipped to [0, 1], the mean taken over decibels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
