"""Checkpoints: everything that a run needs to go on exactly where it stood, without pickle.

A checkpoint is one safetensors file: network, moving average and optimiser as tensors, configuration and step as JSON
in its metadata. It is written beside its target and renamed, so that there is never half a checkpoint.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from training.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after `step` steps."""

    step: int
    config: dict[str, Any]
    """The run's `TrainingConfig` as JSON types."""
    network: dict[str, Tensor]
    """The network's parameters."""
    average: dict[str, Tensor]
    """Their moving average: what is published."""
    optimiser: dict[str, Tensor]
    """AdamW's moments, named PARAMETER_INDEX.NAME."""


_GROUPS = ("network", "average", "optimiser")


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, replacing an older one in one step."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group in _GROUPS
        for name, tensor in getattr(checkpoint, group).items()
    }
    metadata = {"step": str(checkpoint.step), "config": json.dumps(checkpoint.config)}
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=metadata)
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(path)


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
        return Checkpoint(int(metadata["step"]), json.loads(metadata["config"]), **groups)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the checkpoint {path} cannot be read", detail=str(error)) from error
