"""Checkpoints: everything that a run needs to go on exactly where it stood, without pickle.

A checkpoint is one safetensors file: network, moving average and optimiser as tensors, configuration, step, progress
and versions as JSON in its metadata. It is written beside its target and renamed, so that there is never half of one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

import training
from training.errors import ConfigError, ModelError
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from training.registry import ModelRef


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after `step` steps."""

    step: int
    config: dict[str, Any]
    """The run's `TrainingConfig` as JSON types, its seed among them."""
    network: dict[str, Tensor]
    """The network's parameters."""
    average: dict[str, Tensor]
    """Their moving average: what is published."""
    optimiser: dict[str, Tensor]
    """The optimiser's moments, named PARAMETER_INDEX.NAME."""
    progress: dict[str, Any] = field(default_factory=dict)
    """`training.run.progress.Progress` as JSON types; empty in the checkpoints of version 0.1."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the software that wrote it."""


_GROUPS = ("network", "average", "optimiser")


def software_versions() -> dict[str, str]:
    """The versions that a run's bits depend on."""
    return {"photosite": training.__version__, "torch": torch.__version__, "numpy": np.__version__}


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, replacing an older one in one step.

    Raises:
        ConfigError: It cannot be written; the older one stays as it is.
    """
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group in _GROUPS
        for name, tensor in getattr(checkpoint, group).items()
    }
    facts = {
        "config": checkpoint.config,
        "progress": checkpoint.progress,
        "versions": checkpoint.versions or software_versions(),
    }
    metadata = {"step": str(checkpoint.step), **{name: json.dumps(value) for name, value in facts.items()}}
    try:
        with replacing(path) as file:
            file.write(save(tensors, metadata))
    except OSError as error:
        kept = "; the checkpoint before it is kept" if path.exists() else ""
        raise ConfigError(f"run: {path} cannot be written: {error.strerror or error}{kept}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ModelError: It is missing or damaged.
    """
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            for key in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                group, name = key.split("/", 1)
                groups[group][name] = file.get_tensor(key)
        config, progress, versions = (
            json.loads(metadata.get(name, "{}")) for name in ("config", "progress", "versions")
        )
        return Checkpoint(int(metadata["step"]), config, **groups, progress=progress, versions=versions)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the checkpoint {path} cannot be read", detail=str(error)) from error


def load_weights(model: ModelRef) -> dict[str, Tensor]:
    """A published model's weights.

    Raises:
        ModelError: They are missing or damaged.
    """
    try:
        return load_file(model.weights)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the weights of {model} cannot be read", detail=str(error)) from error
