"""`photosite finetune`: from the command line to a new version."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from captured_frames import make_scene
from new_camera import Camera
from tiny_models import publish_model

from service.cli import main
from training.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Captures in `captures`, and a tiny model to start from."""
    (tmp_path / "captures").mkdir()
    camera = Camera(shot_noise=2e-3, read_noise=1e-5, writes_profile=True)
    for index in range(2):
        camera.capture(tmp_path / "captures" / f"{index}.dng", make_scene(300, 420, seed=index), seed=index)
    publish_model(tmp_path / "installed" / "models")
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path / "installed"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finetune(*options: str) -> int:
    return main(["finetune", *options, "--device", "cpu"])


def test_a_folder_of_captures_becomes_a_new_version(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["captures", "--base", "tiny@1", "--name", "mine", "--steps", "1"]
    assert finetune(*options) == 0
    printed = capsys.readouterr().out
    assert "than tiny@1:" in printed
    assert printed.endswith("published mine@1\n")
    assert json.loads((folder / "runs" / "mine" / "report.json").read_text())["base"] == "tiny@1"
    assert finetune(*options, "--run", "runs/mine", "--default") == 0  # judged again, published again
    printed = capsys.readouterr().out
    registry = Registry([folder / "installed" / "models"])
    better = json.loads((folder / "runs" / "mine" / "report.json").read_text())["better"]
    wanted = ("mine", "it is the default model now") if better else ("tiny", "the default model stays what it was")
    assert registry.resolve().name == wanted[0]
    assert printed.endswith(f"published mine@2\n{wanted[1]}\n")


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["nowhere", "--base", "tiny", "--name", "mine"], 2, "there is no file or folder nowhere"),
        (["captures", "--base", "nobody", "--name", "mine"], 2, "there is no model 'nobody'"),
        (["captures", "--base", "tiny", "--name", "Not A Name"], 2, "name: 'Not A Name'"),
        (["captures", "--base", "tiny", "--name", "mine", "--steps", "0"], 2, "steps: got 0"),
        (["captures", "--base", "tiny", "--name", "mine", "--objective", "noise2noise"], 2, "two frames of one static"),
        (["installed", "--base", "tiny", "--name", "mine"], 2, "none of the 3 files can be used"),
    ],
)
def test_what_cannot_be_done_is_named(
    folder: Path, options: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune(*options) == code
    assert sentence in capsys.readouterr().err
    assert Registry([folder / "installed" / "models"]).next_version("mine") == "1"


def test_an_empty_folder_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    assert finetune("empty", "--base", "tiny", "--name", "mine") == 2
    assert "there are no files in empty" in capsys.readouterr().err


def test_two_budgets_are_wrong_usage(folder: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        finetune("captures", "--base", "tiny", "--name", "mine", "--steps", "1", "--minutes", "1")
    assert ended.value.code == 2


def test_help_imports_no_torch() -> None:
    script = "import sys; from service.cli import main\ntry: main(['finetune', '--help'])\nexcept SystemExit: pass\n"
    script += "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'scipy', 'h5py'}))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("[]\n")
    assert "--objective" in run.stdout
