"""`photosite compare`: from the command line to tables, stopped and gone on with."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from dng_factory import make_dng, sample_mosaic
from PIL import Image
from sidd_factory import make_blocks, make_scene

from service.cli import main
from training.baselines import deep_prior
from training.checkpoint import load_checkpoint
from training.comparison import running, trainings
from training.comparison.methods import METHODS

if TYPE_CHECKING:
    from pathlib import Path

    from training.baselines.per_picture import PictureTask
    from training.config import TrainingConfig
    from training.loop import StepReport

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures to learn from and to judge on."""
    rng = np.random.default_rng(0)
    for name, size in (("data", 160), ("test", 48)):
        (tmp_path / name).mkdir()
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(tmp_path / name / "a.png")
    return tmp_path


def compare(folder: Path, methods: str, *options: str, dataset: str = "pictures", data: str = "data") -> int:
    noise = ["--noise", "gauss25"] if dataset == "pictures" else []
    small = ["--width", "4", "--batch-size", "1", "--patch-size", "32", "--budget", "steps=2", "--device", "cpu"]
    places = ["--data", str(folder / data), "--test", f"kodak={folder / 'test'}", "--run", str(folder / "run")]
    return main(["compare", "--methods", methods, "--dataset", dataset, *noise, *small, *places, *options])


def rows(folder: Path) -> dict[str, list[str]]:
    """The table's cells by method."""
    lines = (folder / "run" / "comparison.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
    return {line[0].strip(): line[1:] for line in cells}


def test_every_trained_method_gives_a_row_for_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = [name for name, method in METHODS.items() if method.objective and method.needs != "photographs"]
    assert compare(folder, ",".join(trained), "--draws", "1") == 0
    table = rows(folder)
    assert list(table) == ["(noisy input)", *trained]
    assert all("under-trained" in table[name][-1] for name in trained)
    assert all(float(table[name][0].split(" / ")[0]) > 5 for name in trained)
    printed = capsys.readouterr().out
    assert printed == (folder / "run" / "comparison.md").read_text(encoding="utf-8")


def test_raws_are_judged_at_every_noise_level(folder: Path) -> None:
    assert compare(folder, "neighbor2neighbor,laine-pme,dip", dataset="synthetic") == 0
    header = (folder / "run" / "comparison.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("method,shot 0.0002 psnr,shot 0.0002 ssim,shot 0.0005 psnr")
    assert rows(folder)["dip"][-1] == "steps=2 for each picture"


def test_kodak_gets_ten_noisy_frames_unless_told_otherwise(folder: Path) -> None:
    assert compare(folder, "supervised") == 0
    assert len(running.read_scores(folder / "run" / "supervised" / "scores.jsonl")) == 10


def test_the_same_command_goes_on_and_repeats_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = trainings.train

    def stopped(*arguments: object, **options: object) -> object:
        def stop(report: StepReport) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        return train(*arguments, **options, after_step=stop)  # type: ignore[arg-type]

    monkeypatch.setattr(trainings, "train", stopped)
    assert compare(folder, "supervised,sure", "--draws", "2", "--budget", "steps=9") == 130
    monkeypatch.setattr(trainings, "train", train)
    assert compare(folder, "supervised,sure", "--draws", "2", "--budget", "steps=9") == 0
    first = (folder / "run" / "comparison.csv").read_text(encoding="utf-8")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was trained, or denoised, again")

    monkeypatch.setattr(trainings, "train", never)
    monkeypatch.setattr(running, "_score", never)
    assert compare(folder, "supervised,sure", "--draws", "2", "--budget", "steps=9") == 0
    assert (folder / "run" / "comparison.csv").read_text(encoding="utf-8") == first


def test_a_score_that_was_cut_off_is_found_again(folder: Path) -> None:
    assert compare(folder, "supervised", "--draws", "3") == 0
    path = folder / "run" / "supervised" / "scores.jsonl"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[: whole.rindex("{") + 20], encoding="utf-8")
    assert compare(folder, "supervised", "--draws", "3") == 0
    cases = [json.loads(line)["case"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert cases == [f"kodak/a-{draw}" for draw in range(3)]


def test_a_folder_of_another_comparison_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(folder, "supervised", "--draws", "1") == 0
    assert compare(folder, "supervised", "--draws", "1", "--seed", "3") == 2
    assert "another seed" in capsys.readouterr().err


def test_captures_serve_methods_of_noisy_images_alone_and_are_judged_by_estimate(folder: Path) -> None:
    (folder / "raws").mkdir()
    for seed, name in enumerate("ab"):
        make_dng(folder / "raws" / f"{name}.dng", sample_mosaic(600, 600, seed=seed), noise_profile=(1e-6, 1e-4))
    assert compare(folder, "supervised,recorrupted", "--every", "16", dataset="captures", data="raws") == 0
    table = rows(folder)
    assert table["supervised"][-1] == "not possible: it learns from clean images, which captures has not"
    assert " / " not in table["recorrupted"][0]
    assert 10 < float(table["recorrupted"][0]) < 80


def test_the_list_names_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(METHODS)


@pytest.mark.parametrize("missing", ["dataset", "data", "budget", "run"])
def test_what_is_missing_is_named(missing: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"dataset": "pictures", "data": str(folder / "data"), "budget": "steps=1", "run": str(folder / "run")}
    options = [part for name, value in given.items() if name != missing for part in (f"--{name}", value)]
    assert main(["compare", *options, "--noise", "gauss25", "--test", f"t={folder / 'test'}"]) == 2
    assert f"{missing}: it has to be given" in capsys.readouterr().err


def test_missing_folders_are_named_before_anything_is_trained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(folder, "sure", data="nothing") == 2
    assert "data: there is no" in capsys.readouterr().err
    assert compare(folder, "sure", "--test", f"set14={folder / 'run'}") == 2
    assert "no picture in" in capsys.readouterr().err


def test_sidds_frames_teach_and_its_validation_blocks_judge(folder: Path) -> None:
    make_scene(folder / "sidd", shape=(300, 310))
    make_blocks(folder / "sidd", images=1, blocks=1, size=256)
    assert compare(folder, "supervised,noise2noise,noisier2noise", "--every", "32", dataset="sidd", data="sidd") == 0
    table = rows(folder)
    noisy = float(table["(noisy input)"][0].split(" / ")[0])
    assert all(float(table[name][0].split(" / ")[0]) > noisy - 4 for name in ("supervised", "noise2noise"))
    assert (folder / "run" / "comparison.md").read_text(encoding="utf-8").startswith("| method | validation blocks |")


def test_a_budget_in_minutes_ends_trainings_and_pictures(folder: Path) -> None:
    assert compare(folder, "supervised,dip", "--draws", "1", "--budget", "minutes=0.01") == 0
    table = rows(folder)
    assert int(table["supervised"][1]) >= 1
    assert table["dip"][-1] == "minutes=0.01 for all pictures"


def test_with_impulses_methods_run_that_can_and_the_others_say_why_not(folder: Path) -> None:
    able = ["supervised", "laine-mu", "laine-pme", "laine-pme-variable", "self2self", "dip"]
    assert compare(folder, ",".join([*able, "noise2noise", "bm3d"]), "--noise", "impulse", "--draws", "1") == 0
    table = rows(folder)
    assert all(float(table[name][0].split(" / ")[0]) > 5 for name in able)
    assert "which impulses move towards grey" in table["noise2noise"][-1]
    assert "impulses replace the signal" in table["bm3d"][-1]


def test_of_pictures_with_impulses_the_centred_ones_are_learned_by_heart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def restore(task: PictureTask) -> torch.Tensor:
        seen.append(task.noisy)
        return task.noisy

    monkeypatch.setattr(deep_prior, "restore", restore)
    clean = np.full((48, 48, 3), 51, dtype=np.uint8)
    Image.fromarray(clean).save(folder / "test" / "a.png")
    assert compare(folder, "dip", "--noise", "impulse", "--draws", "4") == 0
    mean = torch.stack([picture[..., :48, :48] for picture in seen]).mean()
    assert float(mean) == pytest.approx(51 / 255, abs=0.02)  # as measured, it would be 0.35


def test_a_distilled_method_spends_its_budget_on_two_networks_and_goes_on_in_the_second(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = trainings.train

    def stopped(config: TrainingConfig, *arguments: Any, **options: Any) -> object:
        def stop(report: StepReport) -> None:
            if config.objective == "supervised":
                os.kill(os.getpid(), signal.SIGTERM)

        return train(config, *arguments, **options, after_step=stop)

    monkeypatch.setattr(trainings, "train", stopped)
    assert compare(folder, "dbsn", "--draws", "1", "--budget", "steps=6") == 130
    monkeypatch.setattr(trainings, "train", train)
    assert compare(folder, "dbsn", "--draws", "1", "--budget", "steps=6") == 0
    (score, steps, *_, note) = rows(folder)["dbsn"]
    assert steps == "6"
    assert note.startswith("steps=6 shared by its two networks; under-trained")
    first, second = (
        load_checkpoint(folder / "run" / "trainings" / name / "checkpoint.safetensors")
        for name in ("dbsn", "dbsn-distilled")
    )
    assert (first.step, first.config["network"], first.config["objective"]) == (3, "dilated-blindspot", "laine")
    assert (second.step, second.config["network"], second.config["objective"]) == (3, "unet", "supervised")
    whole = folder / "whole"
    assert compare(folder, "dbsn", "--draws", "1", "--budget", "steps=6", "--run", str(whole)) == 0
    undisturbed = load_checkpoint(whole / "trainings" / "dbsn-distilled" / "checkpoint.safetensors")
    for name, tensor in undisturbed.average.items():
        assert torch.equal(tensor, second.average[name])
    assert score in (whole / "comparison.md").read_text(encoding="utf-8")


def test_synthetic_pairs_have_the_noise_of_the_captures_that_they_are_judged_on(folder: Path) -> None:
    (folder / "raws").mkdir()
    for seed, name in enumerate("ab"):
        make_dng(folder / "raws" / f"{name}.dng", sample_mosaic(600, 600, seed=seed), noise_profile=(1e-6, 1e-4))
    photographs = "--pictures", str(folder / "data")
    assert compare(folder, "synthetic-pairs", "--every", "16", dataset="captures", data="raws") == 0
    assert "name a folder with --pictures" in rows(folder)["synthetic-pairs"][-1]
    assert compare(folder, "synthetic-pairs", "--every", "16", *photographs, dataset="captures", data="raws") == 0
    assert 10 < float(rows(folder)["synthetic-pairs"][0]) < 80
    log = load_checkpoint(folder / "run" / "trainings" / "synthetic-pairs" / "checkpoint.safetensors")
    assert log.config["dataset"] == "pictures"


def test_synthetic_pairs_are_judged_on_sidds_blocks(folder: Path) -> None:
    make_scene(folder / "sidd", shape=(300, 310))
    make_blocks(folder / "sidd", images=1, blocks=1, size=256)
    photographs = "--pictures", str(folder / "data")
    assert compare(folder, "synthetic-pairs", "--every", "32", *photographs, dataset="sidd", data="sidd") == 0
    table = rows(folder)
    noisy = float(table["(noisy input)"][0].split(" / ")[0])
    assert float(table["synthetic-pairs"][0].split(" / ")[0]) > noisy - 4


def test_methods_that_train_nothing_need_no_budget_and_no_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "load_baseline", lambda _: lambda noisy, _: noisy)
    places = ["--test", f"t={folder / 'test'}", "--run", str(folder / "run")]
    given = ["compare", "--dataset", "pictures", "--noise", "gauss25", "--width", "4", *places]
    assert main([*given, "--methods", "bm3d"]) == 0
    assert rows(folder)["bm3d"][0] == rows(folder)["(noisy input)"][0]
    assert "<dt>budget</dt><dd>none</dd>" in (folder / "run" / "comparison.html").read_text(encoding="utf-8")
    assert main([*given, "--methods", "bm3d,dip"]) == 2
    assert "budget: it has to be given, as steps=N or minutes=M, for dip" in capsys.readouterr().err
    assert main([*given, "--methods", "bm3d,dip", "--budget", "steps=1"]) == 0
    assert list(rows(folder)) == ["(noisy input)", "bm3d", "dip"]


@pytest.mark.parametrize("dataset", ["pictures", "synthetic"])
def test_pictures_that_are_learned_from_do_not_judge(
    dataset: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(folder, "supervised", "--test", f"t={folder / 'data'}", dataset=dataset) == 2
    assert "is learned from, too" in capsys.readouterr().err
