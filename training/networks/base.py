"""What every network states about itself."""

from __future__ import annotations

from torch import Tensor, nn


class Network(nn.Module):
    """A network with the facts that tiling needs.

    Attributes:
        stride: Height and width have to be multiples of this.
        receptive_field: Reach of an output pixel into the input, on each side, in packed pixels.
        bytes_per_pixel: Memory that a packed pixel of a tile takes in bfloat16, about; twice that in float32.
    """

    stride: int
    receptive_field: int
    bytes_per_pixel: int

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        raise NotImplementedError
