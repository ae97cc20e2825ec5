"""What a denoiser took away, in units of the noise: white noise of unit variance where it took away noise alone.

A variance below 1 says that noise was left, above 1 that signal went too, and so does what correlates from photosite to
photosite. It needs no clean picture, so that real files can be judged by it, in flat places.

In the flow: noisy and denoised planes → **flattest_tiles** → **describe_residual**; and, of every picture that is
served, **likeness_of_neighbours** → report → monitoring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.finetuning.character import lag_one
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.planes import Planes
    from training.raw.cells import Cell

    Corner = tuple[int, int]

TILE = 64
"""Packed pixels of a tile's side."""
COARSE = 8
"""Means over so many packed pixels squared tell structure from noise."""
FARTHEST_LAG = 3
LEAST_SOUND = 0.98
"""Share of a tile that must not be clipped: where much is, what remains has lost one tail of its noise."""
LEAST_VARIANCE = 1e-12
"""Of a noise model that says there is no noise at black."""
LOOKED_AT = 16
"""Tiles each way, at the most, by which a picture that is served is judged: that takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Residual:
    """The character of what was taken away."""

    variance: tuple[float, ...]
    """Per channel R, Gr, Gb, B, in units of the noise's."""
    correlation: float
    """The largest |autocorrelation| of any channel at any lag up to 3 in rows and columns."""
    lag: tuple[str, int, int]
    """Where that is: channel, rows, columns."""


def flattest_tiles(
    packed: NDArray[np.float32], noise: NoiseModel, sound: NDArray[np.bool_], share: float = 0.25
) -> list[Corner]:
    """Row and column of the tiles with the least structure for their noise, the flattest first.

    Args:
        packed: (4, h, w) noisy signal.
        noise: Its noise.
        sound: (4, h, w) what is not clipped; tiles with more than a few clipped photosites do not count.
        share: Of the tiles that do.
    """
    found = []
    _, height, width = packed.shape
    for row in range(0, height - TILE + 1, TILE):
        for column in range(0, width - TILE + 1, TILE):
            place = (slice(None), slice(row, row + TILE), slice(column, column + TILE))
            if sound[place].mean() >= LEAST_SOUND:
                found.append((_structure(packed[place], noise), (row, column)))
    return [corner for _, corner in sorted(found)[: int(share * len(found))]]


def _structure(tile: NDArray[np.float32], noise: NoiseModel) -> float:
    """The variance of a (4, TILE, TILE) tile's coarse means, over what noise alone would have; a mean of channels."""
    count = TILE // COARSE
    coarse = tile.reshape(4, count, COARSE, count, COARSE).mean(axis=(2, 4))
    expected = noise.variance(tile).mean(axis=(1, 2)) / COARSE**2
    return float(np.mean(coarse.var(axis=(1, 2)) / expected))


def cut_tiles(planes: NDArray[np.generic], corners: Sequence[Corner]) -> NDArray[np.generic]:
    """(n, 4, TILE, TILE) tiles of (4, h, w) planes."""
    return np.stack([planes[:, row : row + TILE, column : column + TILE] for row, column in corners])


def describe_residual(
    noisy: NDArray[np.float32], denoised: NDArray[np.float32], sound: NDArray[np.bool_], noise: NoiseModel
) -> Residual:
    """The character of noisy − denoised over √(shot · denoised + read).

    Args:
        noisy: (n, 4, h, w) tiles.
        denoised: The same.
        sound: The same: what is not clipped; the rest is left out.
        noise: Their noise.

    Raises:
        ValueError: There is nothing to describe.
    """
    channels = []
    for index in range(4):
        variance = noise.shot_noise[index] * np.maximum(denoised[:, index], 0) + noise.read_noise[index]
        standard = (noisy[:, index].astype(np.float64) - denoised[:, index]) / np.sqrt(variance)
        channels.append(autocovariance(standard, sound[:, index]))
    covariance = np.stack(channels)  # (4, lags, lags)
    variances = covariance[:, 0, FARTHEST_LAG]
    correlation = np.abs(covariance) / np.maximum(variances, 1e-12)[:, None, None]  # 0 where nothing was taken away
    correlation[:, 0, FARTHEST_LAG] = 0
    channel, rows, columns = np.unravel_index(int(correlation.argmax()), correlation.shape)
    return Residual(
        variance=tuple(variances.tolist()),
        correlation=float(correlation.max()),
        lag=(("R", "Gr", "Gb", "B")[channel], int(rows), int(columns) - FARTHEST_LAG),
    )


def autocovariance(tiles: NDArray[np.float64], sound: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(4, 7): the covariance of photosites 0 … 3 rows and −3 … 3 columns apart, within tiles, of those that are sound.

    Args:
        tiles: (n, h, w); their common mean is taken off.
        sound: (n, h, w).

    Raises:
        ValueError: Nothing is sound.
    """
    if not sound.any():
        raise ValueError("got no photosite that is not clipped, wanted some")
    centred = np.where(sound, tiles - tiles[sound].mean(), 0)
    lags = range(-FARTHEST_LAG, FARTHEST_LAG + 1)
    result = np.zeros((FARTHEST_LAG + 1, len(lags)))
    for down in range(FARTHEST_LAG + 1):
        for at, across in enumerate(lags):
            one, other = _shifted(down, across)
            pairs = max(int((sound[one] & sound[other]).sum()), 1)
            result[down, at] = float((centred[one] * centred[other]).sum()) / pairs
    return result


def _shifted(down: int, across: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The indices of a stack of tiles and of the same so many rows and columns on, where both are inside."""
    left, right = max(0, -across), max(0, across)
    one = (slice(None), slice(0, -down or None), slice(left, -right or None))
    other = (slice(None), slice(down, None), slice(right, -left or None))
    return one, other


def likeness_of_neighbours(
    noisy: Planes, denoised: Planes, noise: NoiseModel, cell: Cell = CELLS["bayer"]
) -> float | None:
    """How alike neighbours of noisy − denoised are, in tiles spread over the picture, whatever is in them.

    A quick look at what is served, that drifts where pictures or models change: texture that was taken for noise
    counts, too.

    Args:
        noisy: (c, h, w) float32, linear, not clipped, channels as the cell has them.
        denoised: The same.
        noise: Their noise.
        cell: What they are packed by.

    Returns:
        The larger of the correlations along rows and along columns, without its sign, 0 … 1; None where nothing was
        taken away.

    >>> from training.noise import NoiseModel
    >>> noise = NoiseModel.uniform(shot_noise=0.0, read_noise=1.0)
    >>> stripes = np.tile(np.float32([1, -1]), (4, 64, 32))
    >>> likeness_of_neighbours(stripes, np.zeros_like(stripes), noise)
    1.0
    """
    size = min(TILE * CELLS["bayer"].side // cell.side, *noisy.shape[1:])
    rows, columns = (_spread(length, size) for length in noisy.shape[1:])
    planes = []
    for row in rows:
        for column in columns:
            place = (slice(None), slice(row, row + size), slice(column, column + size))
            variance = np.maximum(noise.variance(denoised[place], cell), LEAST_VARIANCE)
            planes.append((noisy[place] - denoised[place]) / np.sqrt(variance))
    residual = np.concatenate(planes)  # (c · n, size, size)
    if not residual.any():
        return None
    return round(max(map(abs, lag_one(residual.astype(np.float64)))), 4)


def _spread(length: int, size: int) -> list[int]:
    """Where tiles begin that are spread over a side.

    >>> _spread(200, 64)
    [0, 45, 90, 136]
    """
    return [int(start) for start in np.linspace(0, length - size, min(LOOKED_AT, -(-length // size)))]
