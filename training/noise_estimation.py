"""The noise of one picture, or of several of one camera and ISO, read off their own flat places.

Steps: cut all four planes into small patches; divide by the noise believed so far; in that half of the picture which a
patch does not belong to, find the directions (of 60: 15 coefficients of 4 planes) in which content is weakest; in each
range of brightness keep the patches that are flattest in the other directions; their variance in the weak ones is
noise, and what content is left there is told by how it grows towards less flat patches; fit a line over brightness;
repeat with its noise.

Why all planes at once: content changes all colours together, noise does not, so some differences between planes show
noise even where a picture has texture everywhere. Why halves: directions found where they are used would fit the noise.
What a picture has of white noise from before it was a raw (film grain, 8-bit steps) is indistinguishable, and counts.

In the flow: normalise → **estimate_noise** → noise model, where neither the request nor the file says.

Source: the least principal components of patches: Pyatykh, Hesser, Zheng, "Image Noise Level Estimation by Principal
Component Analysis", IEEE TIP 22(2), 2013, here through the planes of a mosaic and for noise that grows with the signal;
choosing blocks by other coefficients: Ponomarenko et al., "An Automatic Approach to Lossy Compression of AVIRIS
Images", IGARSS 2007.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from training.noise import NoiseModel
from training.noise_clip import behind_clip
from training.noise_line import fit_line, non_negative_line
from training.noise_patches import ORDER, Patches, cosine_matrix, gather_patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise_line import Line
    from training.planes import Planes

FlatBy = Literal["own", "others"]
DIRECTIONS = 12
"""Of 60, those in which the variance of flat patches is taken for noise."""
CONTENT_END = 36
"""Content is measured in directions up to this one: smooth gradients are in the last, and leave the weak ones alone."""
PASSES = 3
MIN_PATCHES = 400
PATCHES_PER_RANGE = 400
MAX_RANGES = 16
FLATTEST, FLAT = 0.12, 0.3
"""Shares of a range's patches: those that are measured, and those that tell how content grows."""
LEARNED_SHARE = 0.3
"""Share of the patches, with the least coarse structure, that directions are found on."""
NEIGHBOUR_WEIGHT = 0.5
"""How much the surroundings count for a patch's flatness: in strong noise its own few coefficients tell little."""
MAX_GROWTH = 0.4
"""The most of the content of other directions that may be taken to be in the weak ones."""
DOUBT = 0.1
"""Difference in content, in units of the noise, below which its effect on the weak directions is mostly chance."""
UNTOUCHED = 0.99
"""Share of the variance left, from which clipping does not matter."""
MIN_LEFT = 0.3
"""Share of the variance that clipping at black must leave in every plane of a patch."""
WHITE_MARGIN = 0.97
"""Patches whose noise reaches above this are left out: clipping cuts it."""
WHITE_REACH = 3.0
"""How many standard deviations noise reaches."""
RANGE_ERROR = 0.02
"""Relative error of a range's variance that is not chance: content that remains, a sensor that is not quite linear."""
COMMON_ERROR, CORRECTION_ERROR, CONTENT_ERROR = 0.03, 0.7, 0.1
"""Relative error that all ranges share: always, of the correction for content, of the content beside the noise."""
_NOTHING = 1e-6
"""Of the noise believed: a variance below it is none."""
SURE_ERROR = 0.1
"""Relative standard error of the variance below which an estimate is sure of itself."""
BLOCK = 8
MAX_BLOCKS = 60_000
BRIGHTNESS_BINS = 32
MIN_FLAT_BLOCKS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseEstimate:
    """A noise model read off a picture, and how far to trust it."""

    model: NoiseModel
    shot_error: float
    """Standard error of the shot noise."""
    read_error: float
    """Standard error of the read noise."""
    brightness: float
    """Median signal of the flat patches: where the variance is known best."""
    relative_error: float
    """Standard error of the variance at `brightness`, as a share of it."""

    @property
    def is_sure(self) -> bool:
        """Whether it may overrule what the file says."""
        return self.relative_error < SURE_ERROR


class _Believed(NamedTuple):
    """What is believed of patches under a noise model."""

    signal: NDArray[np.floating]
    """(n, 4) of each plane, before clipping."""
    variance: NDArray[np.floating]
    """(n, 4) of the noise, before clipping."""
    whitened: NDArray[np.floating]
    """(n, 60) coefficients over the standard deviation that the noise should have in them."""
    usable: NDArray[np.bool_]
    """(n,) not clipped too much."""
    cut: NDArray[np.bool_]
    """(n,) clipped a little, in some plane: its noise is no Gaussian, so that it must not be chosen by itself."""


class _Energies(NamedTuple):
    """Mean squares of each patch's whitened coefficients, (n,) each, and what noise would put there."""

    weak: NDArray[np.floating]
    """In the directions in which content is weakest."""
    choosing: NDArray[np.floating]
    """In every other one of the rest: for choosing."""
    content: NDArray[np.floating]
    """In the others of the rest: for measuring the content of those chosen."""
    design: NDArray[np.floating]
    """(n, 2) what one unit of shot and of read noise adds to `weak`."""


class _Ranges(NamedTuple):
    """Means over the flattest patches of each range of brightness, (r,) each."""

    design: NDArray[np.float64]
    """(r, 2)."""
    weak: NDArray[np.float64]
    content: NDArray[np.float64]
    number: NDArray[np.float64]
    less_flat_weak: NDArray[np.float64]
    """Of the next flattest."""
    less_flat_content: NDArray[np.float64]


def estimate_noise(
    packed: Planes | Sequence[Planes],
    black_clip: float = -np.inf,
    *,
    flat_by: FlatBy = "own",
    step: float = 0.0,
) -> NoiseEstimate | None:
    """Estimate the noise model of a picture, the same for all four channels.

    Args:
        packed: (4, h, w) float32, linear, not clipped, channels R Gr Gb B; or several such pictures of one camera at
            one ISO, whose flat places are pooled.
        black_clip: The smallest signal that the file can hold; noise that reaches it is cut off.
        flat_by: Whose structure says that a patch is flat: its own and that of the patches around it, or the others'
            alone. Of noise with long tails the coefficients are uncorrelated but not independent: a patch chosen by its
            own has too few outliers, and its variance is too small. The noise of other patches is independent whatever
            its distribution.
        step: The distance of two numbers that the file can hold: the read noise, which includes rounding, is at least
            that of rounding alone.

    Returns:
        The estimate, or None where the picture has no place flat and unclipped enough.
    """
    pictures = packed if isinstance(packed, Sequence) else [packed]
    if any(min(picture.shape[1:]) < BLOCK for picture in pictures):
        return None
    patches = gather_patches(pictures)
    least = max(step**2 / 12, 1e-10)
    believed = _first_guess(patches, black_clip, least)
    for _ in range(PASSES):
        found = _improve(patches, believed, black_clip, flat_by)
        if found is None:
            return None
        line, brightness = found
        believed = line.shot, max(line.read, least)
    return _estimate(line, brightness, least)


def _first_guess(patches: Patches, black_clip: float, least: float) -> tuple[float, float]:
    """Shot and read from the lower fifth of the finest detail in ranges of brightness."""
    fine = np.square(patches.coefficients[:, :, ORDER >= 4]).mean(axis=2).ravel()
    unclipped = patches.lowest.ravel() > black_clip
    chosen = unclipped if unclipped.mean() > 0.1 else np.ones_like(unclipped)
    means, fine = patches.means.ravel()[chosen], fine[chosen]
    bins = np.array_split(np.argsort(means), 12)
    signal = np.array([max(float(means[members].mean()), 0.0) for members in bins])
    variance = np.array([float(np.quantile(fine[members], 0.2)) for members in bins])
    design = np.stack([signal, np.ones_like(signal)], axis=1)
    shot, read = non_negative_line(design, variance, 1 / np.maximum(variance, least) ** 2)
    return shot, max(read, 0.1 * float(variance.min()), least)


def _improve(
    patches: Patches, model: tuple[float, float], black_clip: float, flat_by: FlatBy
) -> tuple[Line, float] | None:
    """One pass: the line through the variances of what is flat under the model so far, and its median brightness."""
    believed = _believe(patches, model, black_clip)
    if believed.usable.sum() < MIN_PATCHES:
        return None
    energies = _split_directions(patches, believed)
    if energies is None:
        return None
    flatness = _flatness(patches, energies, believed, flat_by)
    brightness = _brightness(believed)
    ranges = _measure_ranges(energies, flatness, brightness, np.flatnonzero(believed.usable))
    return _fit(ranges, patches.overlap), float(np.median(brightness[believed.usable]))


def _believe(patches: Patches, model: tuple[float, float], black_clip: float) -> _Believed:
    shot, read = model
    signal, left = behind_clip(patches.means, shot, read, black_clip)
    if np.isfinite(black_clip):  # of clipped noise a high mean goes with a high variance: take the means around instead
        around = behind_clip(patches.means_around(), shot, read, black_clip)
        touched = around.left < UNTOUCHED
        signal, left = np.where(touched, around.signal, signal), np.where(touched, around.left, left)
    variance = (shot * np.maximum(signal, 0) + read).astype(np.float32)
    top = (signal + WHITE_REACH * np.sqrt(variance)).max(axis=1)
    scale = 1 / np.sqrt(variance * np.maximum(left, 0.5 * MIN_LEFT), dtype=np.float32)
    whitened = (patches.coefficients * scale[:, :, None]).reshape(len(patches), -1)
    fewest = left.min(axis=1)
    usable = (top < WHITE_MARGIN) & (fewest > MIN_LEFT)
    return _Believed(signal, variance, whitened, usable, fewest < UNTOUCHED)


def _brightness(believed: _Believed) -> NDArray[np.floating]:
    """(n,) the signal of a patch, planes weighted by how well they tell it."""
    weight = 1 / believed.variance
    return np.asarray((weight * believed.signal).sum(axis=1) / weight.sum(axis=1))


def _split_directions(patches: Patches, believed: _Believed) -> _Energies | None:
    """Energies along the directions found in the other half, or None where a half has too little."""
    coarse = np.square(believed.whitened.reshape(len(patches), 4, -1)[:, :, ORDER <= 2]).mean(axis=(1, 2))
    weak, choosing, content = np.full((3, len(patches)), np.inf, dtype=np.float32)
    design = np.zeros((len(patches), 2))
    for half in (False, True):
        learned = np.flatnonzero(believed.usable & (patches.fold != half))
        used = np.flatnonzero(believed.usable & (patches.fold == half))
        if min(len(learned), len(used)) < MIN_PATCHES // 4:
            return None
        flat = learned[np.argsort(coarse[learned])[: int(len(learned) * LEARNED_SHARE)]]
        directions = np.linalg.eigh(believed.whitened[flat].T @ believed.whitened[flat])[1]  # weakest first
        squares = np.square(believed.whitened[used] @ directions)
        weak[used] = squares[:, :DIRECTIONS].mean(axis=1)
        choosing[used] = squares[:, DIRECTIONS + 1 :: 2].mean(axis=1)
        content[used] = squares[:, DIRECTIONS:CONTENT_END:2].mean(axis=1)
        share = np.square(directions[:, :DIRECTIONS]).mean(axis=1).reshape(4, -1).sum(axis=1)  # (4,) of each plane
        over = share / believed.variance[used]
        design[used] = np.stack([(over * believed.signal[used]).sum(axis=1), over.sum(axis=1)], axis=1)
    return _Energies(weak, choosing, content, design)


def _flatness(patches: Patches, energies: _Energies, believed: _Believed, flat_by: FlatBy) -> NDArray[np.floating]:
    """(n,) how much structure a patch and its surroundings show; the less, the flatter."""
    rest = np.where(believed.usable, (energies.choosing + energies.content) / 2, 0)
    known = believed.usable[patches.neighbours] & (patches.neighbours >= 0)  # (n, 4)
    around = (rest[patches.neighbours] * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    others = np.where(known.any(axis=1), around, np.inf)
    if flat_by == "others":
        return others
    own = energies.choosing + NEIGHBOUR_WEIGHT * np.where(known.any(axis=1), around, rest)
    return np.where(believed.cut, (1 + NEIGHBOUR_WEIGHT) * others, own)


def _measure_ranges(
    energies: _Energies,
    flatness: NDArray[np.floating],
    brightness: NDArray[np.floating],
    usable: NDArray[np.intp],
) -> _Ranges:
    """Sort patches by brightness, cut them into ranges, and average over the flattest of each."""
    number = int(np.clip(len(usable) // PATCHES_PER_RANGE, 3, MAX_RANGES))
    rows = []
    for members in np.array_split(usable[np.argsort(brightness[usable])], number):
        by_flatness = members[np.argsort(flatness[members])]
        end, next_end = int(len(members) * FLATTEST), int(len(members) * FLAT)
        flat, less_flat = by_flatness[:end], by_flatness[end:next_end]
        of_flat = (energies.weak[flat].mean(), energies.content[flat].mean(), end)
        of_less_flat = (energies.weak[less_flat].mean(), energies.content[less_flat].mean())
        rows.append((*energies.design[flat].mean(axis=0), *of_flat, *of_less_flat))
    table = np.array(rows, dtype=np.float64)
    return _Ranges(table[:, :2], *table[:, 2:].T)


def _fit(ranges: _Ranges, overlap: float) -> Line:
    """The line through the variances without content, with error bars that know of the correction."""
    growth = _growth(ranges)
    noise = (ranges.weak - growth * ranges.content) / (1 - growth)
    noise = np.maximum(np.clip(noise, 0.3 * ranges.weak, 1.05 * ranges.weak), _NOTHING)
    chance = 2 * overlap / (ranges.number * DIRECTIONS)
    line = fit_line(ranges.design, noise, np.sqrt(chance + RANGE_ERROR**2))
    corrected = float(np.median(np.abs(ranges.weak / noise - 1)))
    beside = max(float(np.median(ranges.content / noise)) - 1, 0.0)
    common = COMMON_ERROR**2 + (CORRECTION_ERROR * corrected) ** 2 + (CONTENT_ERROR * beside) ** 2
    both = np.array([line.shot, line.read])
    return line._replace(covariance=line.covariance + common * np.outer(both, both))


def _growth(ranges: _Ranges) -> float:
    """How much the variance in weak directions grows with that in the others, from the flattest to the next."""
    weight = 1 / np.square(np.maximum(ranges.content, 0.5))
    content = float(np.sum(weight * (ranges.less_flat_content - ranges.content)))
    weak = float(np.sum(weight * (ranges.less_flat_weak - ranges.weak)))
    doubt = DOUBT * float(weight.sum())
    return float(np.clip(weak * content / (content**2 + doubt**2), 0, MAX_GROWTH))


def _estimate(line: Line, brightness: float, least: float) -> NoiseEstimate:
    shot, read = line.shot, max(line.read, least)
    at = np.array([max(brightness, 0.0), 1.0])
    return NoiseEstimate(
        model=NoiseModel.uniform(shot_noise=shot, read_noise=read),
        shot_error=float(np.sqrt(line.covariance[0, 0])),
        read_error=float(np.sqrt(line.covariance[1, 1])),
        brightness=brightness,
        relative_error=float(np.sqrt(at @ line.covariance @ at) / (shot * at[0] + read)),
    )


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


def _split_energy(blocks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n,) mean square of each block's coarse and fine coefficients; either is a flat block's noise variance."""
    matrix = cosine_matrix(BLOCK)
    energy = np.square(matrix @ blocks @ matrix.T)  # (n, 8, 8)
    order = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    coarse, fine = (order >= 1) & (order <= 6), order >= 8
    return energy[:, coarse].mean(axis=1), energy[:, fine].mean(axis=1)


def _flat_members(means: NDArray[np.float32], coarse: NDArray[np.float32]) -> list[NDArray[np.intp]]:
    """The indices of the flat blocks of each range of brightness that has enough of them."""
    bins = np.array_split(np.argsort(means), BRIGHTNESS_BINS)
    chosen = [members[np.argsort(coarse[members])[: int(len(members) * FLATTEST)]] for members in bins]
    return [flat for flat in chosen if len(flat) >= MIN_FLAT_BLOCKS]
