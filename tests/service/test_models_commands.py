"""`photosite models publish` and `default`: from a run to a model that serves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from dng_factory import make_dng, sample_mosaic
from PIL import Image
from sidd_factory import make_blocks
from tiny_models import publish_model

from service.cli import main
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import TrainingConfig
from training.datasets.synthetic import SyntheticRaws
from training.loop import train
from training.noise import NoiseModel
from training.raw.cells import CELLS
from training.registry import Registry, default_registry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
WORDS = ["--description", "For tests.", "--training-data", "nothing"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run with the papers' plain input, a photograph, SIDD's blocks, and an installation without models."""
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path / "installed"))
    make_run(tmp_path / "run", input_normalisation="none")
    (tmp_path / "pictures").mkdir()
    rows = np.add.outer(np.arange(640), np.arange(640))[..., None] * [0.2, 0.15, 0.1]
    Image.fromarray(rows.astype(np.uint8)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "blocks").mkdir()
    make_blocks(tmp_path / "blocks", images=1, blocks=2)
    return tmp_path


def make_run(folder: Path, **changes: Any) -> None:
    """Train two steps."""
    options: dict[str, Any] = {"preset": "test", "objective": "supervised", "network_options": {"width": 4}}
    config = TrainingConfig(**{**options, **changes}, patch_size=32, batch_size=1, steps=2)
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    data = SyntheticRaws(pictures=(picture,), patch_size=32, scales=(1.0,), cell=CELLS[config.sensor])
    train(config, data, folder, resume=False, device=CPU)


def publish(folder: Path, *options: str, name: str = "mine") -> int:
    return main(["models", "publish", str(folder / "run"), "--name", name, *WORDS, *options])


def manifest(folder: Path, version: str = "1", name: str = "mine") -> Any:
    return Registry([folder / "installed" / "models"]).resolve(f"{name}@{version}").manifest()


def test_a_method_that_needs_more_than_its_network_is_not_published(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"objective": "noisier2noise", "preset": "compare", "network_options": {"width": 4}}
    other = folder / "other"
    make_run(other / "run", **options)
    assert publish(other, "--pictures", str(folder / "pictures")) == 2
    assert "what noisier2noise made there cannot be served" in capsys.readouterr().err
    assert not list((folder / "installed" / "models").glob("mine/*/manifest.json"))


def test_a_model_for_other_sensors_is_published_but_is_no_default(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(folder / "other" / "run", sensor="monochrome")
    assert publish(folder / "other", "--pictures", str(folder / "pictures"), "--default") == 2
    assert "mine@1 is for monochrome sensors; this is for Bayer sensors alone" in capsys.readouterr().err
    assert manifest(folder).sensor == "monochrome"
    assert default_registry(folder / "installed" / "models").resolve().name == "photosite"


def test_a_run_measured_on_pictures_becomes_a_model_that_serves(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(folder, "--pictures", str(folder / "pictures"), "--default") == 0
    assert "published mine@1" in capsys.readouterr().out
    known = manifest(folder)
    assert (known.input_normalisation, known.network_options) == (
        "none",
        {"in_channels": 4, "out_channels": 4, "width": 4},
    )
    assert (known.stride, known.receptive_field) == (32, 160)
    assert known.halo <= 160
    assert known.halo % 16 == 0
    assert len(known.error_ratios) == len(known.metrics["psnr_by_shot_noise"]) == 7
    assert known.training["steps"] == 2
    assert known.training["torch"] == torch.__version__
    low, high = known.noise_range["shot_noise"]
    assert 1e-5 * 0.999 <= low < high <= 1.2e-2
    capture = make_dng(folder / "a.dng", sample_mosaic(70, 90), noise_profile=(1e-4, 1e-6))
    assert main(["denoise", str(capture), "-o", str(folder / "b.dng"), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "mine@1"


def test_a_model_without_measured_ratios_is_served_and_scored(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known_noise = NoiseModel.uniform(shot_noise=2e-3, read_noise=4e-6)  # these blocks are too small to estimate it
    monkeypatch.setattr("training.validate.image_noise", lambda *_: (known_noise, "request"))
    assert publish(folder, "--dataset", str(folder / "blocks")) == 0
    assert "published mine@1" in capsys.readouterr().out
    known = manifest(folder)
    assert (known.error_ratios, known.halo) == ([], known.receptive_field)
    assert known.metrics["sidd"]["mean"]["psnr"] > 10
    capture = make_dng(folder / "a.dng", sample_mosaic(70, 90))
    options = ["--model", "mine", "-o", str(folder / "b.dng"), "--device", "cpu", "--noise", "2e-3,4e-6"]
    assert main(["denoise", str(capture), *options]) == 0


def test_versions_count_up_and_never_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = ["--pictures", str(folder / "pictures")]
    publish_model(folder / "installed" / "models", "mine", version="9")
    assert publish(folder, *pictures, "--version", "9") == 2
    assert "mine@9 exists, and versions never change; the next is 10" in capsys.readouterr().err
    assert publish(folder, *pictures) == 0
    assert "published mine@10" in capsys.readouterr().out


def test_the_default_is_what_was_published_even_if_a_newer_version_exists(folder: Path) -> None:
    models = folder / "installed" / "models"
    publish_model(models, "mine", version="9")
    assert publish(folder, "--pictures", str(folder / "pictures"), "--version", "8", "--default") == 0
    assert str(Registry([models]).resolve()) == "mine@8"
    assert publish(folder, "--pictures", str(folder / "pictures"), "--version", "10", "--default") == 0
    assert (models / "default").read_text(encoding="utf-8") == "mine\n"  # and whatever follows it


def test_a_shipped_models_version_cannot_be_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish(folder, "--pictures", str(folder / "pictures"), "--version", "1", name="photosite") == 2
    assert "photosite@1 exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "a model is measured first"),
        (["--pictures", "{}/nowhere"], "pictures: none in"),
        (["--dataset", "{}/pictures"], "expected ValidationNoisyBlocksRaw.mat"),
        (["--pictures", "{}/pictures", "--every", "0"], "every: got 0"),
        (["--pictures", "{}/pictures", "--version", "../1"], "version: '../1' is not"),
    ],
)
def test_what_cannot_be_published_is_2_and_leaves_nothing(
    folder: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(folder, *(option.format(folder) for option in options)) == 2
    assert sentence in capsys.readouterr().err
    assert not list((folder / "installed").rglob("*.json"))
    assert not list((folder / "installed").rglob("mine"))


def test_a_wrong_data_set_is_told_before_pictures_are_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.datasets.held_out_raws.clean_planes", lambda _: pytest.fail("a picture was measured"))
    assert publish(folder, "--pictures", str(folder / "pictures"), "--dataset", str(folder / "pictures")) == 2
    assert "expected ValidationNoisyBlocksRaw.mat" in capsys.readouterr().err


def test_a_run_without_a_checkpoint_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run" / "checkpoint.safetensors").unlink()
    assert publish(folder, "--pictures", str(folder / "pictures")) == 2
    assert "checkpoint.safetensors cannot be read" in capsys.readouterr().err
    assert not list((folder / "installed").rglob("mine"))


def test_the_best_of_a_run_that_watched_for_it_is_published(folder: Path) -> None:
    last = load_checkpoint(folder / "run" / "checkpoint.safetensors")
    average = {name: tensor * 1.001 for name, tensor in last.average.items()}
    best = Checkpoint(1, last.config, last.network, average, last.optimiser, last.progress)
    save_checkpoint(folder / "run" / "best.safetensors", best)
    assert publish(folder, "--pictures", str(folder / "pictures")) == 0
    assert manifest(folder).training["steps"] == 1


def test_the_default_is_printed_and_chosen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_model(folder / "other", "tiny")
    (folder / "installed").mkdir(exist_ok=True)
    (folder / "other").rename(folder / "installed" / "models")
    (folder / "installed" / "models" / "default").unlink()
    assert main(["models", "default"]) == 0
    assert capsys.readouterr().out.startswith("photosite@")
    assert main(["models", "default", "tiny@1"]) == 0
    assert main(["models", "default"]) == 0
    assert capsys.readouterr().out == "tiny@1\ntiny@1\n"
    assert main(["models", "default", "huge"]) == 2
    assert "there is no model 'huge'" in capsys.readouterr().err
    assert main(["models", "default"]) == 0
    assert capsys.readouterr().out == "tiny@1\n"


def test_a_model_can_be_published_into_any_registry(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--pictures", str(folder / "pictures"), "--registry", str(folder / "mine"), "--default"]
    assert publish(folder, *options) == 0
    assert "published mine@1" in capsys.readouterr().out
    assert (folder / "mine" / "default").read_text(encoding="utf-8") == "mine\n"
