"""The line variance = shot · signal + read, fitted where texture adds to some of the variances.

In the flow: variances of flat patches by brightness → **fit_line** → noise estimate.

Source: Foi et al., IEEE TIP 17(10), 2008, section III, with weights that forgive a variance that is too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ABOVE, _BELOW = 1.5, 3.0
"""Standard errors off the line from which a variance loses weight: texture adds, and hardly anything takes away."""


class Line(NamedTuple):
    """A fitted line."""

    shot: float
    read: float
    covariance: NDArray[np.float64]
    """(2, 2) of shot and read."""


def fit_line(design: NDArray[np.float64], variance: NDArray[np.float64], spread: NDArray[np.float64]) -> Line:
    """Weighted least squares, repeated with less weight for what lies off the line.

    Args:
        design: (n, 2) what one unit of shot, and one of read, would add to each variance.
        variance: (n,) measured, above 0.
        spread: (n,) relative standard error of each.
    """
    fitted = np.full_like(variance, max(float(np.quantile(variance, 0.4)), 1e-3 * float(variance.max())))
    for _ in range(20):
        off = (variance / fitted - 1) / spread
        share = np.minimum(1, np.where(off > 0, _ABOVE, _BELOW) / np.maximum(np.abs(off), 1e-9)) ** 2
        weight = share / (spread * fitted) ** 2
        shot, read = non_negative_line(design, variance, weight)
        fitted = np.maximum(design @ [shot, read], 1e-3 * variance.max() + 1e-30)
    off = (variance / fitted - 1) / spread
    covariance = np.asarray(np.linalg.pinv(design.T @ (weight[:, None] * design), rcond=1e-12), dtype=np.float64)
    covariance *= max(1.0, float(np.average(np.square(off), weights=share)))
    return Line(shot, read, covariance)


def non_negative_line(
    design: NDArray[np.float64], variance: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Shot and read, both at least 0, of the weighted least-squares line."""
    scale = np.maximum(np.sqrt(np.average(np.square(design), axis=0, weights=weight)), 1e-30)
    root = np.sqrt(weight)
    shot, read = np.linalg.lstsq(design / scale * root[:, None], variance * root, rcond=None)[0] / scale
    if shot < 0:
        shot, read = 0.0, _single(design[:, 1], variance, weight)
    elif read < 0:
        shot, read = _single(design[:, 0], variance, weight), 0.0
    return max(float(shot), 0.0), max(float(read), 0.0)


def _single(column: NDArray[np.float64], variance: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    return float(np.sum(weight * column * variance) / np.sum(weight * np.square(column)))
