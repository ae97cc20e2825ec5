"""What objectives share: the batch, and the weight that makes errors count in units of the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch.nn import functional as F

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware

_WINDOW = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Packed training patches with their noise."""

    noisy: Tensor
    """(B, 4, h, w) float32, linear, not clipped below, channels R Gr Gb B."""
    shot_noise: Tensor
    """(B, 4) variance per unit of signal."""
    read_noise: Tensor
    """(B, 4) variance at black."""
    clean: Tensor | None = None
    """(B, 4, h, w) float32, None where unknown; methods that learn from noisy images alone ignore it."""
    second: Tensor | None = None
    """(B, 4, h, w) float32, another noisy frame of each scene, None where there is none."""
    sources: tuple[str, ...] = ()
    """File and place of each patch, for messages."""


class Objective(Protocol):
    """A training method.

    Attributes:
        subsampling: The network sees patches this many times smaller than the batch's.
    """

    subsampling: int

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """The scalar loss of a batch.

        Args:
            model: The network in its noise-aware frame.
            batch: What to learn from.
            progress: How much of the training is done, 0 … 1, for schedules.
            generator: Makes the method's own random draws, on the batch's device.
        """


def inverse_variance(signal: Tensor, shot_noise: Tensor, read_noise: Tensor) -> Tensor:
    """One over the noise's variance where the signal's local mean is what it is.

    The mean over 7×7 pixels makes the weight independent, but for 1/49, of the noise of the pixel that it weighs; a
    weight that depended on it would bias the mean.

    Args:
        signal: (B, 4, h, w) linear, noisy or clean; no gradient flows through it.
        shot_noise: (B, 4).
        read_noise: (B, 4).

    Returns:
        (B, 4, h, w).
    """
    padding = _WINDOW // 2
    local = F.avg_pool2d(signal.detach(), _WINDOW, stride=1, padding=padding, count_include_pad=False)
    shot, read = shot_noise[..., None, None], read_noise[..., None, None]
    floor = 0.375 * shot.square()  # the photon or so below which a local mean of a dark patch says nothing
    return 1 / (shot * local.clamp(min=0) + read + floor)
