"""What all methods of a comparison have in common, and that a folder holds results of one comparison alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from training.comparison.methods import DEFAULT, METHODS, find_methods, listing
from training.comparison.plan import PLAN_NAME, Budget, Plan
from training.comparison.trainings import config_of
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
    captures = plan(dataset="captures")
    assert "clean images" in METHODS["supervised"].refusal(captures)
    assert "two noisy frames" in METHODS["noise2noise"].refusal(captures)
    assert not any(method.refusal(plan(dataset="sidd", pictures="P")) for method in METHODS.values())
    assert not METHODS["neighbor2neighbor"].refusal(captures)


def test_photographs_are_asked_for_where_the_data_is_not_made_of_them() -> None:
    pairs = METHODS["synthetic-pairs"]
    assert "--pictures" in pairs.refusal(plan(dataset="captures"))
    assert not pairs.refusal(plan(dataset="captures", pictures="P"))
    for made in (plan(pictures="P"), plan(dataset="pictures", noise="gauss25", pictures="P")):
        assert "it is the row supervised" in pairs.refusal(made)
    config = config_of(pairs, plan(dataset="captures", pictures="P"))
    assert (config.dataset, config.objective, config.channels) == ("pictures", "supervised", 4)


def test_impulses_are_left_to_methods_that_they_do_not_mislead() -> None:
    impulses = plan(dataset="pictures", noise="impulse")
    taken = [name for name, method in METHODS.items() if not method.refusal(impulses)]
    assert taken == [
        "supervised", "laine-mu", "laine-pme", "laine-pme-diagonal", "laine-pme-constant", "laine-pme-variable",
        "self2self", "dip",
    ]  # fmt: skip
    gaussian = plan(dataset="pictures", noise="gauss25")
    assert [name for name, method in METHODS.items() if method.refusal(gaussian)] == ["synthetic-pairs"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"dataset": "pictures", "noise": "gauss5_50"}, "gaussian"),
        ({"dataset": "pictures", "noise": "poisson30"}, "poisson"),
        ({"dataset": "pictures", "noise": "impulse"}, "impulse"),
        ({}, "poisson-gaussian"),
    ],
)
def test_unknown_noise_is_learned_as_what_it_is(changes: dict[str, Any], kind: str) -> None:
    config = config_of(METHODS["laine-pme-variable"], plan(**changes))
    assert config.objective_options == {"noise": "variable", "kind": kind}
    channels = 4 if not changes else 3
    assert config.network_options["estimates"] == (2 if not changes else 1)
    assert config.network_options["out_channels"] == channels + channels * (channels + 1) // 2 + (
        2 if not changes else 1
    )
    assert config_of(METHODS["laine-pme"], plan(**changes)).objective_options == {}


def test_methods_are_found_by_name_each_once() -> None:
    assert [method.name for method in find_methods(["dip", "bm3d", "dip"])] == ["dip", "bm3d"]
    with pytest.raises(ConfigError, match="name at least one"):
        find_methods([])
    with pytest.raises(ConfigError, match="there is no 'bm4d'"):
        find_methods(["bm4d"])
    assert len(listing().splitlines()) == len(METHODS)
    assert "laine-mu-only" not in DEFAULT
    assert "laine-pme" in DEFAULT


def test_a_budget_is_steps_or_minutes() -> None:
    assert str(Budget.parse("steps=300")) == "steps=300"
    assert str(Budget.parse("minutes=2.5")) == "minutes=2.5"
    assert config_of(METHODS["sure"], plan(budget=Budget(minutes=2.5))).minutes == 2.5
    assert Budget(steps=9).half() == Budget(steps=4)
    assert Budget(steps=1).half() == Budget(steps=1)
    assert Budget(minutes=5).half() == Budget(minutes=2.5)
    with pytest.raises(ConfigError, match="budget: it has to be given"):
        config_of(METHODS["sure"], plan(budget=None))
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
    with pytest.raises(ConfigError, match="another budget"):
        plan(budget=Budget(steps=8)).claim(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        plan().claim(tmp_path / "file")


def test_what_the_first_methods_did_without_can_come_with_later_ones(tmp_path: Path) -> None:
    bare, whole = plan(budget=None), plan(data="D", pictures="P")
    bare.claim(tmp_path)
    whole.claim(tmp_path)
    bare.claim(tmp_path)
    assert json.loads((tmp_path / PLAN_NAME).read_text(encoding="utf-8")) == whole.describe()
    with pytest.raises(ConfigError, match="another data"):
        plan(data="E").claim(tmp_path)


def test_a_folder_of_before_there_were_photographs_is_still_claimed(tmp_path: Path) -> None:
    said = {name: value for name, value in plan(data="D").describe().items() if name != "pictures"}
    (tmp_path / PLAN_NAME).write_text(json.dumps(said), encoding="utf-8")
    plan(data="D").claim(tmp_path)
    assert json.loads((tmp_path / PLAN_NAME).read_text(encoding="utf-8")) == plan(data="D").describe()
