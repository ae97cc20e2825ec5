"""A folder of captures: every usable raw is used as it would be served, every other one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import make_dng, sample_mosaic, xtrans_pattern

from training.datasets.captures import open_captures
from training.errors import ConfigError
from training.planes import pack_signal
from training.raw.bayer import CFA_PATTERNS, CfaPattern
from training.raw.dng import read_raw

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_a_patch_is_a_piece_of_the_packed_signal(tmp_path: Path, pattern: CfaPattern) -> None:
    path = make_dng(
        tmp_path / "a.dng",
        sample_mosaic(70, 90),
        cfa_pattern=pattern,
        black_level=200,
        noise_profile=(1e-4, 1e-6),
    )
    packed = pack_signal(read_raw(path))
    patch = open_captures(tmp_path, patch_size=16).draw((0, 1))
    assert patch.noisy.shape == (4, 16, 16)
    assert patch.clean is None
    assert patch.second is None
    assert set(np.unique(patch.noisy[0])) <= set(np.unique(packed[0]))
    assert set(np.unique(patch.noisy[3])) <= set(np.unique(packed[3]))
    assert set(np.unique(patch.noisy[1:3])) <= set(np.unique(packed[1:3]))
    assert patch.source.startswith("a.dng at row ")


def test_one_black_level_fits_into_16_bits_and_loses_nothing(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", sample_mosaic(70, 90), black_level=200, noise_profile=(1e-4, 1e-6))
    capture = open_captures(tmp_path, patch_size=16).captures[0]
    assert np.load(capture.mosaic.path, mmap_mode="r").dtype == np.uint16
    np.testing.assert_array_equal(capture.mosaic.read()[0::2, 0::2], pack_signal(read_raw(path))[0])
    assert float(capture.mosaic.read().min()) < 0


def test_black_levels_that_differ_lose_nothing_either(tmp_path: Path) -> None:
    path = make_dng(
        tmp_path / "a.dng", sample_mosaic(70, 90), black_level=(200, 201.5, 202, 190), noise_profile=(1e-4, 1e-6)
    )
    capture = open_captures(tmp_path, patch_size=16).captures[0]
    np.testing.assert_array_equal(capture.mosaic.read()[1::2, 1::2], pack_signal(read_raw(path))[3])


def test_sub_folders_count_and_bad_files_are_named_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "day" / "night").mkdir(parents=True)
    make_dng(tmp_path / "day" / "night" / "good.dng", sample_mosaic(90, 90), noise_profile=(1e-4, 1e-6))
    make_dng(tmp_path / "small.dng", sample_mosaic(66, 90), noise_profile=(1e-4, 1e-6))
    (tmp_path / "bad.dng").write_text("hello")
    for name, pattern in (("fuji", xtrans_pattern()), ("mono", "Y")):
        make_dng(tmp_path / f"{name}.dng", sample_mosaic(90, 90), cfa_pattern=pattern, noise_profile=(1e-4, 1e-6))
    data = open_captures(tmp_path, patch_size=32)
    assert [capture.name for capture in data.captures] == ["day/night/good.dng"]
    reasons = dict(data.skipped)
    assert set(reasons) == {"bad.dng", "fuji.dng", "mono.dng", "small.dng"}
    assert "Bayer sensors alone, and this one is of the kind X-Trans" in reasons["fuji.dng"]
    assert "Bayer sensors alone, and this one is of the kind monochrome" in reasons["mono.dng"]
    assert "not a DNG" in reasons["bad.dng"]
    assert "66×90 photosites, fewer than the 67" in reasons["small.dng"]
    assert "bad.dng is skipped" in caplog.text


def test_a_folder_without_a_usable_file_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.dng").write_text("hello")
    with pytest.raises(ConfigError, match=r"none of the 1 files in .* can be used; bad\.dng: not a DNG"):
        open_captures(tmp_path, patch_size=16)


def test_the_cache_is_no_capture_and_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dng(tmp_path / "a.dng", sample_mosaic(70, 90), noise_profile=(1e-4, 1e-6))
    before = open_captures(tmp_path, patch_size=16).draw((0, 0))

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("training.datasets.captures.read_raw", refuse)
    again = open_captures(tmp_path, patch_size=16)
    assert again.skipped == ()
    np.testing.assert_array_equal(again.draw((0, 0)).noisy, before.noisy)
    assert (before.shot_noise, before.read_noise) == pytest.approx((1e-4, 1e-6))


def test_real_captures_give_patches(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "raws").mkdir()
    name = "canon-kiss-x4-rggb-14bit-packed.dng"
    (tmp_path / "raws" / name).symlink_to(shared_data / "raw" / name)
    data = open_captures(tmp_path / "raws", patch_size=64, cache=tmp_path / "cache")
    patch = data.draw((0, 0))
    assert patch.noisy.shape == (4, 64, 64)
    assert 0 < patch.shot_noise < 0.01
