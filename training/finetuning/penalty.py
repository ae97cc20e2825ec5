"""A covariance penalty: a denoiser's mean squared error at the noise that the picture has, whatever its distribution.

As with Stein, E[(f(y) − x)²] = E[(f(y) − y)²] − v + 2 E[n f(y)]. The last term is what a denoiser copies of the noise.
It is seen by trying: noise n* of the same kind is added to an estimate x̂ of the signal, and n* f(x̂ + n*) averaged. No
lemma about Gaussian noise is needed, and no noise is added to the picture; but x̂ stands for the signal, so that the
penalty is as good as x̂ is like it.

Source: Efron, "The Estimation of Prediction Error: Covariance Penalties and Cross-Validation", Journal of the American
Statistical Association 99, 2004, section 4 (parametric bootstrap).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def penalised_error(
    measured: NDArray[np.floating],
    denoised: NDArray[np.floating],
    variance: NDArray[np.floating],
    drawn: NDArray[np.floating],
    signal: NDArray[np.floating],
    redenoised: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Estimate the squared error of every pixel.

    Args:
        measured: y, any shape.
        denoised: f(y).
        variance: v of the noise.
        drawn: n*, noise of the same kind.
        signal: x̂, the estimate that it was drawn at.
        redenoised: f(x̂ + n*).

    Returns:
        The same shape.
    """
    copied = drawn.astype(np.float64) * (redenoised.astype(np.float64) - signal)
    return np.asarray(np.square(denoised.astype(np.float64) - measured) - variance + 2 * copied)
