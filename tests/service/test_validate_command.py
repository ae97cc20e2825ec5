"""`photosite validate`: from the command line to the files."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sidd_factory import make_blocks
from tiny_models import publish_model

from service.cli import main
from training.datasets import validation_sets
from training.datasets.mini_blocks import make_mini_blocks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small set of both kinds of blocks, and a tiny default model."""
    publish_model(tmp_path / "data" / "models")
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "set").mkdir()
    make_blocks(tmp_path / "set", images=2, blocks=1, benchmark=True)
    return tmp_path / "set"


def test_the_report_holds_page_pictures_and_submission(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = dataset.parent / "new" / "report"
    arguments = ["--noise", "2e-3,4e-6", "--report", str(folder), "--json", "--device", "cpu"]
    assert main(["validate", "--dataset", str(dataset), *arguments]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert printed["model"] == "tiny@1"
    assert {path.name for path in folder.iterdir()} == {
        "report.json",
        "report.html",
        "worst-01.png",
        "worst-02.png",
        "SubmitRaw.mat",
        "SubmitRaw.csv",
    }


def test_without_a_report_only_the_table_is_printed(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name for path in dataset.parent.iterdir()}
    cache = dataset.parent / "cache"
    arguments = ["--noise", "2e-3,4e-6", "--model", "tiny@1", "--packing", "stored", "--cache", str(cache)]
    assert main(["validate", "--dataset", str(dataset), *arguments]) == 0
    assert "packing stored" in capsys.readouterr().out
    assert {path.name for path in dataset.parent.iterdir()} - before == {"cache"}


def test_a_wrong_data_set_ends_with_2_and_a_sentence(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / "ValidationGtBlocksRaw.mat").write_bytes(b"half")
    assert main(["validate", "--dataset", str(dataset)]) == 2
    error = capsys.readouterr().err
    assert "ValidationGtBlocksRaw.mat: expected a MATLAB file" in error
    assert "found 4 bytes" in error


def test_a_report_folder_that_cannot_be_made_is_named(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset.parent / "file").write_text("in the way")
    arguments = ["--noise", "2e-3,4e-6", "--report", str(dataset.parent / "file" / "report")]
    assert main(["validate", "--dataset", str(dataset), *arguments]) == 2
    assert "--report:" in capsys.readouterr().err


@pytest.mark.parametrize("pattern", ["S6=XYZW", "GBR", "S6="])
def test_an_unknown_pattern_is_wrong_usage(dataset: Path, pattern: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["validate", "--dataset", str(dataset), "--cfa", pattern])
    assert ended.value.code == 2


def test_a_pattern_can_be_given_for_a_camera(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--noise", "2e-3,4e-6", "--cfa", "GP=GRBG", "--json"]
    assert main(["validate", "--dataset", str(dataset), *arguments]) == 0
    images = json.loads(capsys.readouterr().out)["validation"]["per_image"]
    assert [image["cfa_pattern"] for image in images] == ["RGGB", "GRBG"]


def test_the_set_that_ships_needs_no_files(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation_sets, "make_mini_blocks", partial(make_mini_blocks, 32))
    folder = dataset.parent / "report"
    arguments = ["--noise", "1e-3,1e-6", "--report", str(folder), "--json", "--device", "cpu"]
    assert main(["validate", "--dataset", "mini", *arguments]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["dataset"] == "mini"
    assert [row["iso"] for row in report["validation"]["groups"]] == [100, 400, 1600, 6400, None]
    assert not (folder / "SubmitRaw.mat").exists()
    assert "no submission files" in printed.err


@pytest.mark.slow
def test_the_default_model_improves_the_set_that_ships(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path))
    assert main(["validate", "--dataset", "mini", "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)["validation"]
    gains = [image["mean"]["gain"] for image in found["per_image"]]
    assert min(gains) > 1
    assert found["mean"]["gain"] > 4
