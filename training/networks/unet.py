"""The U-Net of the self-supervised denoising papers.

Source: Laine et al., "High-Quality Self-Supervised Deep Image Denoising", NeurIPS 2019, appendix, Table 4 (the baseline
without blind spot); the same network in Huang et al., "Neighbor2Neighbor", CVPR 2021. Differences, both deliberate:
the last layer begins at zero, so that an untrained network in residual form returns its input (the published code
scales every initial weight by 0.1, which makes its untrained output about 6e-6); the first convolution always runs in
float32, because bfloat16's 8 bits cannot hold a bright signal and its noise in one number. The options `slope`,
`upsampling` and `predicts` are there for published weights (see `imported.py`).
"""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.errors import ConfigError
from training.networks.base import Network

Upsampling = Literal["nearest", "transposed"]
Prediction = Literal["residual", "signal"]


class UNet(Network):
    """Five levels of max-pooling, nearest-neighbour upsampling, three 1×1 convolutions at the end.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels of the encoder; the decoder has twice as many (48 and 96 in the paper).
        slope: Of the leaky rectifiers below zero.
        upsampling: By repeating pixels, or by a transposed convolution that is learned.
        predicts: What to add to the input, or the signal itself as published weights do; the input is then subtracted
            here, in float32 throughout: an identity path through bfloat16 would cap near 54 dB.
    """

    stride = 32
    receptive_field = 160

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int = 4,
        width: int = 48,
        slope: float = 0.1,
        upsampling: Upsampling = "nearest",
        predicts: Prediction = "residual",
    ) -> None:
        super().__init__()
        if upsampling not in get_args(Upsampling) or predicts not in get_args(Prediction):
            raise ConfigError(f"network unet: there is no upsampling {upsampling!r} or no prediction {predicts!r}")
        self.predicts, self.slope = predicts, slope
        self.bytes_per_pixel = 150 + 15 * width  # what the noise is told by, and the largest planes
        wide = 2 * width
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(6))
        below, skipped = [width, wide, wide, wide, wide], [width, width, width, width, in_channels]
        self.decoders = nn.ModuleList(
            _Decoder(lower, skip, wide, slope, upsampling) for lower, skip in zip(below, skipped, strict=True)
        )
        self.mixers = nn.ModuleList([nn.Conv2d(wide, wide, 1), nn.Conv2d(wide, wide, 1)])
        self.last = nn.Conv2d(wide, out_channels, 1)
        self.apply(partial(initialise, slope=slope))
        nn.init.zeros_(self.last.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w); h and w are multiples of 32."""
        if self.predicts == "residual":
            return self._predict(features)
        with torch.autocast(features.device.type, enabled=False):
            return self._predict(features.float()) - features.float()

    def _predict(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            x = self._activate(self.first(features.float()))  # (B, width, h, w)
        skips = [features]
        for level, encoder in enumerate(self.encoders):
            x = self._activate(encoder(x))  # (B, width, h/2^level, w/2^level)
            if level < 5:
                x = F.max_pool2d(x, 2)
                if level < 4:
                    skips.append(x)
        for decoder in self.decoders:
            x = decoder(x, skips.pop())  # (B, 2·width, …) at twice the size
        for mixer in self.mixers:
            x = self._activate(mixer(x))  # (B, 2·width, h, w)
        result: Tensor = self.last(x)
        return result

    def _activate(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.slope)


class _Decoder(nn.Module):
    """One level up: upsample, join the skipped features, convolve twice."""

    def __init__(
        self, lower_channels: int, skip_channels: int, out_channels: int, slope: float, upsampling: Upsampling
    ) -> None:
        super().__init__()
        self.slope = slope
        self.first = nn.Conv2d(lower_channels + skip_channels, out_channels, 3, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.up: nn.Module = (
            nn.ConvTranspose2d(lower_channels, lower_channels, 2, stride=2)
            if upsampling == "transposed"
            else nn.Upsample(scale_factor=2, mode="nearest")
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)  # (B, …, 2h, 2w)
        x = torch.cat([x, skip.to(x.dtype)], dim=1)
        x = F.leaky_relu(self.first(x), self.slope)
        return F.leaky_relu(self.second(x), self.slope)  # (B, out_channels, 2h, 2w)


def initialise(layer: nn.Module, slope: float) -> None:
    """He initialisation for leaky rectifiers, biases zero."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(layer.weight, a=slope)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
