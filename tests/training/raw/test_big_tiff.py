"""BigTIFF: the same DNG with counts and offsets of 64 bits, read and rewritten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import tifffile
from dng_factory import Field, encode_jpeg, make_dng, sample_mosaic
from rewriting import adobe_mosaic, changes

from training.raw import tags
from training.raw.dng import read_raw
from training.raw.previews import find_previews
from training.raw.rewrite import write_dng
from training.raw.tiff import BIG, open_tiff

if TYPE_CHECKING:
    from pathlib import Path

MOSAIC = sample_mosaic(301, 333)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("sub_ifd", [False, True], ids=["IFD0", "SubIFD"])
@pytest.mark.parametrize("layout", ["strips", "ljpeg-tiles"])
def test_a_big_tiff_is_read_and_rewritten(
    tmp_path: Path, layout: Any, sub_ifd: bool, byte_order: Literal["<", ">"]
) -> None:
    options: dict[str, Any] = {"layout": layout, "sub_ifd": sub_ifd, "byte_order": byte_order, "black_level": 500}
    source = make_dng(tmp_path / "source.dng", MOSAIC, **options, big_tiff=True)
    classic = make_dng(tmp_path / "classic.dng", MOSAIC, **options)
    target, wanted = tmp_path / "target.dng", MOSAIC[::-1, ::-1].copy()
    assert read_raw(source).metadata == read_raw(classic).metadata
    np.testing.assert_array_equal(read_raw(source).mosaic, MOSAIC)
    write_dng(source, target, wanted, changes())
    np.testing.assert_array_equal(read_raw(target).mosaic, wanted)
    np.testing.assert_array_equal(adobe_mosaic(target), wanted)
    with open_tiff(target) as tiff:
        assert tiff.form is BIG


def test_tifffile_reads_the_new_mosaic(tmp_path: Path) -> None:
    target = make_dng(tmp_path / "a.dng", MOSAIC, big_tiff=True, sub_ifd=True)
    write_dng(target, target, MOSAIC[::-1].copy(), changes())
    with tifffile.TiffFile(target) as tiff:
        assert tiff.is_bigtiff
        np.testing.assert_array_equal(tiff.pages[0].pages[0].asarray(), MOSAIC[::-1])


@pytest.mark.parametrize("kind", [4, 16, 18], ids=["LONG", "LONG8", "IFD8"])
def test_a_preview_can_be_dropped_whatever_the_type_of_its_pointer(
    tmp_path: Path, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dng_factory.long", lambda *values: Field(4 if len(values) != 2 else kind, values))
    source = make_dng(tmp_path / "a.dng", MOSAIC, big_tiff=True, sub_ifd=True, preview=encode_jpeg(320, 240))
    with open_tiff(source) as tiff:
        assert tiff.chain[0].entries[tags.SUB_IFDS].type == kind
        (place,) = (found for found in find_previews(tiff) if not found.in_ifd0)
    write_dng(source, source, MOSAIC, changes(previews={place.directory.offset: None}))
    np.testing.assert_array_equal(read_raw(source).mosaic, MOSAIC)
    with open_tiff(source) as tiff:
        assert [found.in_ifd0 for found in find_previews(tiff)] == [True]
