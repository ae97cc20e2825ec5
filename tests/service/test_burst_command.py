"""`photosite denoise --burst`: which files make a burst, where the result goes, and what does not go with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from bursts import NOISE, make_burst
from captured_frames import make_scene
from tiny_models import publish_model

from service.cli import main
from training.raw.dng import read_metadata

if TYPE_CHECKING:
    from pathlib import Path

SHIFTS = [(0, 0), (4, -6), (-2, 8)]


@pytest.fixture
def shoot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a burst of three, beside a tiny default model."""
    publish_model(tmp_path / "data" / "models")
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "shoot").mkdir()
    make_burst(tmp_path / "shoot", [make_scene(300, 320, seed=1)] * 3, SHIFTS)
    return tmp_path / "shoot"


def frames(shoot: Path) -> list[str]:
    """The files of the burst, as arguments."""
    return [str(path) for path in sorted(shoot.glob("?.dng"))]


def test_several_files_become_one(shoot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shoot.parent / "out.dng"
    assert main(["denoise", "--burst", *frames(shoot), "-o", str(out), "--json", "--sidecar"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["file"] == frames(shoot)[0]
    assert [tuple(frame["shift"]) for frame in report["frames"]] == SHIFTS
    assert report["merged_frames"] == pytest.approx(3, abs=0.1)
    assert report["noise"]["shot_noise"][0] == pytest.approx(NOISE.shot_noise[0] / 3, rel=0.05)
    assert read_metadata(out).denoised_by == "photosite"
    assert json.loads(out.with_name("out.dng.json").read_text())["frames"] == report["frames"]


def test_a_folder_is_a_burst_named_after_its_first_file(shoot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", "--burst", str(shoot), "--strength", "0"]) == 0
    assert sorted(path.name for path in shoot.iterdir()) == ["0-denoised.dng", "0.dng", "1.dng", "2.dng"]
    assert "0-denoised.dng  (3 frames, 0.0 MP, " in capsys.readouterr().out


def test_a_folder_may_be_the_outputs_place(shoot: Path) -> None:
    (shoot.parent / "out").mkdir()
    assert main(["denoise", "--burst", *frames(shoot), "-o", str(shoot.parent / "out"), "--format", "tiff"]) == 0
    assert [path.name for path in (shoot.parent / "out").iterdir()] == ["0.tif"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--in-place"], "--in-place and --resume do not go with it"),
        (["--resume"], "--in-place and --resume do not go with it"),
        (["--server", "http://127.0.0.1:9"], "it does not go with --server"),
        (["-o", "SHOOT/1.dng"], "1.dng is an input"),
        (["-o", "SHOOT/no/out.dng"], "there is no folder"),
    ],
)
def test_what_does_not_go_with_a_burst_is_wrong_usage(
    shoot: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    options = [option.replace("SHOOT", str(shoot)) for option in options]
    assert main(["denoise", "--burst", *frames(shoot), *options]) == 2
    assert reason in capsys.readouterr().err


def test_one_file_is_no_burst(shoot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", "--burst", frames(shoot)[0]]) == 2
    assert "--burst: it takes at least two files" in capsys.readouterr().err


def test_a_frame_that_does_not_fit_is_named_and_nothing_written(
    shoot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shoot / "x").mkdir()
    odd = make_burst(shoot / "x", [make_scene(300, 320, seed=1)], [(0, 0)], iso=3200)[0].rename(shoot / "9.dng")
    out = shoot.parent / "out.dng"
    assert main(["denoise", "--burst", *frames(shoot), "-o", str(out)]) == 3
    assert "unsupported_raw: 9.dng does not belong to the burst: its ISO speed is 3200" in capsys.readouterr().err
    assert odd.exists()
    assert not out.exists()
