"""What a training needs: memory and time, measured on one small patch, so that neither takes anybody by surprise.

Networks here are convolutional: memory for the backward pass, and time, grow with the number of pixels.
"""

from __future__ import annotations

import os
import statistics
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.autograd.graph import saved_tensors_hooks

from training.errors import ConfigError
from training.networks.noise_aware import build_noise_aware
from training.objectives import build_objective
from training.objectives.base import Batch
from training.run.batches import draw_batch
from training.run.optimiser import build_optimiser
from training.run.precision import autocast, training_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.config import TrainingConfig
    from training.datasets.base import PatchSource

GIBIBYTE = 1 << 30
COPIES_OF_WEIGHTS = 5
"""Weights, gradients, two moments, moving average."""
TIMED_STEPS = 5
TRIAL_SIZE = 64
"""Packed pixels; a step on fewer takes its time for other things than pixels."""
_OVERHEAD = 1.05
"""Share of time for held-out patches, checkpoints and the log."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step needs."""

    fixed_bytes: int
    """Whatever the batch size."""
    bytes_per_patch: int
    seconds_per_patch: float

    def bytes_at(self, batch_size: int) -> int:
        """Memory of a step."""
        return self.fixed_bytes + batch_size * self.bytes_per_patch

    def largest_batch(self, available_bytes: int) -> int:
        """The most patches that fit; 0 where not even one does."""
        return max(0, available_bytes - self.fixed_bytes) // self.bytes_per_patch


class _Trial:
    """A network and its objective, as the loop makes them, to be thrown away."""

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        self.model = build_noise_aware(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = self.model.network
        self.objective = build_objective(config.objective, **config.objective_options)
        self.optimiser = build_optimiser(config, network)
        self.device, self.dtype = device, training_dtype(device, config.precision)
        self.unit = network.stride * self.objective.subsampling
        """Patch sizes are multiples of this."""

    def step(self, batch: Batch) -> float:
        """One step on a batch; returns its seconds."""
        started = time.perf_counter()
        generator = torch.Generator(self.device).manual_seed(0)
        with autocast(self.device, self.dtype):
            loss = self.objective.loss(self.model, batch, 0.5, generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        float(loss.detach())  # waits for the device
        return time.perf_counter() - started


def measure(config: TrainingConfig, device: torch.device) -> Footprint:
    """Try a step on one patch of noise, smaller than the run's where that still tells enough.

    Raises:
        ConfigError: Network or objective do not exist or do not take their options.
    """
    trial = _Trial(config, device)
    size = min(config.patch_size, -(-TRIAL_SIZE // trial.unit) * trial.unit)
    area = (config.patch_size / size) ** 2
    planes = torch.rand(1, config.channels, size, size, device=device)
    level = torch.full((1, config.channels), 1e-3, device=device)
    batch = Batch(noisy=planes, shot_noise=level, read_noise=level / 1e3, clean=planes, second=planes)
    trial.step(batch)  # the first one is slower
    saved = _bytes_of_step(trial, batch)
    weights = sum(each.numel() * each.element_size() for each in trial.model.parameters())
    seconds = min(trial.step(batch) for _ in range(2))
    return Footprint(COPIES_OF_WEIGHTS * weights, max(1, int(saved * area)), seconds * area)


def _bytes_of_step(trial: _Trial, batch: Batch) -> int:
    """Memory that a step takes beyond weights: CUDA's peak; on a CPU what is kept for the backward pass."""
    if trial.device.type == "cuda":
        before = torch.cuda.memory_allocated(trial.device)
        torch.cuda.reset_peak_memory_stats(trial.device)
        trial.step(batch)
        return torch.cuda.max_memory_allocated(trial.device) - before
    kept = {each.data_ptr(): 0 for each in trial.model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        trial.step(batch)
    return sum(kept.values())


def available_bytes(device: torch.device) -> int:
    """Memory that a step could have now."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def steps_in(minutes: float, config: TrainingConfig, data: PatchSource, device: torch.device) -> int:
    """How many steps fit into a time, judged by a few of them on real batches."""
    trial = _Trial(config, device)
    seconds = []
    for step in range(TIMED_STEPS + 1):
        started = time.perf_counter()
        trial.step(draw_batch(config, data, step, device))
        seconds.append(time.perf_counter() - started)
    return max(1, int(minutes * 60 / (_OVERHEAD * statistics.median(seconds[1:]))))


@contextmanager
def explained_shortage(config: TrainingConfig, device: torch.device) -> Iterator[None]:
    """Turn running out of memory into advice.

    Raises:
        ConfigError: Memory ran out; names the batch size that would fit.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        traceback.clear_frames(error.__traceback__)  # the step's tensors go with them, and leave room for a trial
        raise ConfigError(_advice(config, device), detail=str(error)) from None


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whichever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _advice(config: TrainingConfig, device: torch.device) -> str:
    """One sentence: what would fit, by a trial, and at most half of what did not."""
    asked = f"batch_size: {config.batch_size} patches of {config.patch_size}² do not fit into memory"
    try:
        footprint = measure(config, device)
        fitting = min(config.batch_size // 2, footprint.largest_batch(available_bytes(device)))
        each = f" (about {footprint.bytes_per_patch / GIBIBYTE:.2g} GiB a patch)"
    except (MemoryError, RuntimeError):
        fitting, each = config.batch_size // 2, ""
    if fitting < 1:
        return f"{asked}; not even one does{each}: choose a smaller patch_size"
    return f"{asked}; {fitting} would{each}"
