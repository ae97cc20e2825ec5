"""The U-Net of the self-supervised denoising papers.

Source: Laine et al., "High-Quality Self-Supervised Deep Image Denoising", NeurIPS 2019, appendix, Table 4 (the baseline
without blind spot); the same network in Huang et al., "Neighbor2Neighbor", CVPR 2021. Differences, both deliberate:
the last layer begins at zero, so that an untrained network in residual form returns its input (the published code
scales every initial weight by 0.1, which makes its untrained output about 6e-6); the first convolution always runs in
float32, because bfloat16's 8 bits cannot hold a bright signal and its noise in one number.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.base import Network

_SLOPE = 0.1


class UNet(Network):
    """Five levels of max-pooling, nearest-neighbour upsampling, three 1×1 convolutions at the end.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels of the encoder; the decoder has twice as many (48 and 96 in the paper).
    """

    stride = 32
    receptive_field = 160

    def __init__(self, *, in_channels: int, out_channels: int = 4, width: int = 48) -> None:
        super().__init__()
        wide = 2 * width
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(6))
        incoming = [width + width, wide + width, wide + width, wide + width, wide + in_channels]
        self.decoders = nn.ModuleList(_Decoder(channels, wide) for channels in incoming)
        self.mixers = nn.ModuleList([nn.Conv2d(wide, wide, 1), nn.Conv2d(wide, wide, 1)])
        self.last = nn.Conv2d(wide, out_channels, 1)
        self.apply(_initialise)
        nn.init.zeros_(self.last.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w); h and w are multiples of 32."""
        with torch.autocast(features.device.type, enabled=False):
            x = _activate(self.first(features.float()))  # (B, width, h, w)
        skips = [features]
        for level, encoder in enumerate(self.encoders):
            x = _activate(encoder(x))  # (B, width, h/2^level, w/2^level)
            if level < 5:
                x = F.max_pool2d(x, 2)
                if level < 4:
                    skips.append(x)
        for decoder in self.decoders:
            x = decoder(x, skips.pop())  # (B, 2·width, …) at twice the size
        for mixer in self.mixers:
            x = _activate(mixer(x))  # (B, 2·width, h, w)
        result: Tensor = self.last(x)
        return result


class _Decoder(nn.Module):
    """One level up: upsample, join the skipped features, convolve twice."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest")  # (B, …, 2h, 2w)
        x = torch.cat([x, skip.to(x.dtype)], dim=1)
        return _activate(self.second(_activate(self.first(x))))  # (B, out_channels, 2h, 2w)


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)


def _initialise(layer: nn.Module) -> None:
    """He initialisation for leaky rectifiers, biases zero."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
