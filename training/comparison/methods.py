"""The methods that can be compared, by name. Importing this imports neither torch nor any method's library.

Three kinds: trained ones (an objective of `training/objectives/`, on the network that is asked for or on one of their
own), those that are trained anew for every picture, and those that train nothing (`training/baselines/`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from training.datasets.picture_noise import PICTURE_NOISE
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.comparison.plan import Plan

DatasetName = Literal["synthetic", "sidd", "captures", "pictures"]
Target = Literal["clean", "second", "photographs"]
PROVIDES: dict[DatasetName, frozenset[Target]] = {
    "synthetic": frozenset({"clean", "second"}),
    "sidd": frozenset({"clean", "second"}),
    "captures": frozenset(),
    "pictures": frozenset({"clean", "second"}),
}
"""What each data set has beside noisy images."""
_TARGET_WORDS: dict[Target, str] = {
    "clean": "clean images",
    "second": "two noisy frames of every scene",
    "photographs": "other photographs",
}
OF_SQUARES = "its squares learn the mean of what was measured, which impulses move towards grey"
NOT_GAUSSIAN = "it is for noise around the signal, Gaussian or nearly so, and impulses replace the signal"
"""Why impulse noise is beyond a method."""
IMPULSES = frozenset(name for name, noise in PICTURE_NOISE.items() if noise.kind == "impulse")
"""Noises of that kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One row of the table."""

    name: str
    words: str
    """What it is, in a line."""
    objective: str = ""
    """Of a trained method: a name of `training.objectives`."""
    options: dict[str, Any] = field(default_factory=dict)
    """The objective's, as it trains."""
    raw_options: dict[str, Any] = field(default_factory=dict)
    """More of them for raws."""
    readout: dict[str, Any] = field(default_factory=dict)
    """More of them for denoising: rows that differ in nothing else share a training."""
    network: str = ""
    """A network of its own, empty for the one that is asked for."""
    per_picture: str = ""
    """Of a method that is trained for every picture: a module of `training.baselines`."""
    baseline: str = ""
    """Of a method that trains nothing: its name in `training.baselines`, for pictures."""
    raw_baseline: str = ""
    """The same for raws, where it differs."""
    needs: Target | None = None
    """What it learns from beside noisy images."""
    shares: str = ""
    """Name of the training that it shares with others; its own name for none."""
    distilled: bool = False
    """Whether the network that is asked for then learns from what its own one makes of noisy images."""
    no_impulses: str = ""
    """Why impulse noise is beyond it, empty where it is not."""

    @property
    def training(self) -> str:
        """What its training's folder is called."""
        return self.shares or self.name

    @property
    def spends(self) -> bool:
        """Whether it is trained, and wants a budget."""
        return bool(self.objective or self.per_picture)

    def refusal(self, plan: Plan) -> str:
        """Why a comparison cannot have it, empty where it can."""
        if self.needs == "photographs":
            return self._without_photographs(plan)
        if self.needs and self.needs not in PROVIDES[plan.dataset]:
            return f"it learns from {_TARGET_WORDS[self.needs]}, which {plan.dataset} has not"
        return self.no_impulses if plan.noise in IMPULSES else ""

    @staticmethod
    def _without_photographs(plan: Plan) -> str:
        if plan.dataset not in {"sidd", "captures"}:
            return f"on {plan.dataset}, which is made of photographs, it is the row supervised"
        return "" if plan.pictures else "it learns from photographs made into raws: name a folder with --pictures"


METHODS = {
    method.name: method
    for method in (
        Method(name="supervised", words="clean targets (N2C)", objective="supervised", needs="clean"),
        Method(
            name="noise2noise",
            words="two noisy frames (ICML 2018)",
            objective="noise2noise",
            needs="second",
            no_impulses=OF_SQUARES,
        ),
        Method(
            name="synthetic-pairs",
            words="clean targets of photographs made into raws with the data's noise (CycleISP's idea, CVPR 2020)",
            objective="supervised",
            needs="photographs",
        ),
        Method(
            name="neighbor2neighbor",
            words="neighbouring pixels, chosen at random (CVPR 2021)",
            objective="neighbor2neighbor",
            options={"gamma": 2.0},
            raw_options={"gamma": 1.0},
            no_impulses=OF_SQUARES,
        ),
        Method(
            name="neighbor2neighbor-fixed",
            words="neighbouring pixels, always the same two (its ablation)",
            objective="neighbor2neighbor",
            options={"gamma": 2.0, "sampler": "fixed"},
            raw_options={"gamma": 1.0},
            no_impulses=OF_SQUARES,
        ),
        Method(
            name="blind2unblind",
            words="hidden pixels made visible again, 4 of 16 masks a step (CVPR 2022)",
            objective="blind2unblind",
            options={"masks": 4},
            no_impulses=OF_SQUARES,
        ),
        Method(
            name="recorrupted",
            words="more noise in the input, less in the target; of the noise's own kind, α = 1 (CVPR 2021)",
            objective="recorrupted",
            options={"alpha": 1.0, "signal": "denoised", "noise": "own"},
            no_impulses=NOT_GAUSSIAN,
        ),
        Method(
            name="laine-mu",
            words="half-plane blind-spot network, its mean alone (NeurIPS 2019)",
            objective="laine",
            readout={"readout": "mu"},
            network="blindspot-unet",
            shares="laine",
        ),
        Method(
            name="laine-pme",
            words="the same network and training, posterior mean (NeurIPS 2019)",
            objective="laine",
            network="blindspot-unet",
            shares="laine",
        ),
        Method(
            name="laine-pme-diagonal",
            words="posterior mean, channels apart (its ablation)",
            objective="laine",
            options={"covariance": "diagonal"},
            network="blindspot-unet",
        ),
        Method(
            name="laine-mu-only",
            words="blind-spot network trained by squares (its ablation)",
            objective="laine",
            options={"covariance": "none"},
            network="blindspot-unet",
            no_impulses=OF_SQUARES,
        ),
        Method(
            name="laine-pme-constant",
            words="posterior mean, one unknown noise for all pictures",
            objective="laine",
            options={"noise": "constant"},
            network="blindspot-unet",
        ),
        Method(
            name="laine-pme-variable",
            words="posterior mean, unknown noise, estimated for each picture",
            objective="laine",
            options={"noise": "variable"},
            network="blindspot-unet",
        ),
        Method(name="noise2void", words="hidden pixels (CVPR 2019)", objective="noise2void", no_impulses=OF_SQUARES),
        Method(
            name="noisier2noise",
            words="noise added once more, α = 1 (CVPR 2020)",
            objective="noisier2noise",
            no_impulses=NOT_GAUSSIAN,
        ),
        Method(
            name="noisy-as-clean",
            words="noisy taken for clean (TIP 2020)",
            objective="noisy-as-clean",
            no_impulses=NOT_GAUSSIAN,
        ),
        Method(
            name="dbsn",
            words="dilated blind-spot network, its posterior mean taught to an ordinary one (ECCV 2020)",
            objective="laine",
            network="dilated-blindspot",
            distilled=True,
            no_impulses=NOT_GAUSSIAN,
        ),
        Method(
            name="sure",
            words="Stein's risk estimate, for Gaussian noise (NeurIPS 2018)",
            objective="sure",
            no_impulses=NOT_GAUSSIAN,
        ),
        Method(
            name="self2self",
            words="dropout on one picture, steps for each (CVPR 2020)",
            per_picture="training.baselines.self2self",
        ),
        Method(
            name="dip",
            words="deep image prior, stopped early, steps for each picture (CVPR 2018)",
            per_picture="training.baselines.deep_prior",
        ),
        Method(
            name="bm3d",
            words="BM3D, noise known and taken for white; raw planes apart, pictures as CBM3D (TIP 2007)",
            baseline="bm3d-white-colour",
            raw_baseline="bm3d-white",
            no_impulses=NOT_GAUSSIAN,
        ),
        Method(
            name="bm3d-anscombe",
            words="BM3D in colours on stabilised noise, exact unbiased inverse (TIP 2013)",
            baseline="bm3d-colour",
            no_impulses=NOT_GAUSSIAN,
        ),
    )
}
DEFAULT = tuple(name for name in METHODS if not name.startswith("laine-pme-") and name != "laine-mu-only")
"""Without the ablations."""


def find_methods(names: Sequence[str]) -> tuple[Method, ...]:
    """The methods of these names, each once.

    Raises:
        ConfigError: There is none of such a name, or no name.
    """
    if not names:
        raise ConfigError(f"methods: name at least one of {', '.join(METHODS)}")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ConfigError(f"methods: there is no {unknown[0]!r}; there are {', '.join(METHODS)}")
    return tuple(METHODS[name] for name in dict.fromkeys(names))


def listing() -> str:
    """Every method with what it is and what it needs, a line each."""
    widest = max(len(name) for name in METHODS)
    return "\n".join(
        f"{method.name:{widest}}  {method.words}{f' [{_TARGET_WORDS[method.needs]}]' if method.needs else ''}"
        for method in METHODS.values()
    )
