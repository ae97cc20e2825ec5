"""What decides a training run, in one frozen object that is printed, checked and kept in every checkpoint."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from training.datasets.drawn import KINDS
from training.datasets.mixture import PHOTOGRAPHS
from training.datasets.picture_noise import PICTURE_NOISE
from training.datasets.synthetic import SHOT_NOISE_RANGE
from training.errors import ConfigError
from training.raw.cells import CELLS, SensorKind

if TYPE_CHECKING:
    from training.manifest import InputNormalisation
    from training.raw.bayer import CfaPattern

DatasetKind = Literal["pictures", "sidd", "captures", "srgb"]
OptimiserName = Literal["adamw", "adam", "muon"]
ScheduleName = Literal["cosine", "step", "cooldown"]
PrecisionName = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """A training run. A checkpoint that lacks a field is older than it, and was made with what is its default now."""

    preset: str
    """Name of the preset it came from."""
    dataset: DatasetKind = "pictures"
    """What it learns from: photographs made into raws, SIDD-Medium, captures, or photographs as they are."""
    sensor: SensorKind = "bayer"
    """Whose mosaics photographs are made into."""
    picture_noise: str = ""
    """Noise that photographs as they are, are given, a name of `training.datasets.picture_noise`."""
    cfa_patterns: dict[str, CfaPattern] = field(default_factory=dict)
    """Bayer patterns of SIDD's cameras ("S6"), instead of what metadata and names say; "" for unnamed ones."""
    held_out_share: float = 0.0
    """Share of the images that is kept from training and judged on, where the data brings none for that."""
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
    base: str = ""
    """NAME@VERSION of the model whose weights it starts from, empty for none."""
    scales: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Pictures are resized by one of these before mosaicking."""
    content: dict[str, float] = field(default_factory=dict)
    """Shares of photographs and of the kinds of drawn pictures; empty for photographs alone."""
    dark_share: float = 0.0
    """Share of the patches that are exposed some stops less."""
    bright_share: float = 0.0
    """Share of the patches that are exposed until parts are white."""
    shot_noise_range: tuple[float, float] = SHOT_NOISE_RANGE
    """Shot noise that pictures are given is drawn log-uniformly between these."""
    patch_size: int = 96
    """Height and width of a training patch in packed pixels."""
    batch_size: int = 8
    """Patches a step, in each process of a distributed run."""
    processes: int = 1
    """Processes of a distributed run."""
    steps: int = 4000
    """Optimiser steps."""
    minutes: float = 0.0
    """Budget in minutes, 0 for none; `steps` is then what fits into them, judged as the run goes on."""
    patches_per_epoch: int = 0
    """Patches that are called an epoch, 0 where the data has no natural one."""
    optimiser: OptimiserName = "adamw"
    """AdamW, the papers' Adam, or Muon."""
    learning_rate: float = 1e-3
    """Largest learning rate, reached after `warmup_steps`."""
    warmup_steps: int = 100
    """Steps of linear rise to the largest learning rate."""
    schedule: ScheduleName = "cosine"
    """From the largest learning rate to 0 along half a cosine; or down by `decay_factor` every `decay_steps`; or
    constant, and over the last `decay_steps` straight to 0."""
    decay_steps: int = 0
    """Steps between two falls of the schedule "step", or of the fall that ends "cooldown"."""
    decay_factor: float = 0.5
    """What the learning rate is multiplied by at each of them."""
    weight_decay: float = 1e-4
    """Decoupled for AdamW, added to the gradient for Adam."""
    pull: float = 0.0
    """After every step weights go back this share, times the learning rate, of the way to where they began."""
    gradient_norm: float = 1.0
    """Gradients are scaled down to this norm where they exceed it; 0 leaves them alone."""
    ema_steps: int = 200
    """The published weights are an exponential moving average over about this many steps; 1 for the last weights."""
    validate_steps: int = 500
    """Steps between two looks at held-out patches."""
    patience: int = 0
    """The run ends after this many looks without a better score; 0 for never."""
    precision: PrecisionName = "auto"
    """Of the network's multiplications; "auto" takes bfloat16 where the hardware has it."""
    compile: bool = False
    """Whether the network is compiled first: some minutes once, then faster steps."""
    seed: int = 0
    """Decides initial weights, patches, noise and every draw of the objective."""

    def __post_init__(self) -> None:
        """Reject what cannot be trained."""
        for name in ("patch_size", "batch_size", "processes", "steps", "learning_rate", "ema_steps", "validate_steps"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: got {getattr(self, name)}, wanted a number more than 0")
        for name in (
            "warmup_steps",
            "gradient_norm",
            "minutes",
            "patches_per_epoch",
            "weight_decay",
            "pull",
            "patience",
            "seed",
        ):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, wanted 0 or more")
        low, high = self.shot_noise_range
        if not 0 < low <= high < 1:
            raise ConfigError(f"shot_noise_range: got {self.shot_noise_range}, wanted 0 < low ≤ high < 1")
        if not 0 <= self.held_out_share < 1:
            raise ConfigError(f"held_out_share: got {self.held_out_share}, wanted 0 or more, and less than 1")
        if self.schedule == "step" and not (self.decay_steps > 0 and 0 < self.decay_factor <= 1):
            raise ConfigError("schedule: step wants decay_steps above 0, and a decay_factor above 0 and up to 1")
        if self.schedule == "cooldown" and not 0 < self.decay_steps <= self.steps:
            raise ConfigError(f"schedule: cooldown wants decay_steps from 1 to {self.steps}, the steps")
        self._check_content()
        if self.cfa_patterns and self.dataset != "sidd":
            raise ConfigError(f"cfa: {self.preset} takes Bayer patterns from its files; only SIDD's can be given")
        self._check_names()

    def _check_content(self) -> None:
        unknown = [kind for kind in self.content if kind not in (PHOTOGRAPHS, *KINDS)]
        if unknown:
            raise ConfigError(f"content: there is no {unknown[0]!r}; there are {', '.join([PHOTOGRAPHS, *KINDS])}")
        if not all(0 < share < math.inf for share in self.content.values()):
            raise ConfigError(f"content: got {self.content}, wanted shares above 0")
        if self.content and PHOTOGRAPHS not in self.content:
            raise ConfigError(f"content: it has to have a share of {PHOTOGRAPHS}")
        if not (min(self.dark_share, self.bright_share) >= 0 and self.dark_share + self.bright_share <= 1):
            raise ConfigError("dark_share, bright_share: wanted 0 or more, and no more than 1 together")

    def _check_names(self) -> None:
        if self.dataset == "srgb" and self.picture_noise not in PICTURE_NOISE:
            known = ", ".join(PICTURE_NOISE)
            raise ConfigError(f"picture_noise: there is no {self.picture_noise!r}; there are {known}")
        if self.sensor != "bayer" and (self.dataset != "pictures" or self.objective != "supervised"):
            raise ConfigError(f"sensor: {self.sensor} mosaics are made of photographs, and learned from supervised")
        choices = {
            "dataset": DatasetKind,
            "sensor": SensorKind,
            "optimiser": OptimiserName,
            "schedule": ScheduleName,
            "precision": PrecisionName,
        }
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise ConfigError(f"{name}: there is no {getattr(self, name)!r}; there are {known}")

    @property
    def channels(self) -> int:
        """Of a patch: one for each photosite of a raw's cell, R G B of a photograph as it is."""
        return 3 if self.dataset == "srgb" else CELLS[self.sensor].channels

    def with_steps(self, steps: int) -> Self:
        """The same training in another number of steps: a schedule in steps is stretched, the rise kept short."""
        return dataclasses.replace(
            self,
            steps=steps,
            decay_steps=max(1, round(self.decay_steps * steps / self.steps)) if self.decay_steps else 0,
            warmup_steps=min(self.warmup_steps, max(1, steps // 10)),
        )

    def agrees_with(self, other: Self, step: int) -> bool:
        """Whether a run of this configuration does its first steps, so many, as one of the other does.

        The same configuration does; and for the schedule "cooldown" one that differs in when the fall begins, as long
        as it has begun in neither, and in when the rise ended, if it has ended in both. Methods with schedules of their
        own, by the share of the steps that is done, are beyond this.
        """
        if self == other:
            return True
        begins = min(config.steps - config.decay_steps for config in (self, other))
        risen = self.warmup_steps == other.warmup_steps or step >= max(self.warmup_steps, other.warmup_steps)
        chosen_late = {name: getattr(other, name) for name in ("steps", "decay_steps", "warmup_steps")}
        same = dataclasses.replace(self, **chosen_late) == other
        return self.schedule == "cooldown" and step <= begins and risen and same

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        listed = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in listed.items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Undo `to_json`.

        Raises:
            ConfigError: A field is unknown, missing or unusable.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError("configuration: it is of another version of Photosite", detail=str(error)) from error
