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
import tifffile
from dng_factory import make_dng, sample_mosaic, xtrans_pattern
from tiny_models import publish_model

from service.cli import main
from training.raw import tags
from training.raw.dng import read_metadata, read_raw
from training.registry import SENSOR_MODELS

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


@pytest.fixture
def other_sensors(workplace: Path) -> Path:
    """Raws of an X-Trans and of a monochrome sensor beside that of a Bayer sensor, and a tiny model for each."""
    for sensor, name in SENSOR_MODELS.items():
        publish_model(workplace / "data" / "models", name, version="99", sensor=sensor)
    (workplace / "out").mkdir()
    for name, pattern in (("fuji", xtrans_pattern(1, 2)), ("mono", "Y")):
        make_dng(
            workplace / f"{name}.dng", sample_mosaic(301, 222), cfa_pattern=pattern, noise_profile=(1e-4, 1e-6),
            active_area=(5, 7, 300, 221), black_level=500, white_level=16000,
        )  # fmt: skip
    return workplace


def test_every_sensor_gets_the_model_that_fits_it(other_sensors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(other_sensors / f"{name}.dng") for name in ("in", "fuji", "mono")]
    assert main(["denoise", *files, "-o", str(other_sensors / "out"), "--json"]) == 0
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [report["model"] for report in reports] == ["tiny@1", "photosite-xtrans@99", "photosite-monochrome@99"]
    for name in ("fuji", "mono"):
        before, after = (read_raw(folder / f"{name}.dng") for folder in (other_sensors, other_sensors / "out"))
        assert (after.metadata.sensor, after.metadata.cfa_pattern) == (
            before.metadata.sensor,
            before.metadata.cfa_pattern,
        )
        inside = before.metadata.active_area.slices
        factor = after.metadata.levels.white_level / before.metadata.levels.white_level
        changed = after.mosaic != factor * before.mosaic
        assert changed[inside].mean() > 0.9
        changed[inside] = False
        assert not changed.any(), "margins stay"


def test_the_mosaic_of_other_sensors_comes_as_tiff_with_its_levels(other_sensors: Path) -> None:
    patterns = {"fuji": bytes("RGB".index(letter) for letter in xtrans_pattern(1, 2)), "mono": None}
    for name, pattern in patterns.items():
        command = ["denoise", str(other_sensors / f"{name}.dng"), "--format", "tiff", "--precision", "keep"]
        assert main([*command, "-o", str(other_sensors / "out")]) == 0
        with tifffile.TiffFile(other_sensors / "out" / f"{name}.tif") as file:
            written = {tag.code: tag.value for tag in file.pages[0].tags}
            assert file.asarray().shape == (301, 222)
        assert written.get(tags.CFA_PATTERN) == pattern
        assert written.get(tags.CFA_REPEAT_PATTERN_DIM) == (None if pattern is None else (6, 6))
        side = 2 if pattern is None else 6
        assert written[tags.BLACK_LEVEL_REPEAT_DIM] == (side, side)
        assert written[tags.BLACK_LEVEL] == side**2 * (500_000, 1000)


def test_strength_0_gives_other_sensors_back_too(other_sensors: Path) -> None:
    for name in ("fuji", "mono"):
        assert main(["denoise", str(other_sensors / f"{name}.dng"), "--strength", "0"]) == 0
        mosaics = [read_raw(other_sensors / f"{name}{suffix}.dng").mosaic for suffix in ("", "-denoised")]
        np.testing.assert_array_equal(*mosaics)


@pytest.mark.parametrize(
    ("model", "name", "reason"),
    [
        ("tiny", "fuji", "takes mosaics of Bayer sensors, and this one is of the kind X-Trans; the model photosite-x"),
        (
            "photosite-xtrans",
            "mono",
            "of X-Trans sensors, and this one is of the kind monochrome; the model photosite-m",
        ),
        (
            "photosite-monochrome",
            "in",
            "of monochrome sensors, and this one is of the kind Bayer; the default model takes it",
        ),
    ],
)
def test_a_model_of_another_sensor_is_refused(
    other_sensors: Path, capsys: pytest.CaptureFixture[str], model: str, name: str, reason: str
) -> None:
    assert main(["denoise", str(other_sensors / f"{name}.dng"), "--model", model]) == 3
    assert reason in capsys.readouterr().err
    assert not (other_sensors / f"{name}-denoised.dng").exists()


def test_inspect_names_the_sensor(other_sensors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(other_sensors / "fuji.dng"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["sensor"], report["cfa_pattern"]) == ("x-trans", xtrans_pattern(1, 2))
    assert main(["inspect", str(other_sensors / "mono.dng")]) == 0
    assert "pattern  monochrome" in capsys.readouterr().out
    assert main(["inspect", str(other_sensors)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[5] for line in table if "Phantom" in line] == ["X-Trans", "RGGB", "monochrome"]


def test_only_models_of_bayer_sensors_can_be_the_default(
    other_sensors: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "default", "photosite-xtrans"]) == 2
    assert "photosite-xtrans@99 is for X-Trans sensors" in capsys.readouterr().err
    assert main(["models", "default"]) == 0
    assert capsys.readouterr().out == "tiny@1\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            ["validate", "--dataset", "mini", "--model", "photosite-xtrans"],
            "model: the model photosite-xtrans@99 is for",
        ),
        (["finetune", "in.dng", "--base", "photosite-monochrome", "--name", "mine"], "base: the model photosite-mono"),
    ],
)
def test_what_knows_bayer_sensors_alone_refuses_other_models(
    other_sensors: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(other_sensors)
    assert main(command) == 2
    assert reason in capsys.readouterr().err


def test_a_burst_of_xtrans_is_refused(other_sensors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_dng(other_sensors / "second.dng", sample_mosaic(301, 222, seed=1), cfa_pattern=xtrans_pattern(1, 2))
    target = str(other_sensors / "out" / "burst.dng")
    assert main(["denoise", "--burst", str(other_sensors / "fuji.dng"), str(other), "-o", target]) == 3
    assert "bursts are merged by whole 2×2 cells" in capsys.readouterr().err
