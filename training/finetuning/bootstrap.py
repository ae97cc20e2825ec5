"""How sure a gain is: a paired bootstrap over tiles.

Base and candidate are judged on the same tiles by the same noise, so that most of what is chance drops out of their
difference. Tiles are drawn again with replacement; the middle 95 % of the gains that this gives are the interval.

Source: Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1), 1979; Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3 (percentile interval).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 2000
FLOOR = 0.01
"""Errors are never taken for less than this share of the noise: below it, estimates of them are chance."""


class Gain(NamedTuple):
    """Decibels that the candidate is better than the base, with its 95 % interval."""

    db: float
    low: float
    high: float


def bootstrap_gain(
    base: NDArray[np.float64], candidate: NDArray[np.float64], noise: NDArray[np.float64], seed: int = 0
) -> Gain:
    """The gain of the candidate, and how sure it is.

    Args:
        base: (n,) estimated mean squared error of each tile, unbiased; can be below 0.
        candidate: (n,) the same of the candidate.
        noise: (n,) variance of each tile's noise: the unit.
        seed: Decides which tiles are drawn.
    """
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(base), np.full(len(base), 1 / len(base)), size=DRAWS)  # (draws, n)
    table = np.stack([base, candidate, noise], axis=1)
    drawn = _decibels(counts @ table)
    low, high = np.quantile(drawn, (0.025, 0.975))
    whole = float(_decibels(table.sum(axis=0)[None])[0])
    return Gain(round(whole, 4), round(float(low), 4), round(float(high), 4))


def _decibels(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) gains of (m, 3) sums of base's and candidate's errors, and of the noise."""
    least = FLOOR * sums[:, 2]
    gains: NDArray[np.float64] = 10 * np.log10(np.maximum(sums[:, 0], least) / np.maximum(sums[:, 1], least))
    return gains
