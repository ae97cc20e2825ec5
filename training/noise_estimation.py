"""The noise of one picture, read off its own flat places.

Steps: cut the planes into 8×8 blocks; by a cosine transform split each into coarse structure and fine detail; in each
range of brightness keep the blocks with the least coarse structure; the fine detail of those is noise; fit variance
over brightness with a line that ignores what lies above it. Under white noise coarse and fine coefficients are
independent, so choosing by one does not bias the other.

In the flow: normalise → **estimate_noise** → noise model, where neither the request nor the file says.

Source: choosing blocks by their low-frequency energy: Ponomarenko et al., "An Automatic Approach to Lossy Compression
of AVIRIS Images", IGARSS 2007; the line: Foi et al., IEEE TIP 17(10), 2008, section III.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from training.noise import NoiseModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

FlatBy = Literal["own", "others"]
BLOCK = 8
MAX_BLOCKS = 60_000
"""Blocks looked at, spread over the whole frame: more do not make the estimate better."""
BRIGHTNESS_BINS = 32
FLAT_SHARE = 0.12
"""Share of a bin's blocks that counts as flat."""
MIN_FLAT_BLOCKS = 12
"""Flat blocks that a bin must have to count."""
MODEL_ERROR = 0.03
"""Relative error of a bin's variance that is not chance: texture that remains, a sensor that is not quite linear."""
WHITE_MARGIN = 0.97
"""Blocks with a pixel above this are left out: clipping cuts their noise."""
SURE_ERROR = 0.1
"""Relative standard error of the variance below which an estimate is sure of itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseEstimate:
    """A noise model read off a picture, and how far to trust it."""

    model: NoiseModel
    shot_error: float
    """Standard error of the shot noise."""
    read_error: float
    """Standard error of the read noise."""
    brightness: float
    """Median signal of the flat blocks: where the variance is known best."""
    relative_error: float
    """Standard error of the variance at `brightness`, as a share of it."""

    @property
    def is_sure(self) -> bool:
        """Whether it may overrule what the file says."""
        return self.relative_error < SURE_ERROR


def estimate_noise(
    packed: NDArray[np.float32], black_clip: float = -np.inf, *, flat_by: FlatBy = "own"
) -> NoiseEstimate | None:
    """Estimate the noise model of a picture, the same for all four channels.

    Args:
        packed: (4, h, w) float32, linear, not clipped, channels R Gr Gb B.
        black_clip: The smallest signal that the file can hold; noise that reaches it is cut off.
        flat_by: Whose coarse structure says that a block is flat: its own, or that of the other three planes at its
            place. Of noise with long tails the coarse and the fine coefficients are uncorrelated but not independent:
            a block chosen by its own has too few outliers, and its variance is too small. The noise of other planes
            is independent whatever its distribution.

    Returns:
        The estimate, or None where the picture has no place flat and unclipped enough.
    """
    blocks = _blocks(packed)  # (n, 8, 8)
    extent = (blocks.min(axis=(1, 2)) > black_clip) & (blocks.max(axis=(1, 2)) < WHITE_MARGIN)
    if extent.sum() < MIN_FLAT_BLOCKS / FLAT_SHARE:
        return None
    coarse, fine = _split_energy(blocks)
    if flat_by == "others":
        coarse = _of_other_planes(coarse)
    means = blocks.mean(axis=(1, 2))
    brightness, variance, counts = _flat_bins(means[extent], coarse[extent], fine[extent])
    return _fit_line(brightness, variance, counts) if len(brightness) else None


def flat_blocks(packed: NDArray[np.float32], black_clip: float = -np.inf) -> NDArray[np.float32]:
    """Cut out the blocks that hold nothing but noise, chosen without regard to their own noise.

    Args:
        packed: (4, h, w) float32, linear, not clipped, channels R Gr Gb B.
        black_clip: See `estimate_noise`.

    Returns:
        (n, 8, 8) float32: those whose place is flattest in the other three planes, from every range of brightness.
    """
    blocks = _blocks(packed)
    extent = (blocks.min(axis=(1, 2)) > black_clip) & (blocks.max(axis=(1, 2)) < WHITE_MARGIN)
    coarse = _of_other_planes(_split_energy(blocks)[0])[extent]
    blocks = blocks[extent]
    members = _flat_members(blocks.mean(axis=(1, 2)), coarse)
    return np.asarray(blocks[np.concatenate(members)] if members else blocks[:0])


def _of_other_planes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) for each block the mean of a value over the blocks of the other three planes at its place."""
    planes = values.reshape(4, -1)
    return np.asarray((planes.sum(axis=0) - planes) / 3).ravel()


def _blocks(packed: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 8, 8) non-overlapping blocks of all planes, every k-th of them."""
    views = sliding_window_view(packed, (BLOCK, BLOCK), axis=(1, 2))[:, ::BLOCK, ::BLOCK]  # (4, h/8, w/8, 8, 8)
    skip = max(1, int(np.ceil(np.sqrt(views[..., 0, 0].size / MAX_BLOCKS))))
    return np.ascontiguousarray(views[:, ::skip, ::skip]).reshape(-1, BLOCK, BLOCK)


def cosine_matrix(size: int) -> NDArray[np.float32]:
    """(size, size) orthonormal DCT-II: row u holds the cosine of frequency u."""
    frequency, position = np.mgrid[0:size, 0:size]
    matrix = np.cos(np.pi * (position + 0.5) * frequency / size) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, dtype=np.float32)


def _split_energy(blocks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n,) mean square of each block's coarse and fine coefficients; either is a flat block's noise variance."""
    matrix = cosine_matrix(BLOCK)
    energy = np.square(matrix @ blocks @ matrix.T)  # (n, 8, 8)
    order = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    coarse, fine = (order >= 1) & (order <= 6), order >= 8
    return energy[:, coarse].mean(axis=1), energy[:, fine].mean(axis=1)


def _flat_bins(
    means: NDArray[np.float32], coarse: NDArray[np.float32], fine: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Brightness, variance and number of flat blocks of each range of brightness that has enough of them."""
    rows = [(means[flat].mean(), fine[flat].mean(), len(flat)) for flat in _flat_members(means, coarse)]
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _flat_members(means: NDArray[np.float32], coarse: NDArray[np.float32]) -> list[NDArray[np.intp]]:
    """The indices of the flat blocks of each range of brightness that has enough of them."""
    bins = np.array_split(np.argsort(means), BRIGHTNESS_BINS)
    chosen = [members[np.argsort(coarse[members])[: int(len(members) * FLAT_SHARE)]] for members in bins]
    return [flat for flat in chosen if len(flat) >= MIN_FLAT_BLOCKS]


def _fit_line(
    brightness: NDArray[np.float64], variance: NDArray[np.float64], counts: NDArray[np.float64]
) -> NoiseEstimate:
    """Weighted least squares of variance = shot · x + read, repeated with less weight for what lies off the line."""
    fine_coefficients = BLOCK * (BLOCK - 1) / 2 - BLOCK + 1
    spread = np.sqrt(2 / (counts * fine_coefficients) + MODEL_ERROR**2)  # relative standard error of a bin's variance
    design = np.stack([brightness, np.ones_like(brightness)], axis=1)
    fitted = _median_line(brightness, variance)
    for _ in range(20):
        off = (variance / fitted - 1) / spread
        # texture adds to the variance, and hardly anything takes from it: what lies above the line loses weight sooner
        share = np.minimum(1, np.where(off > 0, 1.5, 3.0) / np.maximum(np.abs(off), 1e-9)) ** 2
        weight = share / (spread * fitted) ** 2
        shot, read = _non_negative_line(design, variance, weight)
        fitted = np.maximum(shot * brightness + read, 1e-12)
    covariance = np.linalg.pinv(design.T @ (weight[:, None] * design))
    covariance *= max(1.0, float(np.average(np.square((variance / fitted - 1) / spread), weights=share)))
    at = np.array([float(np.median(brightness)), 1.0])
    return NoiseEstimate(
        model=NoiseModel.uniform(shot_noise=shot, read_noise=max(read, 1e-10)),
        shot_error=float(np.sqrt(covariance[0, 0])),
        read_error=float(np.sqrt(covariance[1, 1])),
        brightness=float(at[0]),
        relative_error=float(np.sqrt(at @ covariance @ at) / max(shot * at[0] + read, 1e-12)),
    )


def _median_line(brightness: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) a first guess that half of the bins may miss: the median slope between pairs, the median offset."""
    first, second = np.triu_indices(len(brightness), k=1)
    apart = brightness[second] - brightness[first] > 1e-6
    slopes = (variance[second] - variance[first])[apart] / (brightness[second] - brightness[first])[apart]
    slope = max(float(np.median(slopes)), 0.0) if len(slopes) else 0.0
    offset = max(float(np.median(variance - slope * brightness)), float(variance.min()) * 0.1)
    return np.maximum(slope * brightness + offset, 1e-12)


def _non_negative_line(
    design: NDArray[np.float64], variance: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and offset, both at least 0, of the weighted least-squares line."""
    root = np.sqrt(weight)
    slope, offset = np.linalg.lstsq(design * root[:, None], variance * root, rcond=None)[0]
    if offset < 0:
        slope, offset = np.sum(weight * design[:, 0] * variance) / np.sum(weight * design[:, 0] ** 2), 0.0
    if slope < 0:
        slope, offset = 0.0, np.average(variance, weights=weight)
    return max(float(slope), 0.0), float(offset)
