"""What a blind-spot network could say of a few pixels, and a network that says the same of all.

In the flow of the tests: **prior** → likelihood and posterior mean, compared with plain matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from training.networks.noise_aware import NoiseAware
from training.objectives.laine import Prior, covariance_root, output_channels

SHAPE = (2, 4, 3, 5)


def prior(covariance: str = "full", seed: int = 0) -> Prior:
    """Random numbers, as a network would give them."""
    generator = torch.Generator().manual_seed(seed)
    count = output_channels(4, covariance) - 4
    outputs = torch.randn((2, count, 3, 5), generator=generator, dtype=torch.float64)
    mean, noise = (torch.rand(SHAPE, generator=generator, dtype=torch.float64) for _ in range(2))
    return Prior(mean, covariance_root(outputs, 4, covariance), 0.1 + noise)


def matrix(root: list[list[Tensor]], b: int, i: int, j: int) -> Tensor:
    """A in one pixel, (4, 4)."""
    dense = torch.zeros(4, 4, dtype=torch.float64)
    for row, entries in enumerate(root):
        for column, plane in enumerate(entries):
            dense[row, column] = plane if plane.ndim == 0 else plane[b, i, j]
    return dense


def noisy() -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


class Fixed(nn.Module):
    """Gives the same outputs for every picture."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Its outputs, at every pixel."""
        return self.outputs.expand(len(features), -1, *features.shape[2:])


def model_of(channels: int = 14, seed: int = 3) -> Any:
    generator = torch.Generator().manual_seed(seed)
    fixed = Fixed(0.1 * torch.randn((1, channels, 1, 1), generator=generator, dtype=torch.float64))
    return NoiseAware(fixed, "none")  # type: ignore[arg-type]
