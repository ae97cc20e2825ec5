"""The training loop, read from top to bottom.

Every draw is decided by (seed, step): a run that is stopped and resumed gives the same weights, bit for bit on one
machine, as one that was not.
"""

from __future__ import annotations

import json
import math
import signal
import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from tqdm import tqdm

from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.errors import ConfigError, ModelError
from training.networks import build_network
from training.networks.noise_aware import INPUT_CHANNELS, NoiseAware
from training.objectives import build_objective
from training.objectives.base import Batch

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from numpy.typing import NDArray

    from training.config import TrainingConfig
    from training.datasets.base import PatchSource

CHECKPOINT_NAME = "checkpoint.safetensors"
LOG_NAME = "log.jsonl"
CHECKPOINT_SECONDS = 60
LOG_STEPS = 20


def train(config: TrainingConfig, data: PatchSource, run: Path, *, resume: bool, device: torch.device) -> Path:
    """Train a network and leave its checkpoint in `run`.

    SIGTERM and Ctrl-C stop it after the step in progress, with a checkpoint.

    Args:
        config: What to train.
        data: Where patches come from.
        run: Folder for the checkpoint and for log.jsonl, one line every 20 steps.
        resume: Go on from the checkpoint in `run`; without it a used folder is refused.
        device: Where to train.

    Returns:
        The checkpoint's path.

    Raises:
        ConfigError: `run` is used and `resume` is not set, or the checkpoint is of another configuration.
        ModelError: The loss became infinite or not a number; the last good checkpoint stays.
    """
    # ---- network, objective, optimiser -------------------------------------------------------------------------
    torch.manual_seed(config.seed)
    channels = INPUT_CHANNELS[config.input_normalisation]
    network = build_network(config.network, in_channels=channels, **config.network_options)
    model = NoiseAware(network, config.input_normalisation).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = build_objective(config.objective, **config.objective_options)
    if config.patch_size % (network.stride * objective.subsampling):
        raise ConfigError(f"patch_size: wanted a multiple of {network.stride * objective.subsampling}")
    average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)

    # ---- start or resume ---------------------------------------------------------------------------------------
    run.mkdir(parents=True, exist_ok=True)
    path = run / CHECKPOINT_NAME
    first_step = _resume(path, config, network, average, optimiser) if path.exists() and resume else 0
    if path.exists() and not resume:
        raise ConfigError(f"run: {run} already holds a checkpoint; add --resume, or choose another folder")
    stop = _stop_on_signals()

    # ---- steps -------------------------------------------------------------------------------------------------
    saved_at, losses, started = time.monotonic(), [], time.monotonic()
    with (run / LOG_NAME).open("a", encoding="utf-8") as log:
        for step in tqdm(range(first_step, config.steps), initial=first_step, total=config.steps, disable=None):
            # ---- one batch, wholly decided by (seed, step) -----------------------------------------------------
            batch = draw_batch(config, data, step, device)
            generator = torch.Generator(device).manual_seed(config.seed * 1_000_003 + step)

            # ---- forward, backward, update ---------------------------------------------------------------------
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, step)
            with torch.autocast(device.type, torch.bfloat16):
                loss = objective.loss(model, batch, step / config.steps, generator)
            if not torch.isfinite(loss):
                names = ", ".join(batch.sources)
                raise ModelError(f"the loss is {loss.item()} at step {step}; its patches: {names}; kept: {path}")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
            optimiser.step()
            update_average(average, network.state_dict(), config, step)
            losses.append(loss.item())

            # ---- log, checkpoint, stop -------------------------------------------------------------------------
            done = step + 1
            if done % LOG_STEPS == 0:
                line = {"step": done, "loss": float(np.mean(losses[-LOG_STEPS:])), "lr": learning_rate(config, step)}
                log.write(json.dumps({**line, "seconds": round(time.monotonic() - started, 1)}) + "\n")
                log.flush()
            if stop or done == config.steps or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                state = Checkpoint(done, config.to_json(), network.state_dict(), average, _moments(optimiser))
                save_checkpoint(path, state)
                saved_at = time.monotonic()
            if stop:
                break
    return path


def draw_batch(config: TrainingConfig, data: PatchSource, step: int, device: torch.device) -> Batch:
    """The batch of a step: the same for the same seed and step."""
    patches = [data.draw((config.seed, step, index)) for index in range(config.batch_size)]
    shot, read = (
        torch.tensor([[getattr(patch, name)] * 4 for patch in patches], dtype=torch.float32, device=device)
        for name in ("shot_noise", "read_noise")
    )

    def stacked(planes: list[NDArray[np.float32] | None]) -> torch.Tensor | None:
        """(B, 4, h, w), or None where a patch has none."""
        known = [each for each in planes if each is not None]
        if len(known) < len(planes):
            return None
        return torch.from_numpy(np.stack(known)).to(device).contiguous(memory_format=torch.channels_last)

    noisy = stacked([patch.noisy for patch in patches])
    return Batch(
        noisy=cast("torch.Tensor", noisy),
        shot_noise=shot,
        read_noise=read,
        clean=stacked([patch.clean for patch in patches]),
        second=stacked([patch.second for patch in patches]),
        sources=tuple(patch.source for patch in patches),
    )


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear rise, then half a cosine to 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def update_average(
    average: dict[str, torch.Tensor], current: dict[str, torch.Tensor], config: TrainingConfig, step: int
) -> None:
    """Move the average towards the current weights; early steps count more, so that it forgets the beginning."""
    share = max(1 / config.ema_steps, 1 / (step + 1))
    for name, tensor in current.items():
        average[name].lerp_(tensor, share)


def _resume(
    path: Path,
    config: TrainingConfig,
    network: torch.nn.Module,
    average: dict[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
) -> int:
    """Load a checkpoint into the run's objects; returns the steps it has done."""
    checkpoint = load_checkpoint(path)
    if json.loads(json.dumps(config.to_json())) != checkpoint.config:
        raise ConfigError(f"resume: {path} was made with another configuration")
    network.load_state_dict(checkpoint.network)
    for name, tensor in checkpoint.average.items():
        average[name].copy_(tensor)
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in checkpoint.optimiser.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return checkpoint.step


def _moments(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's state as named tensors."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, values in state.items() for name, tensor in values.items()}


def _stop_on_signals() -> list[int]:
    """A list that is empty until SIGTERM or SIGINT arrives."""
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, remember)
    return received
