"""What whoever fine-tunes can choose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from training.errors import ConfigError
from training.finetuning.regions import HELD_OUT_SHARE

ObjectiveName = Literal["auto", "recorrupted", "noise2noise", "neighbor2neighbor", "blind2unblind"]
OBJECTIVE_NAMES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)
MINUTES = 10.0
"""The budget where none is given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneOptions:
    """How to fine-tune; what is left alone is chosen by captures and device."""

    objective: ObjectiveName = "auto"
    """Training method; "auto" for Noise2Noise where most captures have a second frame of their scene, else for
    Recorrupted-to-Recorrupted with noise of the captures' own kind."""
    steps: int | None = None
    """Optimiser steps, None for a budget in minutes."""
    minutes: float | None = None
    """Minutes of training, None for 10 where no steps are given."""
    batch_size: int | None = None
    """Patches a step."""
    patch_size: int | None = None
    """Height and width of a patch in packed pixels."""
    learning_rate: float | None = None
    """Largest learning rate."""
    pull: float | None = None
    """How strongly weights are drawn back to the base's, see `TrainingConfig.pull`; 0 for not at all."""
    held_out_share: float = HELD_OUT_SHARE
    """Share of every capture that is judged on, and not trained on."""
    seed: int = 0
    """Decides patches and noise."""

    def __post_init__(self) -> None:
        """Reject what cannot be meant."""
        if self.objective not in OBJECTIVE_NAMES:
            raise ConfigError(f"objective: there is no {self.objective!r}; there are {', '.join(OBJECTIVE_NAMES)}")
        if self.steps is not None and self.minutes is not None:
            raise ConfigError("budget: give steps or minutes, not both")
        for name in ("steps", "minutes", "batch_size", "patch_size", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}: got {value}, wanted more than 0")
        if self.pull is not None and not self.pull >= 0:
            raise ConfigError(f"pull: got {self.pull}, wanted 0 or more")
        if not 0 < self.held_out_share <= 0.5:
            raise ConfigError(f"held_out_share: got {self.held_out_share}, wanted more than 0, and at most 0.5")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)
