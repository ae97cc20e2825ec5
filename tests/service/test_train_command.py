"""`photosite train`: from the command line to a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from dng_factory import make_dng, sample_mosaic
from PIL import Image
from sidd_factory import make_scene
from tiny_models import publish_model

from service.cli import main
from training.checkpoint import load_checkpoint
from training.train import main as train_main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture in `data`, and a tiny model to start from."""
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(tmp_path / "data" / "a.png")
    publish_model(tmp_path / "installed" / "models")
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path / "installed"))
    return tmp_path


def train(folder: Path, *options: str, preset: str = "supervised-synthetic", data: str = "data") -> int:
    paths = ["--data", str(folder / data), "--run", str(folder / "run")]
    small = ["--base", "tiny", "--patch-size", "32", "--batch-size", "1", "--device", "cpu"]
    return main(["train", "--preset", preset, *paths, *small, *options])


def state(folder: Path) -> Any:
    return load_checkpoint(folder / "run" / "checkpoint.safetensors")


def test_a_run_starts_from_a_published_model_and_remembers_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--steps", "1", "--learning-rate", "1e-9") == 0
    checkpoint = state(folder)
    assert (checkpoint.step, checkpoint.config["base"]) == (1, "tiny@1")
    assert checkpoint.config["network_options"] == {"out_channels": 4, "width": 4}
    torch.manual_seed(1)
    base = folder / "installed" / "models" / "tiny" / "1" / "model.safetensors"
    from safetensors.torch import load_file

    for name, tensor in load_file(base).items():
        torch.testing.assert_close(checkpoint.average[name], tensor, atol=1e-7, rtol=1e-6)
    assert "1 pictures; nothing held out" in capsys.readouterr().err


def test_from_a_model_the_learning_rate_is_a_tenth_of_the_presets(folder: Path) -> None:
    assert train(folder, "--steps", "1") == 0
    assert state(folder).config["learning_rate"] == pytest.approx(1e-4)


def test_a_run_is_resumed_with_the_same_wishes_or_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--steps", "2") == 0
    assert train(folder, "--steps", "2", "--resume") == 0
    assert train(folder, "--resume") == 0
    assert train(folder, "--steps", "3", "--seed", "4", "--resume") == 2
    assert "was made with another steps, seed" in capsys.readouterr().err
    assert train(folder, "--steps", "2") == 2
    assert "already holds a checkpoint" in capsys.readouterr().err


def test_the_dry_run_needs_no_data_and_says_what_it_wants(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--preset", "n2n-synthetic", "--dry-run", "--steps", "100", "--device", "cpu"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["objective"], printed["steps"], printed["patch_size"]) == ("neighbor2neighbor", 100, 128)
    plan = printed["plan"]
    assert plan["data"].startswith("missing: data: n2n-synthetic wants a folder of photographs")
    assert (plan["steps"], plan["patches"], plan["epochs"]) == (100, 800, None)
    assert 0.1 < plan["memory_gib"] < 8
    assert plan["hours"] == pytest.approx(100 * plan["seconds_per_step"] / 3600, abs=0.01)


def test_the_dry_run_looks_at_the_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["plan"]["data"] == f"1 files in {folder / 'data'}"
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("preset", "sentence"),
    [
        ("supervised-sidd", "there is no folder"),
        ("supervised-synthetic", "there is no folder"),
        ("captures", "wants a folder of raw files"),
    ],
)
def test_missing_data_is_2_and_named(
    folder: Path, preset: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder, preset=preset, data="nowhere") == 2
    assert sentence in capsys.readouterr().err
    assert not (folder / "run").exists()


def test_a_half_downloaded_data_set_is_2_before_any_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = make_scene(folder / "sidd")
    path = next(scene.glob("*_GT_RAW_010.MAT"))
    path.write_bytes(path.read_bytes()[:700])
    assert train(folder, preset="supervised-sidd", data="sidd") == 2
    error = capsys.readouterr().err
    assert f"{path}: expected" in error
    assert "found" in error
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--patch-size", "33"], "patch_size: got 33, wanted a multiple of 32"),
        (["--precision", "float16"], "float16 needs CUDA"),
        ([], "already holds a checkpoint"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_data_is_decoded(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    def decode(*_: object) -> None:
        pytest.fail("the data was opened")

    if not options:
        assert train(folder, "--steps", "1") == 0
    monkeypatch.setattr("training.run.sources.open_sources", decode)
    assert train(folder, "--steps", "1", *options) == 2
    assert sentence in capsys.readouterr().err
    if options:
        assert train(folder, "--dry-run", *options) == 2
        assert sentence in capsys.readouterr().err


def test_patience_wants_something_to_judge_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--steps", "1", "--patience", "2") == 2
    assert "is held out to judge on; try --held-out-share" in capsys.readouterr().err
    assert not (folder / "run").exists()


def test_a_run_that_patience_ended_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.full((128, 128, 3), 90, np.uint8)).save(folder / "data" / "b.png")
    options = ["--held-out-share", "0.5", "--validate-steps", "1", "--patience", "1", "--learning-rate", "1e-30"]
    assert train(folder, "--steps", "9", *options) == 0
    assert "no better since step 1: ended after 2 of 9 steps" in capsys.readouterr().err


def test_the_dry_run_tells_wrong_data_from_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--dry-run", data="nowhere") == 0
    assert json.loads(capsys.readouterr().out)["plan"]["data"].startswith("unusable: data: there is no folder")


def test_half_a_picture_is_2_and_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "data" / "b.png"
    path.write_bytes((folder / "data" / "a.png").read_bytes()[:5000])
    assert train(folder) == 2
    assert f"{path}: expected a picture, found 5000 bytes" in capsys.readouterr().err


def test_a_stopped_run_is_130_and_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.run.batches import draw_batch

    def draw(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return draw_batch(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("training.run.batches.draw_batch", draw)
        assert train(folder, "--steps", "9") == 130
    assert "stopped after 1 of 9 steps; --resume goes on" in capsys.readouterr().err
    assert train(folder, "--resume") == 0
    assert state(folder).step == 9


def test_the_papers_preset_trains_on_sidd(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_scene(folder / "sidd", shape=(140, 150))
    options = ["--data", str(folder / "sidd"), "--run", str(folder / "run"), "--patch-size", "64", "--device", "cpu"]
    assert main(["train", "--preset", "n2n-sidd", *options, "--steps", "2", "--batch-size", "1"]) == 0
    assert "2 frames; nothing held out to judge on" in capsys.readouterr().err
    config = state(folder).config
    assert (config["decay_steps"], config["optimiser"], config["input_normalisation"]) == (1, "adam", "none")
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["lr"] for line in lines] == [5e-5]  # halved after the first of two steps


def test_a_disputed_bayer_pattern_can_be_given_and_is_remembered(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_scene(folder / "sidd", shape=(140, 150))
    run = [*("--preset", "n2n-sidd"), *("--run", str(folder / "run")), *("--patch-size", "64"), *("--batch-size", "1")]
    options = ["train", *run, "--data", str(folder / "sidd"), "--steps", "1", "--device", "cpu"]
    assert main([*options, "--cfa", "S6=GBRG", "--cfa", "RGGB"]) == 0
    assert state(folder).config["cfa_patterns"] == {"S6": "GBRG", "": "RGGB"}
    assert main([*options, "--resume", "--cfa", "S6=GRBG"]) == 2
    assert "made with another cfa_patterns" in capsys.readouterr().err
    assert train(folder, "--steps", "1", "--cfa", "S6=GBRG") == 2
    assert "cfa: supervised-synthetic takes Bayer patterns from its files" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train(folder, "--cfa", "S6=RGBG")
    assert "is not [CAMERA=]PATTERN" in capsys.readouterr().err


def test_a_run_folder_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--preset", "supervised-synthetic", "--data", str(folder / "data")]) == 2
    assert "--run" in capsys.readouterr().err


def test_two_budgets_are_wrong_usage(folder: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        train(folder, "--steps", "1", "--minutes", "1")
    assert ended.value.code == 2


def test_minutes_become_steps(folder: Path) -> None:
    assert train(folder, "--minutes", "0.002") == 0
    checkpoint = state(folder)
    assert checkpoint.config["minutes"] == 0.002
    assert 1 <= checkpoint.step == checkpoint.config["steps"] < 200


def test_captures_train_a_model_by_themselves(folder: Path) -> None:
    (folder / "captures").mkdir()
    for index in range(2):
        path = folder / "captures" / f"{index}.dng"
        make_dng(path, sample_mosaic(160, 180, seed=index), black_level=200, noise_profile=(1e-6, 1e-4))
    assert train(folder, "--steps", "2", preset="captures", data="captures") == 0
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "held_out_loss" in line] == [2]
    assert len(list((folder / "run" / "pictures").iterdir())) == 1
    assert state(folder).progress["noise_range"]["shot_noise"] == pytest.approx([1e-6, 1e-6])


def test_the_library_alone_has_the_same_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--preset", "supervised-synthetic", "--dry-run", "--seed", "9", "--patch-size", "32"]
    base = ["--base", "tiny", "--registry", str(folder / "installed" / "models")]
    assert train_main([*options, *base]) == 0
    assert json.loads(capsys.readouterr().out)["base"] == "tiny@1"
    assert main(["train", *options, "--base", "tiny"]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 9


def test_help_imports_no_torch() -> None:
    script = "import sys; from service.cli import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass\n"
    script += "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'scipy', 'h5py'}))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("[]\n")
    assert "--preset" in run.stdout


def test_a_run_is_resumed_by_as_many_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder, "--steps", "1") == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert train(folder, "--resume") == 2
    assert "was made with another processes" in capsys.readouterr().err
