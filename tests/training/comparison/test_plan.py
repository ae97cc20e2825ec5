"""What all methods of a comparison have in common, and that a folder holds results of one comparison alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from training.comparison.methods import DEFAULT, METHODS, find_methods, listing
from training.comparison.plan import Budget, Plan
from training.comparison.running import config_of
from training.errors import ConfigError
from training.networks.noise_aware import build_noise_aware
from training.objectives import build_objective

if TYPE_CHECKING:
    from pathlib import Path


def plan(**changes: Any) -> Plan:
    return Plan(**{"dataset": "synthetic", "budget": Budget(steps=7), "tests": {"t": "T"}, "width": 4, **changes})


@pytest.mark.parametrize("dataset", ["synthetic", "pictures"])
@pytest.mark.parametrize("network", ["unet", "rrg", "residual-unet"])
def test_every_trained_method_has_a_training_of_the_same_steps_and_patches(dataset: str, network: str) -> None:
    noise = "poisson30" if dataset == "pictures" else "raw"
    wanted = plan(dataset=dataset, noise=noise, network=network, width=16)
    for method in METHODS.values():
        if method.objective:
            config = config_of(method, wanted)
            model, objective = build_noise_aware(config), build_objective(config.objective, **config.objective_options)
            assert config.steps == 7
            assert config.patch_size == 64 * objective.subsampling
            assert config.network == (method.network or network)
            assert config.patch_size % (model.network.stride * objective.subsampling) == 0


def test_pictures_are_learned_from_as_in_the_papers_and_raws_in_units_of_the_noise() -> None:
    picture, raw = (
        config_of(METHODS["neighbor2neighbor"], plan(dataset=dataset, noise=noise))
        for dataset, noise in (("pictures", "gauss25"), ("synthetic", "raw"))
    )
    assert (picture.input_normalisation, picture.channels, picture.picture_noise) == ("none", 3, "gauss25")
    assert picture.objective_options == {"weighting": "none", "gamma": 2.0}
    assert (raw.input_normalisation, raw.channels) == ("variance-stabilised", 4)
    assert raw.objective_options == {"gamma": 1.0}


def test_rows_that_differ_in_their_readout_share_a_training() -> None:
    mean, posterior = METHODS["laine-mu"], METHODS["laine-pme"]
    assert mean.training == posterior.training == "laine"
    assert config_of(mean, plan()) == config_of(posterior, plan())
    assert len({method.training for method in METHODS.values()}) == len(METHODS) - 1


def test_a_data_set_without_a_methods_targets_says_so() -> None:
    assert "clean images" in METHODS["supervised"].refusal("captures")
    assert "two noisy frames" in METHODS["noise2noise"].refusal("captures")
    assert not any(method.refusal("sidd") for method in METHODS.values())
    assert not METHODS["neighbor2neighbor"].refusal("captures")


def test_methods_are_found_by_name_each_once() -> None:
    assert [method.name for method in find_methods(["dip", "bm3d", "dip"])] == ["dip", "bm3d"]
    with pytest.raises(ConfigError, match="there is no 'bm4d'"):
        find_methods(["bm4d"])
    assert len(listing().splitlines()) == len(METHODS)
    assert "laine-mu-only" not in DEFAULT
    assert "laine-pme" in DEFAULT


def test_a_budget_is_steps_or_minutes() -> None:
    assert str(Budget.parse("steps=300")) == "steps=300"
    assert str(Budget.parse("minutes=2.5")) == "minutes=2.5"
    assert config_of(METHODS["sure"], plan(budget=Budget(minutes=2.5))).minutes == 2.5
    for text in ("300", "steps=many", "hours=1", "steps=0", "minutes=-1"):
        with pytest.raises(ConfigError, match="budget"):
            Budget.parse(text)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dataset": "imagenet"}, "dataset"),
        ({"network": "vgg"}, "network"),
        ({"noise": "gauss25"}, "noise"),
        ({"dataset": "pictures", "noise": "raw"}, "noise"),
        ({"tests": {}}, "test"),
        ({"width": 0}, "width"),
        ({"every": 0}, "every"),
    ],
)
def test_what_cannot_be_compared_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        plan(**changes)


def test_a_folder_has_results_of_one_comparison_alone(tmp_path: Path) -> None:
    plan().claim(tmp_path / "run")
    plan().claim(tmp_path / "run")
    with pytest.raises(ConfigError, match="another width, seed"):
        plan(seed=1, width=8).claim(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        plan().claim(tmp_path / "file")
