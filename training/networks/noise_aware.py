"""The noise-aware frame around a network: noise of unit variance in, a residual in units of the noise out.

One model then serves every camera and ISO. In the flow: pack → plan_tiles → **network** → stitch.

The stabilised signal reaches some hundreds at low ISO, where its noise is 1. So it is split: the detail, which is small
except at edges, in units of the noise, and the coarse picture between 0 and 1.

Source: the variance-stabilising transform of Anscombe (1948), generalised to Poisson-Gaussian noise; see Mäkitalo and
Foi, "Optimal Inversion of the Generalized Anscombe Transformation for Poisson-Gaussian Noise", IEEE TIP 22(1), 2013.
Only the *input* is stabilised. Output and training target stay linear, so that nothing biases the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.errors import ConfigError
from training.manifest import InputNormalisation
from training.networks import build_network
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from training.config import TrainingConfig
    from training.networks.base import Network
    from training.raw.cells import SensorKind

    Groups = tuple[tuple[int, ...], ...]

DETAIL_WINDOW = 9
"""Detail is what differs from the mean over this many packed pixels squared."""
POOLED_WINDOW = 3
"""The same where all planes of a colour share that mean, which are many then."""
DETAIL_KNEE = 30.0
"""Standard deviations beyond which detail is certainly signal, and its size is compressed."""
DETAIL_SCALE = 0.25


class NoiseAware(nn.Module):
    """A network in residual form, its input normalised by the noise model.

    Args:
        network: (B, input_channels(…), h, w) to (B, C, h, w): C is 4 for raws, 3 for pictures.
        input_normalisation: "variance-stabilised", or "none" for the papers' plain input and output.
        groups: Planes that share their local brightness; none for a brightness of its own for every plane.
    """

    def __init__(
        self,
        network: Network,
        input_normalisation: InputNormalisation = "variance-stabilised",
        groups: Groups = (),
    ) -> None:
        super().__init__()
        if input_normalisation not in get_args(InputNormalisation):
            raise ConfigError(f"input_normalisation: there is no {input_normalisation!r}")
        self.network = network
        self.input_normalisation = input_normalisation
        self.groups = groups

    def forward(self, noisy: Tensor, shot_noise: Tensor, read_noise: Tensor) -> Tensor:
        """Denoise packed patches or tiles.

        Args:
            noisy: (B, 4, h, w) float32, linear, not clipped, channels R Gr Gb B.
            shot_noise: (B, 4) variance per unit of signal.
            read_noise: (B, 4) variance at black.

        Returns:
            (B, 4, h, w) float32, linear, not clipped.
        """
        if self.input_normalisation == "none":
            plain: Tensor = self.network(noisy)  # (B, 4, h, w)
            return noisy + plain.float()
        features, deviation = noise_features(noisy, shot_noise, read_noise, self.groups)
        residual: Tensor = self.network(features)  # (B, 4, h, w), in units of the noise
        return noisy + deviation * residual.float()


def build_noise_aware(config: TrainingConfig) -> NoiseAware:
    """A freshly initialised network in its frame, as a training run's configuration wants it.

    Raises:
        ConfigError: There is no such network, or it does not take these options.
    """
    groups = plane_groups(config.sensor)
    channels = input_channels(config.input_normalisation, config.channels, groups)
    options = {"out_channels": config.channels, **config.network_options}
    network = build_network(config.network, in_channels=channels, **options)
    return NoiseAware(network, config.input_normalisation, groups)


def plane_groups(sensor: SensorKind) -> Groups:
    """Which planes of a sensor's cell share their local brightness; none where every plane has its own."""
    cell = CELLS[sensor]
    return tuple(cell.planes_of(colour) for colour in sorted(set(cell.plane_colours))) if cell.pooled else ()


def input_channels(input_normalisation: InputNormalisation, channels: int, groups: Groups = ()) -> int:
    """Channels that a network gets of a signal with so many.

    >>> input_channels("variance-stabilised", 4), input_channels("none", 3)
    (9, 3)
    >>> input_channels("variance-stabilised", 36, plane_groups("x-trans"))
    40
    """
    if input_normalisation == "none":
        return channels
    return channels + (len(groups) or channels) + 1


def noise_features(noisy: Tensor, shot_noise: Tensor, read_noise: Tensor, groups: Groups = ()) -> tuple[Tensor, Tensor]:
    """What a noise-aware network sees.

    Args:
        noisy: (B, 4, h, w) linear signal.
        shot_noise: (B, 4).
        read_noise: (B, 4).
        groups: Planes that share their local brightness; none for a brightness of its own for every plane.

    Returns:
        (B, 9, h, w): four planes of detail in units of the noise, four of the coarse picture (the square root of its
        signal; one a group), one of the noise at mid-grey (a logarithm); and (B, 4, h, w), the noise's standard
        deviation.
    """
    stabilised, deviation = stabilise(noisy, shot_noise, read_noise)
    if groups:
        level = _spread(local_mean(_pooled(stabilised, groups), POOLED_WINDOW), groups)  # (B, 4, h, w)
        coarse = local_mean(_pooled(noisy, groups), POOLED_WINDOW)  # (B, groups, h, w)
    else:
        level, coarse = local_mean(stabilised), local_mean(noisy)  # (B, 4, h, w) each
    detail = stabilised - level
    detail = DETAIL_SCALE * detail / (1 + detail.abs() / DETAIL_KNEE)
    coarse = coarse.clamp(min=0).sqrt()
    grey = torch.log10(0.18 * shot_noise + read_noise).mean(dim=1) / 4 + 1  # (B,) about -0.5 … 0.5
    noise = grey[:, None, None, None].expand(-1, 1, *noisy.shape[2:])  # (B, 1, h, w)
    return torch.cat([detail, coarse, noise], dim=1), deviation


def local_reach(groups: Groups) -> int:
    """Packed pixels each way that local brightness is the mean of."""
    return (POOLED_WINDOW if groups else DETAIL_WINDOW) // 2


def _pooled(planes: Tensor, groups: Groups) -> Tensor:
    """(B, C, h, w) → (B, groups, h, w): the mean of every group."""
    return torch.stack([planes[:, list(group)].mean(dim=1) for group in groups], dim=1)


def _spread(pooled: Tensor, groups: Groups) -> Tensor:
    """(B, groups, h, w) → (B, C, h, w): every plane gets its group's."""
    group_of = {plane: index for index, group in enumerate(groups) for plane in group}
    return pooled[:, [group_of[plane] for plane in range(len(group_of))]]


def local_mean(planes: Tensor, window: int = DETAIL_WINDOW) -> Tensor:
    """(B, C, h, w) mean over `window`² pixels, of those that exist at the border."""
    reach = window // 2
    for axis, margins in ((2, (0, 0, reach, reach)), (3, (reach, reach))):  # 18 sums, not 81
        size = planes.shape[axis]
        padded = F.pad(planes, margins)
        total = padded.narrow(axis, 0, size).clone()  # ten times as fast as avg_pool2d, which is slow on few channels
        for start in range(1, window):
            total += padded.narrow(axis, start, size)
        place = torch.arange(size, device=planes.device)
        existing = 1 + place.clamp(max=reach) + (size - 1 - place).clamp(max=reach)
        planes = total / existing.reshape(-1, *[1] * (3 - axis))
    return planes


def stabilise(noisy: Tensor, shot_noise: Tensor, read_noise: Tensor) -> tuple[Tensor, Tensor]:
    """The generalised Anscombe transform, made to begin at 0 and to go on in a straight line below black.

    With σ(x)² = shot·max(x, 0) + read + ⅜·shot², Anscombe's 2/shot · (σ(x) − σ(0)) equals 2x / (σ(x) + σ(0)), which
    is defined without shot noise too and is linear, with the same slope, below black.

    Args:
        noisy: (B, 4, h, w) linear signal.
        shot_noise: (B, 4).
        read_noise: (B, 4).

    Returns:
        (B, 4, h, w) the signal with noise of about unit variance, and (B, 4, h, w) the noise's standard deviation σ.
    """
    shot, read = shot_noise[..., None, None], read_noise[..., None, None]  # (B, 4, 1, 1)
    floor = read + 0.375 * shot.square()
    deviation = torch.sqrt(shot * noisy.clamp(min=0) + floor)  # (B, 4, h, w)
    return 2 * noisy / (deviation + floor.sqrt()), deviation
