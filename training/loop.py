"""The training loop, read from top to bottom.

Every draw is decided by (seed, step, index): a run that is stopped, or killed, and resumed gives the same weights and
the same log, bit for bit on one machine, as one that was not.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from training.checkpoint import Checkpoint, load_checkpoint, load_weights, save_checkpoint
from training.config import TrainingConfig
from training.errors import ConfigError, ModelError
from training.networks.noise_aware import NoiseAware, build_noise_aware
from training.objectives import build_objective
from training.run.batches import batches_ahead
from training.run.distributed import joined_group
from training.run.footprint import explained_shortage, steps_in
from training.run.holdout import HoldOut
from training.run.journal import Journal
from training.run.optimiser import (
    build_optimiser,
    learning_rate,
    moments,
    pull_back,
    restore_moments,
    set_learning_rate,
    update_average,
)
from training.run.pace import Pace
from training.run.precision import autocast, gradient_scaler, training_dtype
from training.run.progress import Progress
from training.run.stopping import remembered_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from training.datasets.base import PatchSource
    from training.networks.base import Network
    from training.objectives.base import Batch, Objective
    from training.registry import ModelRef

CHECKPOINT_NAME = "checkpoint.safetensors"
BEST_NAME = "best.safetensors"
CHECKPOINT_SECONDS = 60
LOG_STEPS = 20


class StepReport(NamedTuple):
    """What a run tells after a step."""

    done: int
    """Steps that are done."""
    steps: int
    """Steps of the whole run."""
    loss: float
    seconds: float
    """Since this part of the run began."""


def train(  # noqa: C901, PLR0912, PLR0915  (a training is one list of steps, to be read from top to bottom)
    config: TrainingConfig,
    data: PatchSource,
    run: Path,
    *,
    resume: bool,
    device: torch.device,
    held_out: PatchSource | None = None,
    after_step: Callable[[StepReport], None] | None = None,
    anchor: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Train a network and leave its checkpoint in `run`.

    SIGTERM and Ctrl-C stop it after the step in progress, with a checkpoint. A budget in minutes is kept: every 20
    steps their pace says how many there will be in all, and the learning rate follows.

    Args:
        config: What to train.
        data: Where patches come from.
        run: Folder for the checkpoint, for log.jsonl with one line every 20 steps, and for pictures.
        resume: Go on from the checkpoint in `run`; without it a used folder is refused.
        device: Where to train.
        held_out: Patches to judge on as it goes; None for none.
        after_step: Called after every step. What it raises ends the run, with a checkpoint of that step.
        anchor: The weights that the configuration's `pull` goes back to.

    Returns:
        The checkpoint's path.

    Raises:
        ConfigError: `run` is used and `resume` is not set; the checkpoint is of another configuration; something cannot
            be written; or memory ran out.
        ModelError: The loss became infinite or not a number; the last good checkpoint stays.
    """
    with joined_group(device) as group, remembered_signals() as stop, explained_shortage(config, device):
        # ---- start or resume -----------------------------------------------------------------------------------
        path, checkpoint = run / CHECKPOINT_NAME, _previous(run, config, resume=resume)
        asked = config
        if checkpoint and config.minutes:  # they became steps when the run began
            config = TrainingConfig.from_json(checkpoint.config)
        if config.minutes and not (checkpoint and checkpoint.step):
            config = config.with_steps(group.first(steps_in(config.minutes, config, data, device)))
        first_step = checkpoint.step if checkpoint else 0
        progress = Progress.from_json(checkpoint.progress if checkpoint else {})

        # ---- network, objective, optimiser ---------------------------------------------------------------------
        torch.manual_seed(config.seed)
        model = build_noise_aware(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = model.network
        objective = build_objective(config.objective, **config.objective_options)
        _check_patch_size(config, network, objective)
        average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        optimiser = build_optimiser(config, network)
        dtype = training_dtype(device, config.precision)
        scaler = gradient_scaler(device, dtype)
        if checkpoint:
            network.load_state_dict(checkpoint.network)
            for name, tensor in checkpoint.average.items():
                average[name].copy_(tensor)
            restore_moments(optimiser, checkpoint.optimiser)
            scaler.load_state_dict(progress.scaler)
        home = {name: tensor.to(device) for name, tensor in (anchor or {}).items()}
        if config.pull and not home:
            raise ConfigError("pull: there are no weights to go back to; it is for runs that start from a model")
        judge = HoldOut(held_out, model, objective, device, dtype) if held_out and group.is_first else None
        if config.compile:
            network.compile()
        loss_of = group.share(_BatchLoss(model, objective))

        def spent() -> float:
            """Seconds of this run, without the pauses between its parts."""
            return earlier + time.monotonic() - started

        def save(name: str) -> None:
            """Leave everything that a resumed run needs."""
            progress.scaler = scaler.state_dict()
            progress.seconds = round(spent(), 1)
            state = network.state_dict(), average, moments(optimiser)
            save_checkpoint(run / name, Checkpoint(done, config.to_json(), *state, progress.to_json()))

        # ---- steps ---------------------------------------------------------------------------------------------
        done, saved_at, earlier, started = first_step, time.monotonic(), progress.seconds, time.monotonic()
        ended = progress.ended == "patience" or first_step >= config.steps
        steps = range(first_step, first_step if ended else sys.maxsize if config.minutes else config.steps)
        pace = Pace(config.minutes, done, earlier)
        progress.ended = ""
        batches = batches_ahead(config, data, steps, device, group.rank * config.batch_size)
        journal = Journal(run, first_step) if group.is_first else None
        bar = tqdm(initial=first_step, total=config.steps, unit="step", disable=None if group.is_first else True)
        with closing(batches), journal or nullcontext(), bar:
            for step, batch in zip(steps, batches, strict=True):
                # ---- forward, backward, update -----------------------------------------------------------------
                rate = learning_rate(config, step)
                set_learning_rate(optimiser, rate)
                generator = torch.Generator(device).manual_seed(config.seed * 1_000_003 + step + (group.rank << 40))
                with autocast(device, dtype):
                    loss = loss_of(batch, step / config.steps, generator)
                loss_value = group.mean(loss)
                if not np.isfinite(loss_value):
                    names = ", ".join(batch.sources)
                    kept = f"; kept: {path}" if path.exists() else ""
                    raise ModelError(f"the loss is {loss_value} at step {step}; its patches: {names}{kept}")
                optimiser.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                scaler.unscale_(optimiser)
                if config.gradient_norm:
                    nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
                scaler.step(optimiser)
                scaler.update()
                if config.pull:
                    pull_back(network, home, rate * config.pull)
                update_average(average, network.state_dict(), config, step)

                # ---- budget --------------------------------------------------------------------------------------
                done = step + 1
                if config.minutes and (done % LOG_STEPS == 0 or group.any(pace.is_over(spent()))):
                    config = asked.with_steps(group.first(pace.steps_in_all(done, spent())))
                    bar.total = config.steps

                # ---- log -----------------------------------------------------------------------------------------
                progress.meet(batch)
                progress.losses.append(loss_value)
                bar.set_postfix(loss=f"{loss_value:.4g}", refresh=False)
                bar.update()
                if journal and (done % LOG_STEPS == 0 or done == config.steps):
                    mean = float(np.mean(progress.losses))
                    journal.write(done, {"loss": mean, "lr": rate, "seconds": round(spent(), 1)})
                if done % LOG_STEPS == 0:
                    progress.losses.clear()

                # ---- held-out patches, early stop --------------------------------------------------------------
                if judge and journal and (done % config.validate_steps == 0 or done == config.steps):
                    look = judge.look(average, done, run)
                    journal.write(done, {**look.figures, "seconds": round(spent(), 1)})
                    if progress.judge(look.score, done) and config.patience:
                        save(BEST_NAME)
                    if config.patience and progress.looks_since_best >= config.patience:
                        progress.ended = "patience"

                # ---- checkpoint, stop --------------------------------------------------------------------------
                if done == config.steps:
                    progress.ended = "steps"
                elif stop and not progress.ended:
                    progress.ended = "signal"
                ending = group.any(bool(progress.ended))
                if journal and (ending or time.monotonic() - saved_at > CHECKPOINT_SECONDS):
                    journal.sync()
                    save(CHECKPOINT_NAME)
                    saved_at = time.monotonic()
                if ending:
                    break

                # ---- report ------------------------------------------------------------------------------------
                if after_step:
                    try:
                        after_step(StepReport(done, config.steps, loss_value, time.monotonic() - started))
                    except BaseException:
                        save(CHECKPOINT_NAME)
                        raise
    return path


def check_plan(config: TrainingConfig, device: torch.device) -> None:
    """Refuse what `train` would refuse, before hours are spent on decoding data.

    Raises:
        ConfigError: Patches do not fit network and objective, or the device cannot multiply in the precision.
    """
    training_dtype(device, config.precision)
    network = build_noise_aware(config).network
    _check_patch_size(config, network, build_objective(config.objective, **config.objective_options))


def check_unused(run: Path) -> None:
    """Refuse a folder in which a run has begun.

    Raises:
        ConfigError: One has.
    """
    if (run / CHECKPOINT_NAME).exists():
        raise ConfigError(f"run: {run} already holds a checkpoint; add --resume, or choose another folder")


def start_from(base: ModelRef, config: TrainingConfig, run: Path) -> None:
    """Begin a run with a published model's weights, as its checkpoint of step 0.

    Raises:
        ModelError: They cannot be read.
        ConfigError: The folder is used, or cannot be written to.
    """
    weights = load_weights(base)
    _previous(run, config, resume=False)
    copies = {name: tensor.clone() for name, tensor in weights.items()}
    save_checkpoint(run / CHECKPOINT_NAME, Checkpoint(0, config.to_json(), weights, copies, {}))


class _BatchLoss(nn.Module):
    """A batch's loss as one module's forward pass: the form in which gradients of several processes are averaged."""

    def __init__(self, model: NoiseAware, objective: Objective) -> None:
        super().__init__()
        self.model, self._objective = model, objective

    def forward(self, batch: Batch, progress: float, generator: torch.Generator) -> torch.Tensor:
        return self._objective.loss(self.model, batch, progress, generator)


def _check_patch_size(config: TrainingConfig, network: Network, objective: Objective) -> None:
    unit = network.stride * objective.subsampling
    if config.patch_size % unit:
        raise ConfigError(f"patch_size: got {config.patch_size}, wanted a multiple of {unit}")


def _previous(run: Path, config: TrainingConfig, *, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from, None at a run's beginning.

    Raises:
        ConfigError: The folder is used and `resume` is not set, cannot be made, or holds another run.
    """
    path = run / CHECKPOINT_NAME
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"run: {run} cannot be made: {error.strerror or error}") from error
    if not resume:
        check_unused(run)
    if not path.exists():
        return None
    checkpoint = load_checkpoint(path)
    made = TrainingConfig.from_json(checkpoint.config)
    wanted = config.with_steps(made.steps) if config.minutes else config  # minutes became steps when the run began
    if not made.agrees_with(wanted, checkpoint.step):
        raise ConfigError(f"resume: {path} was made with another configuration")
    return checkpoint
