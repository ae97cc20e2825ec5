"""What a comparison is: data, noise, network, budget; the same for all methods, and kept with their results.

Importing this imports no torch.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from training.comparison.methods import DatasetName
from training.datasets.picture_noise import PICTURE_NOISE, NoiseKind
from training.errors import ConfigError
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from training.comparison.methods import Method

NetworkName = Literal["unet", "rrg", "residual-unet"]
RAW_NOISE = "raw"
PLAN_NAME = "comparison.json"
PAPERS_STEPS = 1_100_000
"""Of Neighbor2Neighbor on pictures: 100 epochs of 44,328 pictures, 4 a step."""
ENOUGH = 0.1
"""A training shorter than this share of it is called under-trained."""
RESIDUAL_LEVELS = 3
FOR_SOME = ("data", "pictures", "budget")
"""What only some methods want."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What each method may spend: optimiser steps, or minutes; on its training, or on all pictures together."""

    steps: int = 0
    minutes: float = 0.0

    def __post_init__(self) -> None:
        """Reject what cannot be meant."""
        if (self.steps > 0) == (self.minutes > 0):
            raise ConfigError(f"budget: got {self}, wanted either steps or minutes above 0")

    def __str__(self) -> str:
        """As on the command line."""
        return f"steps={self.steps}" if self.steps else f"minutes={self.minutes:g}"

    def half(self) -> Budget:
        """Of each of two trainings that share it."""
        return Budget(steps=max(1, self.steps // 2)) if self.steps else Budget(minutes=self.minutes / 2)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Undo `str`.

        Raises:
            ConfigError: It is neither steps=N nor minutes=M.

        >>> Budget.parse("minutes=2.5")
        Budget(steps=0, minutes=2.5)
        """
        name, _, number = text.partition("=")
        try:
            return {"steps": lambda: cls(steps=int(number)), "minutes": lambda: cls(minutes=float(number))}[name]()
        except (KeyError, ValueError) as error:
            raise ConfigError(f"budget: got {text!r}, wanted steps=N or minutes=M") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that all methods have in common."""

    dataset: DatasetName
    data: str = ""
    """Folder to learn from; empty where no method learns."""
    pictures: str = ""
    """Folder of photographs for methods that learn from them beside SIDD or captures; empty where none does."""
    noise: str = RAW_NOISE
    """Of pictures a name of `PICTURE_NOISE`; raws have their own."""
    network: NetworkName = "unet"
    width: int = 48
    """Its channels at full size."""
    budget: Budget | None = None
    """None where no method is trained."""
    batch_size: int = 8
    patch_size: int = 64
    """Pixels that the network sees each way in training, packed ones of raws; a sub-sampling method draws more."""
    learning_rate: float = 1e-3
    seed: int = 0
    tests: dict[str, str] = field(default_factory=dict)
    """Folders of pictures to judge on, by name; of no use to SIDD and captures."""
    draws: int = 0
    """Noisy frames of each test picture, 0 for the papers' numbers."""
    every: int = 1
    """Judge on every n-th picture only."""

    def __post_init__(self) -> None:
        """Reject what cannot be compared."""
        if self.dataset not in get_args(DatasetName):
            raise ConfigError(f"dataset: there is no {self.dataset!r}; there are {', '.join(get_args(DatasetName))}")
        if self.network not in get_args(NetworkName):
            raise ConfigError(f"network: there is no {self.network!r}; there are {', '.join(get_args(NetworkName))}")
        noises = tuple(PICTURE_NOISE) if self.dataset == "pictures" else (RAW_NOISE,)
        if self.noise not in noises:
            raise ConfigError(f"noise: got {self.noise!r}, {self.dataset} wants {' or '.join(noises)}")
        if self.dataset in {"pictures", "synthetic"} and not self.tests:
            raise ConfigError("test: name a folder of pictures to judge on, as in --test kodak=DIR")
        for name in ("width", "batch_size", "patch_size", "learning_rate", "every"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, wanted more than 0")

    @property
    def is_raw(self) -> bool:
        """Whether its images are packed raws."""
        return self.dataset != "pictures"

    @property
    def network_options(self) -> dict[str, Any]:
        """Of the network that is compared."""
        if self.network == "residual-unet":
            return {
                "widths": [self.width << level for level in range(RESIDUAL_LEVELS)],
                "blocks": [2] * RESIDUAL_LEVELS,
            }
        return {"width": self.width}

    @property
    def noise_kind(self) -> NoiseKind:
        """What its noise is made of."""
        return "poisson-gaussian" if self.is_raw else PICTURE_NOISE[self.noise].kind

    @property
    def spent(self) -> Budget:
        """The budget of a method that wants one.

        Raises:
            ConfigError: There is none.
        """
        if self.budget is None:
            raise ConfigError("budget: it has to be given, as steps=N or minutes=M")
        return self.budget

    def objective_options(self, method: Method) -> dict[str, Any]:
        """Of a trained method's objective, as it trains: pictures by the papers' plain squares."""
        options = {**method.options, **(method.raw_options if self.is_raw else {})}
        if method.objective == "laine":
            return {**options, "kind": self.noise_kind} if "noise" in options else options
        return options if self.is_raw else {"weighting": "none", **options}

    def describe(self) -> dict[str, Any]:
        """As plain JSON types."""
        return dataclasses.asdict(self)

    def claim(self, run: Path) -> None:
        """Write it into a folder of results, or see that what lies there is the same.

        What came before a method that wants data or a budget does without; the folder takes them when they come.

        Raises:
            ConfigError: The folder has results of another comparison, or cannot be written to.
        """
        path = run / PLAN_NAME
        try:
            run.mkdir(parents=True, exist_ok=True)
            said = self.describe()
            before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else said
            silent = [name for name in FOR_SOME if not (said[name] and before.get(name))]
            other = [name for name, value in said.items() if before.get(name) != value and name not in silent]
            if other:
                raise ConfigError(f"run: {run} has results of a comparison with another {', '.join(other)}")
            said |= {name: before[name] for name in silent if before.get(name)}
            with replacing(path) as file:
                file.write((json.dumps(said, indent=2) + "\n").encode())
        except (OSError, ValueError) as error:
            raise ConfigError(f"run: {run} cannot be used: {error}") from error
