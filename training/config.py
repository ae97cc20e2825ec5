"""What decides a training run, in one frozen object that is printed, checked and kept in every checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.datasets.synthetic import SHOT_NOISE_RANGE
from training.errors import ConfigError

if TYPE_CHECKING:
    from training.manifest import InputNormalisation


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """A training run."""

    preset: str
    """Name of the preset it came from."""
    objective: str
    """Training method, a name of `training.objectives`."""
    objective_options: dict[str, Any] = field(default_factory=dict)
    """Its options."""
    network: str = "unet"
    """Architecture, a name of `training.networks`."""
    network_options: dict[str, Any] = field(default_factory=dict)
    """Its options."""
    input_normalisation: InputNormalisation = "variance-stabilised"
    """How the noise model enters the network."""
    scales: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Pictures are resized by one of these before mosaicking."""
    shot_noise_range: tuple[float, float] = SHOT_NOISE_RANGE
    """Shot noise is drawn log-uniformly between these."""
    patch_size: int = 96
    """Height and width of a training patch in packed pixels."""
    batch_size: int = 8
    """Patches a step."""
    steps: int = 4000
    """Optimiser steps."""
    learning_rate: float = 1e-3
    """Largest learning rate, reached after `warmup_steps`; from there it falls to 0 along half a cosine."""
    warmup_steps: int = 100
    """Steps of linear rise to the largest learning rate."""
    weight_decay: float = 1e-4
    """AdamW's decoupled weight decay."""
    gradient_norm: float = 1.0
    """Gradients are scaled down to this norm where they exceed it."""
    ema_steps: int = 200
    """The published weights are an exponential moving average over about this many steps."""
    seed: int = 0
    """Decides initial weights, patches, noise and every draw of the objective."""

    def __post_init__(self) -> None:
        """Reject what cannot be trained."""
        positive = ("patch_size", "batch_size", "steps", "learning_rate", "warmup_steps", "gradient_norm", "ema_steps")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, wanted more than 0")
        low, high = self.shot_noise_range
        if not 0 < low <= high < 1:
            raise ConfigError(f"shot_noise_range: got {self.shot_noise_range}, wanted 0 < low ≤ high < 1")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return dataclasses.asdict(self)
