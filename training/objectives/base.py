"""What objectives share: the batch, and the weight that makes errors count in units of the noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch.nn import functional as F

from training.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware

Weighting = Literal["noise", "none"]
"""Squared errors in units of the noise's variance, or plain as in the papers."""
_WINDOW = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Packed training patches with their noise; C is 4 for raws, 3 for pictures."""

    noisy: Tensor
    """(B, C, h, w) float32, linear, not clipped below, channels R Gr Gb B or R G B."""
    shot_noise: Tensor
    """(B, C) variance per unit of signal."""
    read_noise: Tensor
    """(B, C) variance at black."""
    impulses: Tensor | None = None
    """(B,) share of the pixels that are replaced by any colour; None where none are."""
    clean: Tensor | None = None
    """(B, C, h, w) float32, None where unknown; methods that learn from noisy images alone ignore it."""
    second: Tensor | None = None
    """(B, C, h, w) float32, another noisy frame of each scene, None where there is none."""
    filled: Tensor | None = None
    """(B, C, h, w) float32, `noisy` with its defective photosites filled in, None where none are known: what to learn
    from. `second` has them filled in, too."""
    actual_noise: tuple[Tensor, Tensor] | None = None
    """Shot and read noise as they are, (B, C) each, where the network is told another model's; None for the same."""
    sources: tuple[str, ...] = ()
    """File and place of each patch, for messages."""

    @property
    def measured(self) -> Tensor:
        """(B, C, h, w) what the camera measured, without what it got wrong at the same place every time."""
        return self.noisy if self.filled is None else self.filled


class Objective(ABC):
    """A training method.

    Attributes:
        subsampling: The network sees patches this many times smaller than the batch's.
        direct: Whether the trained network denoises by itself, as it is served, without `denoise` of its own.
    """

    subsampling = 1
    direct = True

    @abstractmethod
    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """The scalar loss of a batch.

        Args:
            model: The network in its noise-aware frame.
            batch: What to learn from.
            progress: How much of the training is done, 0 … 1, for schedules.
            generator: Makes the method's own random draws, on the batch's device.
        """

    def denoise(self, model: NoiseAware, batch: Batch) -> Tensor:
        """What the method makes of noisy images once it is trained, (B, C, h, w) float32; draws are always the same."""
        denoised: Tensor = model(batch.noisy, batch.shot_noise, batch.read_noise)
        return denoised


def check_choice(option: str, value: str, choices: Any) -> None:
    """Refuse a value that is none of a Literal's.

    Raises:
        ConfigError: It is none of them.
    """
    if value not in get_args(choices):
        raise ConfigError(f"{option}: there is no {value!r}; there are {', '.join(get_args(choices))}")


def error_weight(weighting: Weighting, signal: Tensor, shot_noise: Tensor, read_noise: Tensor) -> Tensor:
    """What squared errors are multiplied by: one over the noise's variance, or 1.

    Args:
        weighting: Which of the two.
        signal: (B, C, h, w) linear; see `inverse_variance`.
        shot_noise: (B, C).
        read_noise: (B, C).

    Returns:
        (B, C, h, w).
    """
    if weighting == "none":
        return torch.ones_like(signal)
    return inverse_variance(signal, shot_noise, read_noise)


def inverse_variance(signal: Tensor, shot_noise: Tensor, read_noise: Tensor) -> Tensor:
    """One over the noise's variance where the signal's surroundings have the mean that they have.

    A weight that depended on the noise of the pixel that it weighs would bias the mean; so the pixel is left out.

    Args:
        signal: (B, C, h, w) linear, noisy or clean; no gradient flows through it.
        shot_noise: (B, C).
        read_noise: (B, C).

    Returns:
        (B, C, h, w).
    """
    shot, read = shot_noise[..., None, None], read_noise[..., None, None]
    floor = 0.375 * shot.square()  # the photon or so below which a local mean of a dark patch says nothing
    return 1 / (shot * surround_mean(signal.detach()).clamp(min=0) + read + floor)


def surround_mean(planes: Tensor) -> Tensor:
    """The mean of the 7×7 pixels around each pixel, of those that exist at the border, without the pixel itself.

    Args:
        planes: (B, C, h, w), larger than one pixel.

    Returns:
        (B, C, h, w).
    """
    total, count = _window_sum(planes), _window_sum(torch.ones_like(planes[:1, :1]))
    return (total - planes) / (count - 1)


def _window_sum(planes: Tensor) -> Tensor:
    """The sum over `_WINDOW`² pixels, of those that exist: down, then across, which is 14 sums and not 49."""
    for kernel, padding in (((_WINDOW, 1), (_WINDOW // 2, 0)), ((1, _WINDOW), (0, _WINDOW // 2))):
        planes = F.avg_pool2d(planes, kernel, stride=1, padding=padding, divisor_override=1)
    return planes
