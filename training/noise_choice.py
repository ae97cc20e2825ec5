"""Which noise model a picture is denoised with: the request's, the file's own, or the one its pixels show.

In the flow: normalise → **choose_noise** → network. The rule: a request is obeyed; where the file's tag and its pixels
differ by more than 1.4 in variance, the pixels win, if they are sure of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from training.errors import UnsupportedRawError
from training.noise_estimation import NoiseEstimate, estimate_noise
from training.noise_squares import estimation_planes

if TYPE_CHECKING:
    from training.noise import NoiseModel
    from training.planes import Planes
    from training.raw.image import RawMetadata

TOLERATED_RATIO = 1.4


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseChoice:
    """The noise model in use."""

    model: NoiseModel
    source: Literal["request", "tag", "estimate"]
    """Where it came from."""
    estimate: NoiseEstimate | None = None
    """What the pixels show, where that was looked at."""
    warnings: tuple[str, ...] = ()
    """What the sender should know, in sentences."""


def choose_noise(packed: Planes, metadata: RawMetadata, requested: NoiseModel | None = None) -> NoiseChoice:
    """Choose the noise model of a picture.

    Args:
        packed: (c, h, w) float32, linear, not clipped, channels as the sensor's cell has them.
        metadata: What the file says.
        requested: What the request says.

    Raises:
        UnsupportedRawError: Neither file nor request has one, and the picture has no flat place to read it off.
    """
    if requested is not None:
        return NoiseChoice(model=requested, source="request")
    levels = metadata.levels
    steps = float(np.min(levels.signal_range))  # 1 where the levels are those of a normalised signal, which has none
    planes = estimation_planes(packed, metadata.phase.cell)
    estimate = estimate_noise(planes, black_clip(metadata), step=1 / steps if steps > 1 else 0.0)
    tag = metadata.noise_profile
    if tag is None:
        if estimate is None:
            raise UnsupportedRawError(
                "the file has no noise profile, and the picture has no place flat enough to estimate it; "
                "give the noise model with the request"
            )
        unsure = () if estimate.is_sure else ("the noise was estimated from the picture, which is not sure of it",)
        return NoiseChoice(model=estimate.model, source="estimate", estimate=estimate, warnings=unsure)
    if estimate is None or not estimate.is_sure or _ratio(tag, estimate) <= TOLERATED_RATIO:
        return NoiseChoice(model=tag, source="tag", estimate=estimate)
    warning = f"the file's noise profile is off by a factor of {_ratio(tag, estimate):.2f}: the estimate was used"
    return NoiseChoice(model=estimate.model, source="estimate", estimate=estimate, warnings=(warning,))


def _ratio(tag: NoiseModel, estimate: NoiseEstimate) -> float:
    """How many times the variances differ where the picture shows them best; at least 1."""
    at = np.full((4, 1, 1), estimate.brightness)
    ratio = float(np.mean(estimate.model.variance(at)) / np.mean(tag.variance(at)))
    return max(ratio, 1 / ratio)


def black_clip(metadata: RawMetadata) -> float:
    """The normalised signal of a stored 0."""
    levels = metadata.levels
    return float(np.max(-levels.mean_black / levels.signal_range))
