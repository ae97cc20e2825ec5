"""From options, captures and device to the configuration of a training run.

In the flow: frames, character → **plan** → loop.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from training.datasets.augment import smallest_mosaic
from training.errors import ConfigError
from training.finetuning.options import MINUTES
from training.finetuning.regions import split
from training.networks.noise_aware import build_noise_aware
from training.objectives import build_objective
from training.presets import preset, started_from
from training.run.footprint import GIBIBYTE, available_bytes, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from training.config import TrainingConfig
    from training.finetuning.frames import Frame
    from training.finetuning.options import FinetuneOptions
    from training.registry import ModelRef

PATCH_SIZE = 96
"""Packed pixels, where captures are large enough."""
BATCH_SIZES = {"cpu": 4, "cuda": 16}
MEMORY_SHARE = 0.5
"""Of the free memory; a service shares it."""
PULL = 50.0
"""Half a percent of the way back at every step of the largest learning rate."""
WARMUP_STEPS, EMA_STEPS = 20, 100
PAIRED_SHARE = 0.5
"""Of the captures must have a second frame of their scene, or Noise2Noise would learn from too few scenes."""


def choose_objective(wanted: str, frames: int, paired: int) -> str:
    """The objective for so many frames, of which so many have a second frame of their scene.

    Raises:
        ConfigError: Noise2Noise is wanted, and there is no second frame.

    >>> choose_objective("auto", 8, 6), choose_objective("auto", 8, 2)
    ('noise2noise', 'recorrupted')
    """
    if wanted == "noise2noise" and not paired:
        raise ConfigError("objective: noise2noise wants two frames of one static scene, and no two captures are that")
    if wanted != "auto":
        return wanted
    return "noise2noise" if paired >= PAIRED_SHARE * frames and paired else "recorrupted"


def objective_options(objective: str, tail: float | None) -> dict[str, Any]:
    """Its options for noise with these tails."""
    if objective == "recorrupted":
        return {"alpha": 1.0, "signal": "denoised", "noise": "own", "tail": tail}
    return {"masks": 4} if objective == "blind2unblind" else {}


def draft(base: ModelRef, options: FinetuneOptions, objective: str, tail: float | None) -> TrainingConfig:
    """The configuration, with patches that suit large captures, and one of them a step."""
    config = dataclasses.replace(
        started_from(preset("captures"), base),
        preset="finetune",
        objective=objective,
        objective_options=objective_options(objective, tail),
        held_out_share=options.held_out_share,
        patch_size=options.patch_size or PATCH_SIZE,
        batch_size=options.batch_size or 1,
        warmup_steps=WARMUP_STEPS,
        pull=PULL if options.pull is None else options.pull,
        ema_steps=EMA_STEPS,
        seed=options.seed,
    )
    if options.learning_rate:
        config = dataclasses.replace(config, learning_rate=options.learning_rate)
    if options.steps:
        return config.with_steps(options.steps)
    return dataclasses.replace(config, minutes=options.minutes or MINUTES)


def patch_unit(config: TrainingConfig) -> int:
    """Patch sizes are multiples of this."""
    objective = build_objective(config.objective, **config.objective_options)
    return build_noise_aware(config).network.stride * objective.subsampling


def fit_patches(config: TrainingConfig, options: FinetuneOptions, frames: Sequence[Frame]) -> TrainingConfig:
    """The configuration with the largest patches, up to its own, that every frame's training region holds.

    Raises:
        ConfigError: The smallest frame is too small for any, or patches of another size are asked for.
    """
    unit = patch_unit(config)
    if options.patch_size:
        return config
    regions = [split(frame.mosaic.shape, options.held_out_share, at_end=True).training for frame in frames]
    room = min(min(region.shape) for region in regions)
    for size in range(max(unit, config.patch_size // unit * unit), 0, -unit):
        if smallest_mosaic(size) <= room:
            return dataclasses.replace(config, patch_size=size)
    raise ConfigError(
        f"captures: beside the part that is held out to judge on, {room} photosites are left of the smallest, and a"
        f" training patch needs {smallest_mosaic(unit)}"
    )


def fit_batch(config: TrainingConfig, options: FinetuneOptions, device: torch.device) -> TrainingConfig:
    """The configuration with as many patches a step as suit the device and fit into its memory.

    Raises:
        ConfigError: Not even one fits.
    """
    if options.batch_size:
        return config
    needs = measure(config, device)
    fitting = needs.largest_batch(int(MEMORY_SHARE * available_bytes(device)))
    if not fitting:
        wanted = needs.bytes_at(1) / GIBIBYTE
        raise ConfigError(
            f"memory: a step on one patch of {config.patch_size}² takes {wanted:.2g} GiB, and less is free"
        )
    return dataclasses.replace(config, batch_size=min(fitting, BATCH_SIZES.get(device.type, 4)))
