"""Archives made while they are sent: read by zipfile and by unzip, always the same bytes, flat in memory."""

from __future__ import annotations

import gc
import io
import subprocess
import tracemalloc
import zipfile
from functools import partial
from typing import TYPE_CHECKING

import pytest

from service.api import archives
from service.api.archives import PIECE_BYTES, Entry, stream_zip, unique_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def entries(folder: Path, **contents: bytes) -> list[Entry]:
    """Files on the disk, as entries."""
    found = []
    for name, content in contents.items():
        path = folder / name
        path.write_bytes(content)
        found.append(Entry(f"{name}.dng", len(content), partial(type(path), path)))
    return found


CONTENTS = {"empty": b"", "small": b"II*\0", "large": bytes(range(256)) * 4000, "Grüße": b"hello" * 70_000}


def test_zipfile_reads_what_was_put_in(tmp_path: Path) -> None:
    data = b"".join(stream_zip(entries(tmp_path, **CONTENTS)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None, "a CRC is wrong"
        assert archive.namelist() == [f"{name}.dng" for name in CONTENTS]
        for name, content in CONTENTS.items():
            assert archive.read(f"{name}.dng") == content
            assert archive.getinfo(f"{name}.dng").compress_type == zipfile.ZIP_STORED


def test_unzip_reads_what_was_put_in(tmp_path: Path, program: Callable[[str], str]) -> None:
    unzip = program("unzip")
    target = tmp_path / "a.zip"
    target.write_bytes(b"".join(stream_zip(entries(tmp_path, **CONTENTS))))
    subprocess.run([unzip, "-tq", str(target)], check=True, capture_output=True)
    subprocess.run([unzip, "-q", str(target), "-d", str(tmp_path / "out")], check=True, capture_output=True)
    found = sorted(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert found == sorted(CONTENTS.values())


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = (b"".join(stream_zip(entries(tmp_path, **CONTENTS))) for _ in range(2))
    assert first == second


def test_a_huge_file_is_announced_as_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit lowered: what the format does beyond 2 GiB need not be written to be seen."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    data = b"".join(stream_zip(entries(tmp_path, large=bytes(5000))))
    monkeypatch.undo()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("large.dng") == bytes(5000)
        assert archive.getinfo("large.dng").extract_version >= zipfile.ZIP64_VERSION


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.write_bytes(bytes(4_000_000))

    def peak(count: int) -> int:
        stream = stream_zip(Entry(f"{n}.dng", 4_000_000, lambda: path) for n in range(count))
        tracemalloc.start()
        sizes = [len(piece) for piece in stream]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sum(sizes) > count * 4_000_000
        assert max(sizes) < 2 * PIECE_BYTES
        return most

    assert peak(40) < peak(2) + 500_000
    assert peak(40) < 10 * PIECE_BYTES


def test_who_leaves_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "PIECE_BYTES", 1000)
    asked: list[str] = []

    def look_up(entry: Entry) -> Path:
        asked.append(entry.name)
        return entry.path()

    def stream() -> Iterator[bytes]:
        found = entries(tmp_path, a=bytes(5000), b=bytes(5000))
        return stream_zip(Entry(entry.name, entry.bytes, partial(look_up, entry)) for entry in found)

    archive = stream()
    next(archive)
    del archive  # as a cancelled answer does; an open file would be a ResourceWarning, which is an error here
    gc.collect()
    assert asked == ["a.dng"]


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        ([], []),
        (["a.dng", "a.dng", "a.dng"], ["a.dng", "a-2.dng", "a-3.dng"]),
        (["a.dng", "A.DNG"], ["a.dng", "A-2.DNG"]),
        (["a-2.dng", "a.dng", "a.dng"], ["a-2.dng", "a.dng", "a-3.dng"]),
        (["a", "a"], ["a", "a-2"]),
    ],
)
def test_names_are_made_unique(names: list[str], unique: list[str]) -> None:
    assert unique_names(names) == unique
