"""`photosite denoise` and `inspect` on folders, and what can be chosen about the output."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from dng_factory import encode_jpeg, make_dng, sample_mosaic
from tiny_models import publish_model
from vendor_factory import make_arw, make_cr2, make_nef, make_pef

from service.cli import main
from service.commands.batch import BatchItem, in_flight
from service.commands.results import FileResult
from training.errors import ConfigError
from training.raw import tags
from training.raw.dng import read_raw
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (96, 128)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of raws in folders, beside a tiny default model."""
    publish_model(tmp_path / "data" / "models")
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path / "data"))
    shoot = tmp_path / "shoot"
    (shoot / "day 2").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    make_dng(shoot / "a.dng", sample_mosaic(*SHAPE), noise_profile=(1e-4, 1e-6))
    make_dng(shoot / "day 2" / "b.DNG", sample_mosaic(*SHAPE), noise_profile=(1e-4, 1e-6))
    (shoot / "notes.txt").write_text("no raw")
    (shoot / ".hidden.dng").write_bytes(b"no raw")
    return tmp_path


def files_of(folder: Path) -> set[str]:
    """Every file at any depth."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_means_all_raws_in_it_at_any_depth(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", str(workplace / "shoot"), "-o", str(workplace / "out")]) == 0
    assert files_of(workplace / "out") == {"a.dng", "day 2/b.dng"}
    assert "photosite: 2 denoised, 0 failed in" in capsys.readouterr().err


def test_results_beside_a_folders_raws_are_not_denoised_again(workplace: Path) -> None:
    shoot = workplace / "shoot"
    assert main(["denoise", str(shoot)]) == 0
    first = files_of(shoot)
    assert {"a-denoised.dng", "day 2/b-denoised.dng"} <= first
    assert main(["denoise", str(shoot)]) == 0
    assert files_of(shoot) == first


def test_resume_skips_what_is_done(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["denoise", str(workplace / "shoot"), "-o", str(workplace / "out"), "--resume", "--json"]
    assert main(command) == 0
    capsys.readouterr()
    (workplace / "out" / "a.dng").unlink()
    kept = (workplace / "out" / "day 2" / "b.dng").stat().st_mtime_ns
    assert main(command) == 0
    printed = capsys.readouterr()
    assert [json.loads(line).get("skipped", False) for line in printed.out.splitlines()] == [False, True]
    assert "1 denoised, 0 failed, 1 skipped" in printed.err
    assert (workplace / "out" / "day 2" / "b.dng").stat().st_mtime_ns == kept


def test_a_raw_and_its_dng_of_the_same_name_both_get_a_result(workplace: Path) -> None:
    make_nef(workplace / "shoot" / "a.NEF", sample_mosaic(*SHAPE, bits=12))
    assert main(["denoise", str(workplace / "shoot"), "-o", str(workplace / "out"), "--noise", "1e-4,1e-6"]) == 0
    assert files_of(workplace / "out") == {"a.dng.dng", "a.NEF.dng", "day 2/b.dng"}


def test_an_empty_folder_is_wrong_usage(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", str(workplace / "out")]) == 2
    assert "there is no raw in the folder" in capsys.readouterr().err


def test_another_makers_raw_is_never_replaced_by_a_dng(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_nef(workplace / "in.nef", sample_mosaic(*SHAPE, bits=12))
    before = path.read_bytes()
    assert main(["denoise", str(path), "--in-place"]) == 3
    assert path.read_bytes() == before
    assert "unsupported_raw: a raw of NIKON CORPORATION cannot be replaced in place" in capsys.readouterr().err


def test_the_result_of_another_makers_raw_is_a_dng_with_its_name_in_it(workplace: Path) -> None:
    mosaic = sample_mosaic(*SHAPE, bits=12)
    path = make_nef(workplace / "in.nef", mosaic)
    assert main(["denoise", str(path), "--strength", "0", "--noise", "1e-4,1e-6"]) == 0
    np.testing.assert_array_equal(read_raw(workplace / "in-denoised.dng").mosaic, mosaic)
    with open_tiff(workplace / "in-denoised.dng") as tiff:
        assert tiff.text(tiff.chain[0], tags.ORIGINAL_RAW_FILE_NAME) == "in.nef"


def test_a_tiff_holds_the_mosaic_and_its_levels(workplace: Path) -> None:
    source = make_dng(
        workplace / "in.dng", sample_mosaic(*SHAPE), active_area=(4, 5, 90, 121), black_level=(500, 512, 530, 555),
        white_level=16000, noise_profile=(1e-4, 1e-6), cfa_pattern="GRBG",
    )  # fmt: skip
    assert main(["denoise", str(source), "--strength", "0", "--format", "tiff"]) == 0
    with tifffile.TiffFile(workplace / "in-denoised.tif") as tiff:
        page = tiff.pages[0]
        np.testing.assert_array_equal(page.asarray(), sample_mosaic(*SHAPE))
        values = {tag.code: tag.value for tag in page.tags}
    assert values[tags.ACTIVE_AREA] == (4, 5, 90, 121)
    assert bytes(values[tags.CFA_PATTERN]) == bytes([1, 0, 2, 1])
    assert np.array(values[tags.BLACK_LEVEL]).reshape(-1, 2)[:, 0].tolist() == [500_000, 512_000, 530_000, 555_000]
    assert values[tags.WHITE_LEVEL] == 16000


def test_an_npy_holds_the_mosaic_and_a_sidecar_what_was_done(workplace: Path) -> None:
    source = workplace / "shoot" / "a.dng"
    assert main(["denoise", str(source), "--format", "npy", "-o", str(workplace / "out"), "--sidecar"]) == 0
    mosaic = np.load(workplace / "out" / "a.npy")
    assert mosaic.shape == SHAPE
    assert (mosaic != sample_mosaic(*SHAPE)).mean() > 0.5
    done = json.loads((workplace / "out" / "a.npy.json").read_text())
    assert (done["file"], done["output"], done["model"]) == ("a.dng", "a.npy", "tiny@1")


@pytest.mark.parametrize(
    "option",
    [
        ["--format", "tiff", "--preview", "none"],
        ["--format", "npy", "--strip-gps"],
        ["--format", "tiff", "--in-place"],
        ["--server", "http://127.0.0.1:1", "--format", "npy"],
    ],
)
def test_outputs_that_make_no_sense_are_wrong_usage(workplace: Path, option: list[str]) -> None:
    assert main(["denoise", str(workplace / "shoot" / "a.dng"), *option]) == 2


def test_inspect_prints_a_table_of_a_folder(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "shoot" / "broken.cr2").write_bytes(b"II*\0 no more")
    assert main(["inspect", str(workplace / "shoot")]) == 4
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == ["file", "a.dng", "broken.cr2", "day"]
    assert "  can be denoised" in lines[1]
    assert "RGGB" in lines[1]
    assert "unreadable_raw" in lines[2]
    assert printed.err == ""


def test_a_mosaic_that_does_not_match_its_digest_is_denoised_with_a_warning(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = workplace / "shoot" / "a.dng"
    assert main(["denoise", str(done), "--in-place"]) == 0
    assert main(["denoise", str(done), "--force", "-o", str(workplace / "good.dng")]) == 0
    assert "digest" not in capsys.readouterr().err
    with open_tiff(done) as tiff:
        at = tiff.chain[0].entries[tags.NEW_RAW_IMAGE_DIGEST].value_offset
    data = bytearray(done.read_bytes())
    data[at] ^= 255
    done.write_bytes(data)
    assert main(["denoise", str(done), "--force", "-o", str(workplace / "bad.dng")]) == 0
    assert "warning: the mosaic does not match the file's own digest" in capsys.readouterr().err


def test_files_under_way_together_come_out_as_each_by_itself(workplace: Path) -> None:
    shoot, out, alone = workplace / "shoot", workplace / "out", workplace / "alone"
    alone.mkdir()
    for index in range(4):
        mosaic = sample_mosaic(*SHAPE, seed=index)
        make_dng(shoot / f"{index}.dng", mosaic, noise_profile=(1e-4, 1e-6))
    assert main(["denoise", str(shoot), "-o", str(out), "--at-once", "2"]) == 0
    for index in range(4):
        assert main(["denoise", str(shoot / f"{index}.dng"), "-o", str(alone)]) == 0
        assert (alone / f"{index}.dng").read_bytes() == (out / f"{index}.dng").read_bytes()


@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_so_few_files_cannot_be_under_way(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["denoise", "a.dng", f"--at-once={count}"])
    assert f"{count!r} is not a number of at least 1" in capsys.readouterr().err


def test_a_server_gets_files_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", "a.dng", "--server", "http://127.0.0.1:9", "--at-once", "2"]) == 2
    assert "--at-once: files go to a server one by one" in capsys.readouterr().err


def test_results_come_in_the_items_order_and_so_many_are_under_way() -> None:
    together = threading.Barrier(2, timeout=30)

    def work(number: int, item: BatchItem) -> FileResult:
        together.wait()  # with one at a time nobody would come
        time.sleep(0.05 if number % 2 else 0)
        return FileResult(item.file)

    items = [BatchItem(Path(str(index)), Path("out")) for index in range(4)]
    found = list(in_flight(work, items, 2, threading.Event()))
    assert [result.file for result in found] == [item.file for item in items]


def test_what_ends_a_batch_stops_what_is_under_way_and_begins_nothing_more() -> None:
    begun, stopping = [], threading.Event()

    def work(number: int, item: BatchItem) -> FileResult:
        begun.append(number)
        if number == 1:
            raise ConfigError("there is no such model")
        assert stopping.wait(timeout=30)
        return FileResult(item.file)

    items = [BatchItem(Path(str(index)), Path("out")) for index in range(50)]
    with pytest.raises(ConfigError):
        list(in_flight(work, items, 2, stopping))
    assert len(begun) <= 4


def mixed_folder(folder: Path, *, height: int, width: int) -> list[str]:
    """35 raws of five kinds, and five broken files; gives the names of the latter."""
    makers: list[tuple[str, int, Callable[..., Any]]] = [
        ("nef", 12, make_nef),
        ("arw", 14, make_arw),
        ("pef", 12, make_pef),
        ("cr2", 14, make_cr2),
        ("dng", 14, make_dng),
    ]
    for index in range(35):
        end, bits, make = makers[index % 5]
        make(folder / f"{index:02}.{end}", sample_mosaic(height, width, bits=bits, seed=index))
    cut = (folder / "03.cr2").read_bytes()
    (folder / "cut.cr2").write_bytes(cut[: len(cut) // 2])
    (folder / "empty.nef").write_bytes(b"")
    (folder / "jpeg.arw").write_bytes(encode_jpeg(64, 64))
    (folder / "text.raf").write_bytes(b"not a raw at all")
    (folder / "fake.raf").write_bytes(b"FUJIFILMCCD-RAW 0201FF383501Nothing".ljust(4096, b"\0"))
    return ["cut.cr2", "empty.nef", "jpeg.arw", "text.raf", "fake.raf"]


@pytest.mark.slow
def test_of_a_mixed_folder_all_but_the_broken_files_are_written(workplace: Path) -> None:
    mixed, out = workplace / "mixed", workplace / "mixed-out"
    mixed.mkdir()
    out.mkdir()
    broken = mixed_folder(mixed, height=600, width=900)
    options = ("--noise", "1e-3,1e-6")
    ended, whole = measured("denoise", mixed, "-o", out, *options)
    assert ended.returncode == 4
    assert files_of(out) == {f"{index:02}.dng" for index in range(35)}
    errors = [line for line in ended.stderr.splitlines() if "_raw: " in line]
    assert sorted(line.split(": ")[1].rpartition("/")[2] for line in errors) == sorted(broken)
    assert "35 denoised, 5 failed" in ended.stderr
    _, single = measured("denoise", mixed / "03.cr2", "-o", workplace / "one.dng", *options)
    assert whole < 1.15 * single + 32 * 1024, "kilobytes of a batch and of one file"


def measured(*arguments: str | Path) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run the command; how it ended, and the most kilobytes that it, or a program that it ran, took at once."""
    script = (
        "import resource, sys; from service.cli import main; code = main(sys.argv[1:]); "
        "print('peak', *(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF,))); sys.exit(code)"
    )
    words = [sys.executable, "-c", script, *map(str, arguments)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    return ended, int(ended.stdout.splitlines()[-1].split()[1])
