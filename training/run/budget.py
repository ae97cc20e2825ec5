"""From a preset and what the command line asks for to the configuration of a run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.errors import ConfigError

if TYPE_CHECKING:
    from training.config import PrecisionName, TrainingConfig
    from training.raw.bayer import CfaPattern


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What a user wants other than the preset says; None for what is left to it."""

    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    batch_size: int | None = None
    processes: int | None = None
    patch_size: int | None = None
    learning_rate: float | None = None
    held_out_share: float | None = None
    validate_steps: int | None = None
    patience: int | None = None
    seed: int | None = None
    cfa_patterns: dict[str, CfaPattern] | None = None
    precision: PrecisionName | None = None
    compile: bool | None = None

    def __post_init__(self) -> None:
        """Reject what cannot be meant."""
        budgets = [name for name in ("steps", "epochs", "minutes") if getattr(self, name) is not None]
        if len(budgets) > 1:
            raise ConfigError(f"budget: give one of steps, epochs and minutes, not {' and '.join(budgets)}")
        for name in budgets:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, wanted more than 0")


def apply_wishes(config: TrainingConfig, wishes: Wishes) -> TrainingConfig:
    """The configuration with these wishes granted; a schedule in steps is stretched to the new number of them.

    Raises:
        ConfigError: They cannot be.
    """
    names = [field.name for field in dataclasses.fields(Wishes) if field.name not in ("steps", "epochs")]
    changes: dict[str, Any] = {name: getattr(wishes, name) for name in names if getattr(wishes, name) is not None}
    steps = _steps(config, wishes)
    changed = dataclasses.replace(config, **changes)
    return changed if steps == config.steps else changed.with_steps(steps)


def _steps(config: TrainingConfig, wishes: Wishes) -> int:
    """The number of steps; a preset that counts in epochs sees as many patches whatever the batch."""
    before = config.batch_size * config.processes
    now = (wishes.batch_size or config.batch_size) * (wishes.processes or config.processes)
    if wishes.steps is not None:
        return wishes.steps
    if wishes.epochs is None:
        return math.ceil(config.steps * before / now) if config.patches_per_epoch else config.steps
    if not config.patches_per_epoch:
        raise ConfigError(f"epochs: {config.preset} draws its patches anew for ever; give steps or minutes")
    return math.ceil(wishes.epochs * config.patches_per_epoch / now)
