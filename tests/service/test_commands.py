"""The commands that work on files: outputs, exit codes, messages."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import make_dng, sample_mosaic
from tiny_models import publish_model

from service.cli import main
from training.raw.dng import read_metadata, read_raw

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a raw file, and a tiny default model."""
    publish_model(tmp_path / "data" / "models")
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path / "data"))
    make_dng(tmp_path / "in.dng", sample_mosaic(96, 128), noise_profile=(1e-4, 1e-6))
    return tmp_path


def names(folder: Path) -> set[str]:
    """Files of a folder."""
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_denoise_writes_beside_the_input(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", str(workplace / "in.dng")]) == 0
    assert names(workplace) == {"in.dng", "in-denoised.dng"}
    assert read_metadata(workplace / "in-denoised.dng").denoised_by == "photosite"
    assert "tiny@1" in capsys.readouterr().out


def test_denoise_keeps_names_in_another_folder(workplace: Path) -> None:
    (workplace / "out").mkdir()
    assert main(["denoise", str(workplace / "in.dng"), "-o", str(workplace / "out")]) == 0
    assert names(workplace / "out") == {"in.dng"}


def test_denoise_in_place_replaces_the_input(workplace: Path) -> None:
    before = (workplace / "in.dng").read_bytes()
    assert main(["denoise", str(workplace / "in.dng"), "--in-place"]) == 0
    assert names(workplace) == {"in.dng"}
    assert (workplace / "in.dng").read_bytes() != before


def test_the_input_is_never_overwritten_by_accident(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (workplace / "in.dng").read_bytes()
    assert main(["denoise", str(workplace / "in.dng"), "-o", str(workplace)]) == 2
    assert "--in-place" in capsys.readouterr().err
    assert (workplace / "in.dng").read_bytes() == before


def test_two_files_with_one_output_are_refused_before_anything_is_written(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "other").mkdir()
    make_dng(workplace / "other" / "in.dng", sample_mosaic(96, 128))
    files = [str(workplace / "in.dng"), str(workplace / "other" / "in.dng")]
    (workplace / "out").mkdir()
    assert main(["denoise", *files, "-o", str(workplace / "out")]) == 2
    assert "same output" in capsys.readouterr().err
    assert names(workplace / "out") == set()


def test_a_bad_file_is_named_with_code_and_reason(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "bad.dng").write_text("hello")
    assert main(["denoise", str(workplace / "bad.dng")]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "bad.dng: unreadable_raw: not a DNG" in lines[0]
    assert names(workplace) == {"in.dng", "bad.dng"}


def test_the_rest_of_a_batch_goes_on_after_a_bad_file(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "bad.dng").write_text("hello")
    assert main(["denoise", str(workplace / "bad.dng"), str(workplace / "in.dng"), "--json"]) == 4
    bad, good = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert bad["error"]["code"] == "unreadable_raw"
    assert good["output"] == str(workplace / "in-denoised.dng")
    assert good["model"] == "tiny@1"
    assert good["noise_source"] in {"tag", "estimate"}


def test_a_full_disk_is_not_blamed_on_the_input(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert main(["denoise", str(workplace / "in.dng"), "--json"]) == 1
    printed = capsys.readouterr()
    assert "in-denoised.dng cannot be written: No space left on device" in printed.err
    assert json.loads(printed.out)["error"]["code"] == "storage_unavailable"
    assert names(workplace) == {"in.dng"}


def test_a_pipe_is_no_raw(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(workplace / "pipe.dng")
    assert main(["inspect", str(workplace / "pipe.dng")]) == 3
    assert "unreadable_raw: not a file, but a folder, a device or a pipe" in capsys.readouterr().err


def test_strength_0_gives_the_mosaic_back(workplace: Path) -> None:
    assert main(["denoise", str(workplace / "in.dng"), "--strength", "0"]) == 0
    np.testing.assert_array_equal(read_raw(workplace / "in-denoised.dng").mosaic, read_raw(workplace / "in.dng").mosaic)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--strength", "2"], "strength"),
        (["--model", "nobody"], "there is no model 'nobody'"),
        (["-o", "/no/such/folder/x.dng"], "there is no folder"),
        (["--in-place", "--suffix", "x"], "--in-place"),
    ],
)
def test_wrong_options_are_refused(
    workplace: Path, capsys: pytest.CaptureFixture[str], option: list[str], said: str
) -> None:
    assert main(["denoise", str(workplace / "in.dng"), *option]) == 2
    assert said in capsys.readouterr().err


def test_a_noise_model_that_is_not_two_numbers_is_wrong_usage(workplace: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["denoise", str(workplace / "in.dng"), "--noise", "1e-4"])
    assert ended.value.code == 2


def test_a_missing_file_is_named(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(workplace / "none.dng")]) == 3
    assert "none.dng: unreadable_raw: the file cannot be opened: No such file" in capsys.readouterr().err


def test_inspect_says_what_the_file_is(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(workplace / "in.dng"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["size"], report["cfa_pattern"], report["bits_per_sample"]) == ([128, 96], "RGGB", 14)
    assert report["noise_profile"] == [1e-4, 1e-6]
    assert report["denoisable"] is True


def test_inspect_prints_the_same_for_people(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(workplace / "in.dng")]) == 0
    out = capsys.readouterr().out
    assert "RGGB" in out
    assert "can be denoised" in out


def test_models_list_marks_the_default(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    marked = [line for line in capsys.readouterr().out.splitlines() if line.startswith("*")]
    assert len(marked) == 1
    assert "tiny@1" in marked[0]


def test_models_show_prints_the_manifest(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "tiny"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"


@pytest.mark.parametrize("arguments", [["--help"], ["denoise", "--help"], ["inspect", "IN"]])
def test_help_and_inspect_import_no_torch(workplace: Path, arguments: list[str]) -> None:
    arguments = [str(workplace / "in.dng") if argument == "IN" else argument for argument in arguments]
    program = (
        "import sys; from service.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
