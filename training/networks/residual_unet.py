"""A U-Net of residual blocks that first folds its input: 2×2 packed pixels become one with four times the channels.

A convolution at full size costs as much in memory traffic as in arithmetic. Folded, the widest planes are a quarter as
large, and hold more channels, which matrix units (AMX, tensor cores) want. So a network of four times the parameters
takes half the time of `unet.py`'s, in training and in serving; what it costs and gains: `tests/benchmarks/networks.py`.

Source: the residual U-Net with strided and transposed 2×2 convolutions and added skips is that of Zhang et al.,
"Plug-and-Play Image Restoration with Deep Denoiser Prior", IEEE TPAMI 44(10), 2022 (DRUNet, section 3.2), here with
fewer and narrower blocks, and biases; folding is that of Zhang et al., "FFDNet", IEEE TIP 27(9), 2018, section III-A.
As in `unet.py`, the last layer begins at zero, so that an untrained network in residual form returns its input, and the
first convolution always runs in float32, because bfloat16's 8 bits cannot hold a bright signal and its noise together.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.errors import ConfigError
from training.networks.base import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

BRANCH_SCALE = 0.2
"""By how much smaller than He's a block's second convolution begins: sums over many blocks then stay in range."""


class ResidualUNet(Network):
    """Residual blocks on some levels, each half the size of the one above and wider.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        widths: Channels of every level, the largest planes first.
        blocks: Residual blocks of every level: on the way down, and again on the way up; once on the smallest.
        fold: This many packed pixels each way become one before the first convolution; 1 for none.

    Raises:
        ConfigError: Widths and blocks are not as many, or one of the numbers is less than 1.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int = 4,
        widths: Sequence[int] = (64, 128, 256),
        blocks: Sequence[int] = (2, 2, 2),
        fold: int = 2,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks) or min([fold, *widths, *blocks], default=0) < 1:
            raise ConfigError(f"network residual-unet: got widths {widths}, blocks {blocks} and a fold of {fold}")
        self.fold = fold
        self.stride = fold << (len(widths) - 1)
        self.receptive_field = _reach(blocks, fold)
        self.bytes_per_pixel = 150 + 12 * widths[0] // fold**2  # what the noise is told by, and the largest planes
        steps = list(pairwise(widths))
        self.first = nn.Conv2d(in_channels * fold**2, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(above, below, 2, stride=2) for above, below in steps)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, stride=2) for above, below in steps)
        self.decoders = nn.ModuleList(_blocks(above, count) for (above, _), count in zip(steps, blocks, strict=False))
        self.last = nn.Conv2d(widths[0], out_channels * fold**2, 3, padding=1)
        _initialise(self)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w); h and w are multiples of `stride`."""
        folded = F.pixel_unshuffle(features, self.fold)  # (B, in_channels·fold², h/fold, w/fold)
        with torch.autocast(features.device.type, enabled=False):
            x = self.first(folded.float())  # (B, widths[0], h/fold, w/fold)
        x = _reduced(x)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=False):
            x = encoder(x)
            skips.append(x)
            x = down(x)  # (B, widths[level + 1], …) at half the size
        x = self.encoders[-1](x)
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            x = decoder(up(x) + skips.pop())  # (B, widths[level], …) at twice the size
        return F.pixel_shuffle(self.last(x), self.fold)  # (B, out_channels, h, w)


class _Block(nn.Module):
    """Two convolutions with a rectifier between them, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.second(F.relu(self.first(x), inplace=True))
        return x + residual


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(count)))


def _reduced(x: Tensor) -> Tensor:
    """In the numbers that autocast multiplies in; a float32 sum would make every later sum float32, and slow."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _reach(blocks: Sequence[int], fold: int) -> int:
    """How many packed pixels away, at most, an input pixel lies that an output pixel depends on.

    Followed backwards for every place that an output pixel can have on the grid of the smallest planes.

    >>> _reach((1,), 1), _reach((1,), 2)
    (4, 9)
    """
    stride = fold << (len(blocks) - 1)
    reach = 0
    for place in range(stride):
        low = high = place // fold
        low, high = low - 1, high + 1  # the last convolution
        for count in blocks[:-1]:
            low, high = (low - 2 * count) // 2, (high + 2 * count) // 2  # the way up, from its end
        low, high = low - 2 * blocks[-1], high + 2 * blocks[-1]
        for count in reversed(blocks[:-1]):
            low, high = 2 * low - 2 * count, 2 * high + 1 + 2 * count  # the way down
        low, high = fold * (low - 1), fold * (high + 1) + fold - 1  # the first convolution
        reach = max(reach, place - low, high - place)
    return reach


def _initialise(network: ResidualUNet) -> None:
    """He initialisation inside blocks, with small sums; variance kept from level to level; nothing at the end."""
    for layer in network.modules():
        if isinstance(layer, _Block):
            nn.init.kaiming_normal_(layer.first.weight, nonlinearity="relu")
            nn.init.kaiming_normal_(layer.second.weight, nonlinearity="linear")
            layer.second.weight.data.mul_(BRANCH_SCALE)
        elif isinstance(layer, nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=layer.in_channels**-0.5)  # its 2×2 kernels do not overlap
        elif isinstance(layer, nn.Conv2d) and layer.kernel_size == (2, 2):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    nn.init.kaiming_normal_(network.first.weight, nonlinearity="linear")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    nn.init.zeros_(network.last.weight)
