"""What methods that are trained for every picture share: how long they may, and their network's weights and steps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from training.networks import build_network
from training.objectives.base import inverse_variance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureBudget:
    """How long one picture may take: steps, or seconds."""

    steps: int = 0
    seconds: float = 0.0

    def __iter__(self) -> Iterator[int]:
        """Numbers of steps until it is used up, at least one."""
        started, step = time.monotonic(), 0
        while step == 0 or step < self.steps or time.monotonic() - started < self.seconds:
            yield step
            step += 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureTask:
    """One picture to be denoised by a network of its own."""

    noisy: Tensor
    """(1, C, h, w) float32, sides multiples of the network's stride."""
    shot_noise: Tensor
    """(1, C)."""
    read_noise: Tensor
    """(1, C)."""
    network: str
    network_options: dict[str, Any]
    budget: PictureBudget
    seed: int = 0

    def build(self, in_channels: int) -> torch.nn.Module:
        """A fresh network with as many outputs as the picture has channels."""
        torch.manual_seed(self.seed)
        options = {**self.network_options, "in_channels": in_channels, "out_channels": self.noisy.shape[1]}
        return build_network(self.network, **options).to(self.noisy.device)

    @property
    def weight(self) -> Tensor:
        """(1, C, h, w): one over the noise's variance, a mean of 1; all alike where nothing is said of it."""
        if not (self.shot_noise + self.read_noise).any():
            return torch.ones_like(self.noisy)
        weight = inverse_variance(self.noisy, self.shot_noise, self.read_noise)
        return weight / weight.mean()


def fit(
    network: torch.nn.Module, budget: PictureBudget, learning_rate: float, loss: Callable[[], Tensor]
) -> Iterator[int]:
    """Take Adam's steps down a loss, and yield after each."""
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    for step in budget:
        value = loss()
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        yield step
