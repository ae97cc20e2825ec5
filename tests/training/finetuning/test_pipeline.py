"""Fine-tuning from files to a new version, with a tiny network."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from captured_frames import make_scene
from new_camera import Camera
from PIL import Image
from tiny_models import publish_model

from training.checkpoint import load_checkpoint
from training.engines import load_engine
from training.errors import ConfigError
from training.finetuning.options import FinetuneOptions
from training.finetuning.pipeline import finetune
from training.finetuning.release import publish_finetuned
from training.finetuning.report import describe, load_report, save_report
from training.noise import NoiseModel
from training.raw.dng import read_raw
from training.raw.image import Rectangle
from training.raw.render import choose_rendering, render_view
from training.registry import Registry
from training.run.journal import read_log

if TYPE_CHECKING:
    from pathlib import Path

    from training.finetuning.report import FinetuneReport

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Camera(shot_noise=2e-3, read_noise=1e-5)
OPTIONS = FinetuneOptions(steps=4, batch_size=1, patch_size=32)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    publish_model(tmp_path / "models")
    return Registry([tmp_path / "models"])


@pytest.fixture
def captures(tmp_path: Path) -> list[Path]:
    return [CAMERA.capture(tmp_path / f"{n}.dng", make_scene(400, 560, seed=n), seed=n) for n in range(2)]


def test_the_verdict_can_be_looked_at(captures: list[Path], registry: Registry, tmp_path: Path) -> None:
    report = run(captures, registry, tmp_path / "run")
    assert [drawn["capture"] for drawn in report.pictures] == ["0.dng", "1.dng"]
    for drawn, path in zip(report.pictures, captures, strict=True):
        x, y, width, height = drawn["crop"]
        raw = read_raw(path)
        area = Rectangle(y, x, y + height, x + width)
        assert raw.metadata.visible_area.intersection(area) == area
        pictures = {
            stage: np.asarray(Image.open(tmp_path / "run" / name), dtype=float)
            for stage, name in drawn["files"].items()
        }
        assert [each.shape for each in pictures.values()] == [(height, width, 3)] * 3
        wanted = render_view(raw, choose_rendering(raw), area, max(width, height))
        errors = {stage: float(np.abs(picture - wanted).mean()) for stage, picture in pictures.items()}
        assert errors["noisy"] < errors["base"], "only the noisy one is the capture itself"
        assert errors["noisy"] < errors["new"]


class CancelledError(Exception):
    """What a cancelled job raises."""


def run(captures: list[Path], registry: Registry, folder: Path, **changes: Any) -> FinetuneReport:
    progress = changes.pop("progress", None)
    options = dataclasses.replace(OPTIONS, **changes)
    return finetune(captures, registry.resolve("tiny"), folder, options, device="cpu", progress=progress)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoint.safetensors").average


def test_a_run_ends_with_a_candidate_that_is_not_its_base_and_a_report(
    captures: list[Path], registry: Registry, tmp_path: Path
) -> None:
    told: list[tuple[str, float, dict[str, float]]] = []
    report = run(captures, registry, tmp_path / "run", progress=lambda *news: told.append(news))
    assert (report.base, report.objective, report.training["steps"]) == ("tiny@1", "recorrupted", 4)
    assert report.training["objective_options"]["noise"] == "own"
    assert [len(capture["sha256"]) for capture in report.captures] == [64, 64]
    assert list(report.gains) == ["recorrupted", "twice the noise", "stein", "neighbours"]
    assert report == load_report(tmp_path / "run")
    assert json.loads(json.dumps(report.to_json())) == report.to_json()
    assert f"than {report.base}" in describe(report)
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["read", "noise", "train", "judge", "draw"]
    steps = [figures for stage, _, figures in told if stage == "train" and "loss" in figures]
    assert [(each["step"], each["steps"]) for each in steps] == [(1, 4), (2, 4), (3, 4)]
    assert all(0 <= each["eta_s"] < 60 for each in steps)
    assert [step for step, _ in report.curve] == [1, 2, 3, 4]
    assert [each["curve"] for each in steps] == [report.curve[:done] for done in (1, 2, 3)]
    for stage, fewest in (("read", 2), ("noise", 6), ("judge", 9)):
        shares = [share for told_of, share, _ in told if told_of == stage]
        assert len(shares) >= fewest
        assert shares == sorted(shares)
        assert max(shares) <= 1


def test_a_residual_unet_is_fine_tuned_from_its_own_patch_size_to_a_new_version(
    captures: list[Path], tmp_path: Path
) -> None:
    publish_model(tmp_path / "models", residual=True)
    models = Registry([tmp_path / "models"])
    report = run(captures, models, tmp_path / "run", patch_size=None, batch_size=None)
    made = publish_finetuned(tmp_path / "run", tmp_path / "models", "mine", known=models)
    manifest, base = made.manifest(), models.resolve("tiny").manifest()
    assert (manifest.network, manifest.network_options, manifest.stride) == (base.network, base.network_options, 8)
    assert report.training["patch_size"] % 8 == 0
    assert report.training["batch_size"] >= 1
    assert manifest.parent == "tiny@1"
    planes = np.full((4, 40, 40), 0.2, dtype=np.float32)
    noise = NoiseModel.uniform(shot_noise=CAMERA.shot_noise, read_noise=CAMERA.read_noise)
    assert load_engine(made, "cpu").denoise_tile(planes, noise).shape == planes.shape


def test_cancelled_and_called_again_it_ends_with_the_same_weights_and_log(
    captures: list[Path], registry: Registry, tmp_path: Path
) -> None:
    whole = run(captures, registry, tmp_path / "whole")

    def cancel(stage: str, _share: float, figures: dict[str, float]) -> None:
        if stage == "train" and figures.get("step") == 3 and "loss" in figures:
            raise CancelledError

    with pytest.raises(CancelledError):
        run(captures, registry, tmp_path / "cut", progress=cancel)
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.safetensors").step == 3
    cut = run(captures, registry, tmp_path / "cut")
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, weights(tmp_path / "cut")[name]), name
    assert cut.gains == whole.gains
    lines = [[line["loss"] for line in read_log(tmp_path / each / "log.jsonl")] for each in ("whole", "cut")]
    assert lines[0] == lines[1]


def test_cancelled_while_it_is_judged_it_is_judged_again(
    captures: list[Path], registry: Registry, tmp_path: Path
) -> None:
    def cancel(stage: str, share: float, _figures: dict[str, float]) -> None:
        if stage == "judge" and share > 0.5:
            raise CancelledError

    with pytest.raises(CancelledError):
        run(captures, registry, tmp_path / "run", progress=cancel)
    with pytest.raises(ConfigError, match="holds no finished fine-tuning"):
        load_report(tmp_path / "run")
    before = weights(tmp_path / "run")
    assert run(captures, registry, tmp_path / "run").training["steps"] == 4
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(tmp_path / "run").items())


def test_a_budget_in_minutes_survives_a_cancel(captures: list[Path], registry: Registry, tmp_path: Path) -> None:
    def cancel(_stage: str, _share: float, figures: dict[str, float]) -> None:
        if figures.get("step") == 1 and "loss" in figures:
            raise CancelledError

    with pytest.raises(CancelledError):
        run(captures, registry, tmp_path / "run", steps=None, minutes=0.05, progress=cancel)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").step == 1
    gone_on_with = run(captures, registry, tmp_path / "run", steps=None, minutes=0.05).training
    assert gone_on_with["steps"] > 1
    assert gone_on_with["seconds"] < 30


def test_another_fine_tuning_does_not_go_on_in_its_folder(
    captures: list[Path], registry: Registry, tmp_path: Path
) -> None:
    run(captures, registry, tmp_path / "run", steps=1)
    with pytest.raises(ConfigError, match="a fine-tuning with other options"):
        run(captures, registry, tmp_path / "run", steps=2)
    with pytest.raises(ConfigError, match="a fine-tuning with other captures"):
        run(captures[:1], registry, tmp_path / "run", steps=1)


def test_two_frames_of_one_scene_teach_by_each_other(registry: Registry, tmp_path: Path) -> None:
    scene = make_scene(400, 560)
    paths = [CAMERA.capture(tmp_path / f"{n}.dng", scene, seed=n) for n in range(2)]
    report = run(paths, registry, tmp_path / "run", steps=1)
    assert (report.objective, report.judge) == ("noise2noise", "second frame")
    assert [capture["other_frame"] for capture in report.captures] == ["1.dng", "0.dng"]


@pytest.mark.parametrize("objective", ["neighbor2neighbor", "blind2unblind"])
def test_other_objectives_can_be_asked_for(
    captures: list[Path], registry: Registry, tmp_path: Path, objective: Any
) -> None:
    report = run(captures, registry, tmp_path / "run", steps=1, objective=objective, patch_size=64)
    assert report.objective == objective


def test_noise2noise_wants_pairs(captures: list[Path], registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="noise2noise wants two frames of one static scene"):
        run(captures, registry, tmp_path / "run", objective="noise2noise")


def test_captures_too_small_are_refused_with_the_reason(registry: Registry, tmp_path: Path) -> None:
    camera = dataclasses.replace(CAMERA, writes_profile=True)  # which cannot be read off so small a picture
    small = [camera.capture(tmp_path / "small.dng", make_scene(64, 64), seed=0)]
    with pytest.raises(ConfigError, match=r"none of the 1 files can be used; small\.dng: it has 64×64 photosites"):
        run(small, registry, tmp_path / "run", patch_size=None)
    narrow = [camera.capture(tmp_path / "narrow.dng", make_scene(180, 180), seed=0)]
    with pytest.raises(ConfigError, match="held out to judge on"):
        run(narrow, registry, tmp_path / "run2", patch_size=None)


def test_patches_and_batches_are_chosen_where_nobody_asks(
    captures: list[Path], registry: Registry, tmp_path: Path
) -> None:
    report = run(captures, registry, tmp_path / "run", steps=1, batch_size=None, patch_size=None)
    assert (report.training["patch_size"], report.training["batch_size"]) == (96, 4)
    camera = dataclasses.replace(CAMERA, writes_profile=True)
    small = [camera.capture(tmp_path / "s.dng", make_scene(300, 300), seed=0)]
    report = run(small, registry, tmp_path / "small", steps=1, batch_size=None, patch_size=None)
    assert report.training["patch_size"] == 64


def test_a_bad_file_and_a_copy_are_left_out_and_named(captures: list[Path], registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no raw")
    copy = tmp_path / "copy.dng"
    copy.write_bytes(captures[0].read_bytes())
    report = run([*captures, tmp_path / "notes.txt", copy], registry, tmp_path / "run", steps=1)
    assert len(report.captures) == 2
    assert any(each.startswith("notes.txt: ") for each in report.skipped)
    assert "copy.dng: the same file as 0.dng" in report.skipped


def test_a_new_version_knows_its_parent_its_captures_and_its_figures(
    captures: list[Path], registry: Registry, tmp_path: Path
) -> None:
    report = run(captures, registry, tmp_path / "run", steps=2)
    folder = tmp_path / "models"
    references = [publish_finetuned(tmp_path / "run", folder, "mine") for _ in range(2)]
    assert [str(each) for each in references] == ["mine@1", "mine@2"]
    manifest = references[0].manifest()
    parent = registry.resolve("tiny").manifest()
    assert (manifest.parent, manifest.objective, manifest.halo) == ("tiny@1", "recorrupted", parent.halo)
    assert manifest.training["captures"] == [capture["sha256"] for capture in report.captures]
    assert manifest.metrics["finetuning"]["gains"] == report.gains
    assert "2 noisy captures (Phantom New Camera)" in manifest.training_data
    assert manifest.golden_tile["samples"] != parent.golden_tile.get("samples")
    load_engine(references[1], "cpu")  # checks the golden tile
    with pytest.raises(ConfigError, match="exists"):
        publish_finetuned(tmp_path / "run", folder, "mine", "1")


@pytest.mark.parametrize("better", [True, False])
def test_only_a_better_model_becomes_the_default(
    captures: list[Path], registry: Registry, tmp_path: Path, better: bool
) -> None:
    report = run(captures, registry, tmp_path / "run", steps=1)
    save_report(dataclasses.replace(report, better=better), tmp_path / "run")
    publish_finetuned(tmp_path / "run", tmp_path / "models", "mine", default=True)
    assert registry.resolve().name == ("mine" if better else "tiny")


def test_error_ratios_follow_the_gain(captures: list[Path], registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "models" / "tiny" / "1" / "manifest.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "error_ratios": [[1e-4, 0.9], [1e-2, 0.4]]}))
    report = run(captures, registry, tmp_path / "run", steps=1)
    gains = {name: {**gain, "db": 6.0206} for name, gain in report.gains.items()}
    save_report(dataclasses.replace(report, gains=gains), tmp_path / "run")
    manifest = publish_finetuned(tmp_path / "run", tmp_path / "models", "mine").manifest()
    np.testing.assert_allclose(manifest.error_ratios, [[1e-4, 0.45], [1e-2, 0.2]], rtol=1e-3)


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"steps": 1, "minutes": 1.0}, "steps or minutes"),
        ({"steps": 0}, "steps: got 0"),
        ({"objective": "magic"}, "there is no 'magic'"),
        ({"held_out_share": 0.9}, "held_out_share"),
        ({"pull": -1.0}, "pull"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(wishes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        FinetuneOptions(**wishes)
