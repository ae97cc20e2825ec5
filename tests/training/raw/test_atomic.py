"""Files appear whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import make_dng, sample_mosaic
from rewriting import CHANGES

from training.raw import rewrite
from training.raw.atomic import replacing
from training.raw.dng import read_raw
from training.raw.rewrite import write_dng

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["source.dng", "target.dng"])
def test_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    mosaic = sample_mosaic(100, 130)
    source = make_dng(tmp_path / "source.dng", mosaic)
    before = source.read_bytes()

    def disk_full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rewrite, "encode_ljpeg", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_dng(source, tmp_path / name, mosaic, CHANGES)
    assert [path.name for path in tmp_path.iterdir()] == ["source.dng"]
    assert source.read_bytes() == before


def test_replaced_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64)
    source, link = make_dng(tmp_path / "source.dng", mosaic), tmp_path / "link.dng"
    source.chmod(0o640)
    link.symlink_to(source)
    write_dng(link, link, mosaic[::-1, ::-1].copy(), CHANGES)
    assert link.is_symlink()
    assert source.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(read_raw(source).mosaic, mosaic[::-1, ::-1].copy())


def test_replacing_keeps_the_old_file_until_the_end(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]
