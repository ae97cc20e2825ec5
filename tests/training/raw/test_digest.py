"""The digests of a mosaic against their definitions and against Adobe's SDK."""

from __future__ import annotations

from hashlib import md5
from typing import TYPE_CHECKING

import pytest
from dng_factory import byte, make_dng, sample_mosaic
from rewriting import adobe_mosaic

from training.raw import tags
from training.raw.digest import new_raw_image_digest, raw_image_digest
from training.raw.dng import read_raw
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from pathlib import Path


def test_digest_of_one_tile_is_the_md5_of_its_md5() -> None:
    mosaic = sample_mosaic(64, 66)
    numbers = b"".join(int(number).to_bytes(2, "little") for number in mosaic.reshape(-1))
    assert (
        new_raw_image_digest(mosaic, 14)
        == md5(md5(numbers, usedforsecurity=False).digest(), usedforsecurity=False).digest()
    )


def test_digest_of_eight_bits_is_over_bytes() -> None:
    mosaic = sample_mosaic(64, 66, bits=8)
    numbers = bytes(int(number) for number in mosaic.reshape(-1))
    assert (
        new_raw_image_digest(mosaic, 8)
        == md5(md5(numbers, usedforsecurity=False).digest(), usedforsecurity=False).digest()
    )


@pytest.mark.parametrize("bits", [8, 10, 16])
@pytest.mark.parametrize("shape", [(64, 66), (256, 512), (301, 517)])
def test_digest_equals_the_one_that_adobes_sdk_writes(tmp_path: Path, shape: tuple[int, int], bits: int) -> None:
    dngpy = pytest.importorskip("dngpy._native", reason="Adobe's DNG SDK (dngpy) is not installed")
    mosaic = sample_mosaic(*shape, bits=bits)
    source, saved = make_dng(tmp_path / "source.dng", mosaic, bits=bits), tmp_path / "saved.dng"
    dngpy.Dng(str(source))._save(str(saved))
    with open_tiff(saved) as tiff:
        written = tiff.value_bytes(tiff.chain[0].entries[tags.NEW_RAW_IMAGE_DIGEST])
    assert new_raw_image_digest(mosaic, bits) == written


@pytest.mark.parametrize("bits", [8, 14, 16])
def test_a_digest_of_the_old_kind_is_compared_as_adobes_sdk_compares_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], bits: int
) -> None:
    mosaic = sample_mosaic(300, 333, bits=bits)
    for name, digest in (("right", raw_image_digest(mosaic)), ("wrong", raw_image_digest(mosaic[::-1]))):
        path = make_dng(tmp_path / name, mosaic, bits=bits, ifd0_tags={tags.RAW_IMAGE_DIGEST: byte(*digest)})
        assert read_raw(path).digest_matches is (name == "right")
        adobe_mosaic(path)
        assert ("RawImageDigest does not match" in capfd.readouterr().err) is (name == "wrong")


def test_the_newer_digest_counts_where_a_file_has_both(tmp_path: Path) -> None:
    mosaic = sample_mosaic(80, 90)
    both = {
        tags.RAW_IMAGE_DIGEST: byte(*bytes(range(16))),
        tags.NEW_RAW_IMAGE_DIGEST: byte(*new_raw_image_digest(mosaic, 14)),
    }
    assert read_raw(make_dng(tmp_path / "a.dng", mosaic, ifd0_tags=both)).digest_matches
