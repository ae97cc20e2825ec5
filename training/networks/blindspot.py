"""Networks that do not see the pixel that they predict: all they know of it is its surroundings.

`BlindSpotUNet`: one U-Net whose every output pixel depends on rows above it alone is run on the input turned by 0, 90,
180 and 270 degrees; the four results, turned back, are joined by 1×1 convolutions. Convolutions are moved up by half
their height, poolings by one row, and the last features down by one row, so that a pixel's own row is left out, too.

`DilatedBlindSpot`: a first convolution whose kernel has no centre, then dilated ones whose steps can never lead back to
it: offsets of 1 in multiples of 2, and offsets of up to 2 in multiples of 3.

Source: Laine et al., "High-Quality Self-Supervised Deep Image Denoising", NeurIPS 2019, section 2 and Table 4 of the
appendix, and its auxiliary network for unknown noise (section 3.2). Wu, Liu, Cao, Ren, Zuo, "Unpaired Learning of Deep
Image Denoising" (DBSN), ECCV 2020, section 3.2 and figure 2. Differences, all deliberate: layers begin as in
`unet.py`; the last one begins small, not at zero, because a covariance A·Aᵀ has no gradient at A = 0; mirrored borders
would let a pixel see itself, so that borders are zeros.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.errors import ConfigError
from training.networks.base import Network
from training.networks.unet import UNet, initialise

NoiseParameters = Literal["known", "constant", "variable"]
"""Given with every image; unknown but the same for all; unknown and each image's own."""
LEVELS = 5
SMALL = 0.1
"""First weights of the last layer, and of the last ones of residual blocks, against He initialisation."""


class BlindSpotUNet(Network):
    """Four half-plane views of one U-Net, joined; at last, if asked for, the unknown parameters of the noise.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, those of `estimates` among them.
        width: Channels of the encoder; the decoder has twice as many (48 and 96 in the paper).
        slope: Of the leaky rectifiers below zero.
        noise: Whether the parameters of the noise are known, one unknown number for all images, or each image's own,
            which another U-Net that sees all pixels estimates.
        estimates: How many they are; they are the output's last channels, the same in every pixel of an image.

    Raises:
        ConfigError: There is no such `noise`, or `estimates` does not go with it.
    """

    stride = 32
    receptive_field = 315

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 48,
        slope: float = 0.1,
        noise: NoiseParameters = "known",
        estimates: int = 0,
    ) -> None:
        super().__init__()
        if noise not in get_args(NoiseParameters) or (noise == "known") != (estimates == 0):
            raise ConfigError(f"network blindspot-unet: got noise {noise!r} with {estimates} estimates")
        wide = 2 * width
        self.bytes_per_pixel = 150 + 60 * width  # four times a U-Net's
        self.slope = slope
        self.branch = _HalfPlaneUNet(in_channels, width, slope)
        self.mixers = nn.ModuleList([nn.Conv2d(4 * wide, 4 * wide, 1), nn.Conv2d(4 * wide, wide, 1)])
        self.last = nn.Conv2d(wide, out_channels - estimates, 1)
        self.constant = nn.Parameter(torch.zeros(estimates)) if noise == "constant" else None
        self.estimator = (
            UNet(in_channels=in_channels, out_channels=estimates, width=width) if noise == "variable" else None
        )
        for layer in [*self.mixers, self.last]:
            initialise(layer, slope)
        shrink(self.last)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w); h and w are multiples of 32."""
        views = [torch.rot90(self.branch(torch.rot90(features, k, (2, 3))), -k, (2, 3)) for k in range(4)]
        x = torch.cat(views, dim=1)  # (B, 8·width, h, w)
        for mixer in self.mixers:
            x = F.leaky_relu(mixer(x), self.slope)
        prior: Tensor = self.last(x)  # (B, out_channels - estimates, h, w)
        estimates = self._estimates(features)
        if estimates is None:
            return prior
        return torch.cat([prior.float(), estimates.expand(len(x), -1, *x.shape[2:])], dim=1)

    def _estimates(self, features: Tensor) -> Tensor | None:
        """(B or 1, estimates, 1, 1) float32, None where the noise is known."""
        if self.constant is not None:
            return self.constant[None, :, None, None]
        if self.estimator is not None:
            means: Tensor = self.estimator(features).float().mean(dim=(2, 3), keepdim=True)
            return means
        return None


class DilatedBlindSpot(Network):
    """Two branches of dilated blocks behind convolutions without a centre, 3×3 and 5×5, joined by 1×1 convolutions.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels inside (96 in the paper).
        blocks: Dilated blocks in each branch (6 in the paper).
        slope: Of the leaky rectifiers below zero.
    """

    stride = 1

    def __init__(
        self, *, in_channels: int, out_channels: int, width: int = 48, blocks: int = 6, slope: float = 0.1
    ) -> None:
        super().__init__()
        self.bytes_per_pixel = 150 + 30 * width
        self.receptive_field = max(reach + (reach + 1) * blocks for reach in (1, 2))
        self.slope = slope
        self.first = nn.Conv2d(in_channels, width, 1)
        self.branches = nn.ModuleList(_DilatedBranch(width, reach, blocks, slope) for reach in (1, 2))
        self.mixers = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in pairwise((2 * width, width, width))
        )
        self.last = nn.Conv2d(width, out_channels, 1)
        self.apply(partial(initialise, slope=slope))
        for layer in [self.last, *(block[-1] for branch in self.branches for block in branch.blocks)]:  # type: ignore[union-attr]
            shrink(layer)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        with torch.autocast(features.device.type, enabled=False):
            x = F.leaky_relu(self.first(features.float()), self.slope)  # (B, width, h, w)
        x = torch.cat([branch(x) for branch in self.branches], dim=1)  # (B, 2·width, h, w)
        for mixer in self.mixers:
            x = F.leaky_relu(mixer(x), self.slope)
        result: Tensor = self.last(x)
        return result


class _HalfPlaneUNet(nn.Module):
    """The U-Net of `unet.py` without its last layers; a pixel of its output depends on rows above it alone."""

    def __init__(self, in_channels: int, width: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        wide = 2 * width
        self.first = _UpwardConv(in_channels, width)
        self.encoders = nn.ModuleList(_UpwardConv(width, width) for _ in range(LEVELS + 1))
        joined = [(width + width), *[wide + width] * (LEVELS - 2), wide + in_channels]
        self.decoders = nn.ModuleList(_UpwardDecoder(channels, wide, slope) for channels in joined)
        self.apply(partial(initialise, slope=slope))

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) to (B, 2·width, h, w)."""
        with torch.autocast(features.device.type, enabled=False):
            x = F.leaky_relu(self.first(features.float()), self.slope)  # (B, width, h, w)
        skips = [features]
        for level, encoder in enumerate(self.encoders):
            x = F.leaky_relu(encoder(x), self.slope)  # (B, width, h/2^level, w/2^level)
            if level < LEVELS:
                x = F.max_pool2d(move_down(x), 2)
                if level < LEVELS - 1:
                    skips.append(x)
        for decoder in self.decoders:
            x = decoder(x, skips.pop())  # (B, 2·width, …) at twice the size
        return move_down(x)


class _UpwardDecoder(nn.Module):
    """One level up: repeat pixels, join the skipped features, convolve twice."""

    def __init__(self, in_channels: int, out_channels: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.first = _UpwardConv(in_channels, out_channels)
        self.second = _UpwardConv(out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2)  # (B, …, 2h, 2w)
        x = torch.cat([x, skip.to(x.dtype)], dim=1)
        x = F.leaky_relu(self.first(x), self.slope)
        return F.leaky_relu(self.second(x), self.slope)  # (B, out_channels, 2h, 2w)


class _UpwardConv(nn.Conv2d):
    """A 3×3 convolution of a pixel's own row and the two above it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 2, 0)))


class _DilatedBranch(nn.Module):
    """A convolution without centre, then dilated ones, each followed by a 1×1 one and added to what came in."""

    def __init__(self, width: int, reach: int, blocks: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.first = _CentrelessConv(width, reach)
        dilation = reach + 1
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
                nn.LeakyReLU(slope),
                nn.Conv2d(width, width, 1),
            )
            for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), self.slope)
        for block in self.blocks:
            x = x + block(x)
        return x


class _CentrelessConv(nn.Conv2d):
    """A convolution that sees at most `reach` pixels away, and not the pixel itself."""

    seen: Tensor

    def __init__(self, width: int, reach: int) -> None:
        super().__init__(width, width, 2 * reach + 1, padding=reach)
        seen = torch.ones(2 * reach + 1, 2 * reach + 1)
        seen[reach, reach] = 0
        self.register_buffer("seen", seen, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self._conv_forward(x, self.weight * self.seen, self.bias)
        return convolved


def move_down(x: Tensor) -> Tensor:
    """Every row one further down; the first one zero."""
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1]


def shrink(layer: nn.Conv2d) -> None:
    """Let a layer begin with small outputs."""
    layer.weight.data.mul_(SMALL)
