"""From a preset and wishes to a run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sidd_factory import make_blocks, make_scene

from training.comparison.methods import METHODS
from training.config import TrainingConfig
from training.datasets import drawn
from training.datasets.sidd import SiddRaws
from training.datasets.sidd_patches import BlockPatches
from training.datasets.splits import HELD_OUT
from training.datasets.synthetic import SyntheticRaws
from training.errors import ConfigError
from training.noise import NoiseModel
from training.objectives import OBJECTIVES
from training.presets import PRESETS, preset
from training.run.budget import Wishes, apply_wishes
from training.run.sources import describe_data, open_sources
from training.train import main

if TYPE_CHECKING:
    from pathlib import Path


def test_neighbor2neighbor_on_sidd_is_the_papers() -> None:
    config = preset("n2n-sidd")
    assert (config.optimiser, config.learning_rate, config.batch_size, config.patch_size) == ("adam", 1e-4, 4, 128)
    assert config.steps * config.batch_size == 100 * config.patches_per_epoch
    assert config.decay_steps * 5 == config.steps
    assert config.decay_factor == 0.5
    assert config.objective_options == {"gamma": 1.0, "sampler": "random", "weighting": "none"}
    assert config.input_normalisation == "none"
    assert (config.gradient_norm, config.ema_steps, config.warmup_steps) == (0, 1, 0)
    assert dataclasses.replace(preset("n2n-sidd-rrg"), preset="n2n-sidd", network="unet") == config


def test_the_presets_of_the_shipped_models_are_what_they_were() -> None:
    assert preset("supervised-synthetic") == TrainingConfig(preset="supervised-synthetic", objective="supervised")
    config = preset("photosite")
    assert sum(config.content.values()) == pytest.approx(1)
    assert (config.schedule, config.steps, config.decay_steps) == ("cooldown", 120_000, 60_000)
    config = preset("n2n-synthetic")
    assert (config.scales, config.patch_size, config.batch_size, config.steps) == ((2.0, 3.0), 128, 8, 2000)
    assert (config.learning_rate, config.optimiser, config.schedule) == (1e-3, "adamw", "cosine")


def test_every_objective_is_chosen_by_a_preset_or_compared() -> None:
    compared = {method.objective for method in METHODS.values() if method.objective}
    assert {preset(name).objective for name in PRESETS} | compared == set(OBJECTIVES)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_can_be_built(name: str) -> None:
    from training.networks.noise_aware import build_noise_aware
    from training.objectives import build_objective

    config = preset(name)
    assert config.preset == name
    network = build_noise_aware(config).network
    objective = build_objective(config.objective, **config.objective_options)
    assert config.patch_size % (network.stride * objective.subsampling) == 0


@pytest.mark.parametrize(
    ("wishes", "steps", "decay_steps"),
    [
        (Wishes(), 1_500_000, 300_000),
        (Wishes(steps=1000), 1000, 200),
        (Wishes(epochs=10), 150_000, 30_000),
        (Wishes(batch_size=8), 750_000, 150_000),
        (Wishes(batch_size=8, epochs=1), 7500, 1500),
        (Wishes(batch_size=1, processes=4), 1_500_000, 300_000),
        (Wishes(processes=2, epochs=10), 75_000, 15_000),
    ],
)
def test_a_budget_stretches_the_papers_schedule(wishes: Wishes, steps: int, decay_steps: int) -> None:
    config = apply_wishes(preset("n2n-sidd"), wishes)
    assert (config.steps, config.decay_steps) == (steps, decay_steps)


def test_a_batch_size_leaves_a_budget_in_steps_alone() -> None:
    config = apply_wishes(preset("n2n-synthetic"), Wishes(batch_size=2, patch_size=64, seed=3))
    assert config == dataclasses.replace(preset("n2n-synthetic"), batch_size=2, patch_size=64, seed=3)


@pytest.mark.parametrize("wishes", [{"steps": 1, "minutes": 1}, {"minutes": 0}, {"epochs": -1}])
def test_an_impossible_budget_is_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"budget|minutes|epochs"):
        Wishes(**wishes)


def test_photographs_have_no_epochs() -> None:
    with pytest.raises(ConfigError, match="epochs: n2n-synthetic"):
        apply_wishes(preset("n2n-synthetic"), Wishes(epochs=1))


def small(**changes: Any) -> TrainingConfig:
    options: dict[str, Any] = {"preset": "test", "objective": "supervised", "patch_size": 16, "scales": (1.0,)}
    return TrainingConfig(**{**options, **changes})


def write_pictures(folder: Path, names: list[str]) -> None:
    from PIL import Image

    for index, name in enumerate(names):
        Image.fromarray(np.full((48, 48, 3), index, np.uint8)).save(folder / f"{name}.png")


def levels(data: Any) -> set[int]:
    """Which of `write_pictures`' pictures a source has."""
    assert isinstance(data, SyntheticRaws)
    return {int(picture[0, 0, 0]) for picture in data.pictures}


def test_pictures_held_out_by_name_are_judged_on(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a", "b", min(HELD_OUT)])
    sources = open_sources(small(), tmp_path)
    assert (levels(sources.training), levels(sources.held_out)) == ({0, 1}, {2})
    assert sources.summary == "2 pictures; judged on 1 other"


def test_a_share_of_the_pictures_is_held_out_if_asked_for(tmp_path: Path) -> None:
    write_pictures(tmp_path, list("abcdefgh"))
    assert open_sources(small(), tmp_path).held_out is None
    sources = open_sources(small(held_out_share=0.25), tmp_path)
    assert levels(sources.training) | levels(sources.held_out) == set(range(8))
    assert levels(sources.training) & levels(sources.held_out) == set()
    assert len(levels(sources.held_out)) == 2


def test_a_pack_is_learned_from_with_drawn_pictures_and_judged_without(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    write_pictures(tmp_path / "pictures", ["a", "b", min(HELD_OUT)])
    pack = tmp_path / "pack.zip"
    assert main(["--preset", "photosite", "--data", str(tmp_path / "pictures"), "--pack", str(pack)]) == 0
    config = small(content={"photographs": 1, "slopes": 1}, dark_share=0.5)
    sources = open_sources(config, pack)
    assert isinstance(sources.training, SyntheticRaws)
    assert isinstance(sources.held_out, SyntheticRaws)
    assert (len(sources.training.pictures), sources.training.dark_share) == (2 + drawn.COUNT, 0.5)
    assert (levels(sources.held_out), sources.held_out.dark_share) == ({2}, 0)
    assert sources.summary == "2 pictures; judged on 1 other"
    assert describe_data(config, pack) == f"the pack {pack}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content": {"photographs": 1, "clouds": 1}}, "there is no 'clouds'"),
        ({"content": {"photographs": 1, "slopes": 0}}, "shares above 0"),
        ({"content": {"slopes": 1}}, "photographs"),
        ({"dark_share": 0.6, "bright_share": 0.6}, "bright_share"),
    ],
)
def test_impossible_content_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**changes)


@pytest.mark.parametrize("data", [[], ["--data", "nowhere"]])
def test_a_pack_is_made_of_a_folder(data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "photosite", *data, "--pack", str(tmp_path / "pack.zip")]) == 2
    assert "name the folder" in capsys.readouterr().err


def scene_names(data: Any) -> set[str]:
    assert isinstance(data, SiddRaws)
    return {pair.name.partition("/")[0] for pair in data.pairs}


def test_whole_scenes_of_sidd_are_held_out(tmp_path: Path) -> None:
    names = [f"000{index}_001_S6_00100_00060_3200_L" for index in range(2, 6)]
    for name in names:
        make_scene(tmp_path, name)
    sources = open_sources(small(dataset="sidd", held_out_share=0.25), tmp_path)
    assert len(scene_names(sources.held_out)) == 1
    assert scene_names(sources.training) == set(names) - scene_names(sources.held_out)


def test_sidds_validation_blocks_judge_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noise_of(_blocks: Any, _requested: None, name: str) -> tuple[NoiseModel, str]:
        if "_GP_" in name:
            raise ConfigError("no place flat enough")
        return NoiseModel.uniform(shot_noise=2e-3, read_noise=4e-6), "estimate"

    monkeypatch.setattr("training.datasets.sidd_patches.image_noise", noise_of)
    make_scene(tmp_path)
    (tmp_path / "validation").mkdir()
    noisy, clean = make_blocks(tmp_path / "validation")
    sources = open_sources(small(dataset="sidd"), tmp_path)
    assert isinstance(sources.held_out, BlockPatches)
    assert sources.summary == "2 frames; judged on 6 validation blocks"
    for index in range(3):
        patch = sources.held_out.draw((0, 0, index))
        assert patch.source.startswith("0000_001_IP_")  # the other image's noise is unknown
        assert patch.shot_noise == 2e-3
        block = int(patch.source.rsplit(" ", 1)[1]) - 1
        assert patch.clean is not None
        np.testing.assert_array_equal(patch.noisy[0], noisy[0, block, 0:32:2, 0:32:2])
        np.testing.assert_array_equal(patch.clean[3], clean[0, block, 1:32:2, 1:32:2])


def test_validation_blocks_whose_noise_is_unknown_do_not_stop_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("training.validate.estimate_noise", lambda *_: None)
    make_scene(tmp_path)
    make_blocks(tmp_path)
    sources = open_sources(small(dataset="sidd"), tmp_path)
    assert sources.held_out is None
    assert sources.summary == "2 frames; nothing held out to judge on"
    assert "the validation blocks are left out" in caplog.text
    assert "no place flat enough" in caplog.text


def test_a_pattern_that_is_given_beats_metadata_for_frames_and_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = NoiseModel.uniform(shot_noise=2e-3, read_noise=4e-6), "estimate"
    monkeypatch.setattr("training.datasets.sidd_patches.image_noise", lambda *_: noise)
    make_scene(tmp_path)  # its metadata says GRBG
    make_blocks(tmp_path)
    (tmp_path / "names.txt").write_text("0009_001_S6_00800_00350_3200_L\n0021_001_GP_10000_05000_5500_N\n")
    sources = open_sources(small(dataset="sidd", cfa_patterns={"S6": "GBRG"}), tmp_path)
    assert isinstance(sources.training, SiddRaws)
    assert {pair.cfa_pattern for pair in sources.training.pairs} == {"GBRG"}
    assert isinstance(sources.held_out, BlockPatches)
    assert sources.held_out.blocks.patterns == ("GBRG", "BGGR")


@pytest.mark.parametrize("dataset", ["pictures", "sidd", "captures"])
def test_missing_data_names_what_is_wanted(tmp_path: Path, dataset: Any) -> None:
    with pytest.raises(ConfigError, match=r"data: test wants .*--data"):
        open_sources(small(dataset=dataset), None)
    with pytest.raises(ConfigError, match="there is no folder"):
        open_sources(small(dataset=dataset), tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"^data"):
        open_sources(small(dataset=dataset), tmp_path)
