"""Batches of training patches, each wholly decided by (seed, step, index), drawn ahead where that helps.

In the flow: patches → **batches** → objective → step.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from training.objectives.base import Batch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from numpy.typing import NDArray

    from training.config import TrainingConfig
    from training.datasets.base import Patch, PatchSource

WORKERS = {"cuda": 8}
"""Threads that draw ahead for a device. None for a CPU, whose cores are all busy with the step: one thread more than
cores makes every other one wait for it."""


def draw_batch(
    config: TrainingConfig, data: PatchSource, step: int, device: torch.device, first_index: int = 0
) -> Batch:
    """The batch of a step: the same for the same seed and step.

    Args:
        config: Its seed and batch size count.
        data: Where patches come from.
        step: Which step.
        device: Where the batch shall lie.
        first_index: Index of its first patch among those of all processes.
    """
    indices = range(first_index, first_index + config.batch_size)
    return collate([data.draw((config.seed, step, index)) for index in indices], device)


def collate(patches: Sequence[Patch], device: torch.device) -> Batch:
    """Patches as one batch on a device."""
    channels = len(patches[0].noisy)
    shot, read = (
        torch.tensor([[getattr(patch, name)] * channels for patch in patches], dtype=torch.float32, device=device)
        for name in ("shot_noise", "read_noise")
    )

    def stacked(planes: list[NDArray[np.float32] | None]) -> torch.Tensor | None:
        """(B, C, h, w), or None where a patch has none."""
        known = [each for each in planes if each is not None]
        if len(known) < len(planes):
            return None
        return torch.from_numpy(np.stack(known)).to(device).contiguous(memory_format=torch.channels_last)

    noisy = stacked([patch.noisy for patch in patches])
    impulses = [patch.impulses for patch in patches]
    actual = [patch.actual_noise for patch in patches if patch.actual_noise is not None]
    levels = (
        torch.tensor(actual, dtype=torch.float32, device=device)[..., None].expand(-1, -1, channels) if actual else None
    )
    return Batch(
        noisy=cast("torch.Tensor", noisy),
        shot_noise=shot,
        read_noise=read,
        impulses=torch.tensor(impulses, dtype=torch.float32, device=device) if any(impulses) else None,
        clean=stacked([patch.clean for patch in patches]),
        second=stacked([patch.second for patch in patches]),
        filled=stacked([patch.filled for patch in patches]),
        actual_noise=None if levels is None or len(actual) < len(patches) else (levels[:, 0], levels[:, 1]),
        sources=tuple(patch.source for patch in patches),
    )


def batches_ahead(
    config: TrainingConfig, data: PatchSource, steps: Iterable[int], device: torch.device, first_index: int = 0
) -> Generator[Batch]:
    """The batches of these steps, for an accelerator drawn by threads while earlier ones are trained on.

    Whoever stops early closes it, so that its threads end.
    """
    workers = WORKERS.get(device.type, 0)
    if not workers:
        for step in steps:
            yield draw_batch(config, data, step, device, first_index)
        return
    waiting: deque[Future[Batch]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    try:
        for step in steps:
            waiting.append(pool.submit(draw_batch, config, data, step, device, first_index))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
