"""Recursive residual groups: the raw denoising network of CycleISP.

Neighbor2Neighbor's second network on packed raws, 0.33 dB better there than the U-Net (its Table 2). Every convolution
runs at full size: it is about ten times slower.

Source: Zamir et al., "CycleISP: Real Image Restoration via Improved Data Synthesis", CVPR 2020: the recursive residual
group, its dual attention block, and the denoiser of 4 groups of 8 blocks. Width 64, kernel 3 and reduction 16 are those
of the authors' raw network, networks/denoising_raw.py in swz30/CycleISP. Differences, all deliberate: each block has
rectifier slopes of its own (theirs share one set); the last layer begins at zero, so that an untrained network in
residual form returns its input; the first convolution always runs in float32, as in `unet.py`. The other weights begin
as theirs do, as PyTorch makes them: He initialisation would let 36 residual sums grow to 6 million times their input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.errors import ConfigError
from training.networks.base import Network


class RRG(Network):
    """Groups of dual attention blocks between two convolutions, without any pooling but the channel attention's.

    The channel attention looks at means over the whole input. A tile has other means than its picture, so that tiled
    output differs a little from whole-image output at any halo; `receptive_field` is what the convolutions reach.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels inside.
        groups: Recursive residual groups.
        blocks: Dual attention blocks of each.
        reduction: The channel attention's bottleneck has this many times fewer channels.

    Raises:
        ConfigError: `reduction` leaves the bottleneck no channel.
    """

    stride = 1

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int = 4,
        width: int = 64,
        groups: int = 4,
        blocks: int = 8,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        if not 1 <= reduction <= width:
            raise ConfigError(f"network rrg: got a reduction of {reduction}, wanted 1 … {width}, the width")
        self.bytes_per_pixel = 150 + 38 * width
        self.receptive_field = 1 + groups * (3 * blocks + 1) + 2  # a block has two convolutions and an attention map
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.groups = nn.Sequential(*(_Group(width, blocks, reduction) for _ in range(groups)))
        self.mixer = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width))
        self.last = nn.Conv2d(width, out_channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        with torch.autocast(features.device.type, enabled=False):
            x = self.first(features.float())  # (B, width, h, w)
        result: Tensor = self.last(self.mixer(self.groups(x)))  # (B, out_channels, h, w)
        return result


class _Group(nn.Module):
    """A recursive residual group: blocks and a convolution, added to what came in."""

    def __init__(self, width: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_DualAttention(width, reduction) for _ in range(blocks)))
        self.last = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.last(self.blocks(x))
        return x + residual


class _DualAttention(nn.Module):
    """Two convolutions, weighed by place and by channel side by side, mixed and added to what came in."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width), nn.Conv2d(width, width, 3, padding=1)
        )
        self.place = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.channel = nn.Sequential(
            nn.Conv2d(width, width // reduction, 1), nn.ReLU(), nn.Conv2d(width // reduction, width, 1)
        )
        self.mixer = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.convolutions(x)  # (B, width, h, w)
        summary = torch.cat([residual.amax(1, keepdim=True), residual.mean(1, keepdim=True)], dim=1)  # (B, 2, h, w)
        by_place = residual * self.place(summary).sigmoid()
        by_channel = residual * self.channel(picture_means(residual)).sigmoid()
        mixed: Tensor = self.mixer(torch.cat([by_place, by_channel], dim=1))  # (B, width, h, w)
        return x + mixed


def picture_means(planes: Tensor) -> Tensor:
    """(B, C, 1, 1): the mean of each plane of each picture."""
    return planes.mean(dim=(2, 3), keepdim=True)
