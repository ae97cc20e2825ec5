"""Training methods, one per file, found by name.

An objective turns a batch of patches, packed raws or pictures, into a loss; and it says what it makes of noisy images
once it is trained, where that is more than the network's output. Losses are in units of the noise: a squared error of 1
is one noise variance, so that low and high ISO weigh alike. The option `weighting="none"` gives the papers' plain
squares. Likelihoods (`laine.py`) have no unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.errors import ConfigError
from training.objectives.blind2unblind import Blind2Unblind
from training.objectives.laine import Laine
from training.objectives.neighbor2neighbor import Neighbor2Neighbor
from training.objectives.noise2noise import Noise2Noise
from training.objectives.noise2void import Noise2Void
from training.objectives.noisier2noise import Noisier2Noise
from training.objectives.noisy_as_clean import NoisyAsClean
from training.objectives.recorrupted import Recorrupted
from training.objectives.stein import Stein
from training.objectives.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.objectives.base import Objective

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "blind2unblind": Blind2Unblind,
    "laine": Laine,
    "neighbor2neighbor": Neighbor2Neighbor,
    "noise2noise": Noise2Noise,
    "noise2void": Noise2Void,
    "noisier2noise": Noisier2Noise,
    "noisy-as-clean": NoisyAsClean,
    "recorrupted": Recorrupted,
    "sure": Stein,
    "supervised": Supervised,
}


def build_objective(name: str, **options: Any) -> Objective:
    """The training method of that name.

    Raises:
        ConfigError: There is no such method, or it does not take these options.
    """
    if name not in OBJECTIVES:
        raise ConfigError(f"objective: there is no {name!r}; there are {', '.join(sorted(OBJECTIVES))}")
    try:
        return OBJECTIVES[name](**options)
    except TypeError as error:
        raise ConfigError(f"objective {name}: it does not take the options {options}", detail=str(error)) from error
