"""How sure a gain is: a paired bootstrap over captures and their tiles.

Base and candidate are judged on the same tiles by the same noise, so that most of what is chance drops out of their
difference. Tiles are drawn again with replacement, and captures before them, where there are enough: what is gained on
some pictures says less of others than the number of their tiles makes it seem. The middle 95 % of the gains that this
gives are the interval.

Source: Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1), 1979; Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3 (percentile interval); Davison and Hinkley,
"Bootstrap Methods and their Application", 1997, section 3.8 (groups drawn first).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 2000
FLOOR = 0.01
"""Errors are never taken for less than this share of the noise: below it, estimates of them are chance."""
FEWEST_CAPTURES = 4
"""With fewer, captures are not drawn again: of two or three, an interval would be chance."""


class Gain(NamedTuple):
    """Decibels that the candidate is better than the base, with its 95 % interval."""

    db: float
    low: float
    high: float


def bootstrap_gain(
    errors: NDArray[np.float64], noise: NDArray[np.float64], captures: NDArray[np.intp], seed: int = 0
) -> Gain:
    """The gain of the candidate, and how sure it is.

    Args:
        errors: (n, 2) estimated mean squared error of base and candidate on each tile, unbiased; can be below 0.
        noise: (n,) variance of each tile's noise: the unit.
        captures: (n,) which capture each tile is from, 0 …, in order.
        seed: Decides what is drawn.
    """
    table = np.concatenate([errors, noise[:, None]], axis=1)
    counts = _draw_tiles(np.bincount(captures), np.random.default_rng(seed))  # (draws, n)
    low, high = np.quantile(_decibels(counts @ table), (0.025, 0.975))
    whole = float(_decibels(table.sum(axis=0)[None])[0])
    return Gain(round(whole, 4), round(float(low), 4), round(float(high), 4))


def _draw_tiles(sizes: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.int64]:
    """(draws, n) how often each tile is drawn, of captures with so many tiles."""
    if len(sizes) < FEWEST_CAPTURES:
        return rng.multinomial(sizes.sum(), np.full(sizes.sum(), 1 / sizes.sum()), size=DRAWS)
    times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=DRAWS)  # (draws, captures)
    drawn = [rng.multinomial(times[:, index] * size, np.full(size, 1 / size)) for index, size in enumerate(sizes)]
    return np.concatenate(drawn, axis=1)


def _decibels(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) gains of (m, 3) sums of base's and candidate's errors, and of the noise."""
    least = FLOOR * sums[:, 2]
    gains: NDArray[np.float64] = 10 * np.log10(np.maximum(sums[:, 0], least) / np.maximum(sums[:, 1], least))
    return gains
