"""One training in several processes, as `torchrun` starts them: each draws its share of the patches of every step.

A step of n processes with batches of b is one step of a batch of n·b: gradients are averaged, and process r takes the
patches r·b … r·b + b − 1. Only the first process writes.

Source: torch.distributed; Li et al., "PyTorch Distributed", VLDB 2020.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from training.engines.torch import choose_device

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of a run; one alone needs no library."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module, its gradients averaged over all processes."""
        return module if self.size == 1 else DistributedDataParallel(module)

    def mean(self, value: torch.Tensor) -> float:
        """The mean of a number over all processes."""
        if self.size == 1:
            return float(value.detach())
        total = value.detach().to(torch.float64, copy=True)
        distributed.all_reduce(total)
        return float(total) / self.size

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process: all decide alike, or the others would wait for ever."""
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def first(self, number: int) -> int:
        """The first process's number."""
        if self.size == 1:
            return number
        shared = torch.tensor(number, device=self.device)
        distributed.broadcast(shared, src=0)
        return int(shared)


def local_device(device: torch.device) -> torch.device:
    """The device of this process among those of its machine."""
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def training_device(wanted: str) -> torch.device:
    """The device of this process, chosen by name.

    Args:
        wanted: "cpu", "cuda", or "auto" for the fastest at hand.

    Raises:
        ConfigError: There is no such device.
    """
    return local_device(torch.device(choose_device(wanted)))


def is_first_process() -> bool:
    """Whether this process is the one that writes, before any has joined the others."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def joined_group(device: torch.device) -> Iterator[Group]:
    """Join the processes that torchrun started; alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group(device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(device, distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
