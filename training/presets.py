"""Whole training configurations by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.config import TrainingConfig
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


def supervised_synthetic() -> TrainingConfig:
    """Noisy and clean pairs from pictures: the default model, `photosite`."""
    return TrainingConfig(preset="supervised-synthetic", objective="supervised")


def n2n_synthetic() -> TrainingConfig:
    """Neighbor2Neighbor on noisy synthetic raws alone, on content as smooth as a sensor's: `photosite-n2n`.

    On sharp pictures, and at low noise, neighbouring pixels differ by more than the noise, and the method blurs.
    """
    return TrainingConfig(
        preset="n2n-synthetic",
        objective="neighbor2neighbor",
        objective_options={"gamma": 2.0},
        scales=(2.0, 3.0),
        shot_noise_range=(2e-4, 1.2e-2),
        patch_size=128,
        steps=2000,
    )


PRESETS: dict[str, Callable[[], TrainingConfig]] = {
    "supervised-synthetic": supervised_synthetic,
    "n2n-synthetic": n2n_synthetic,
}


def preset(name: str) -> TrainingConfig:
    """The configuration of that name.

    Raises:
        ConfigError: There is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: there is no {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]()
