"""Mosaics as DNG 1.4 to 1.7 may store them and few programs read them: deflated, JPEG XL, in interleaved fields."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from dng_factory import MODERN_LAYOUTS, byte, make_dng, sample_mosaic, short
from rewriting import adobe_mosaic, changes, rawpy_mosaic

from training.errors import UnreadableRawError, UnsupportedRawError
from training.raw import tags
from training.raw.codecs import decode_deflated, decode_jpeg_xl
from training.raw.dng import read_raw
from training.raw.layout import find_mosaic
from training.raw.rewrite import write_dng
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from pathlib import Path

MOSAIC = sample_mosaic(301, 332, bits=16)
PREDICTORS = [1, 2, 34892, 34893]


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("layout", MODERN_LAYOUTS)
def test_it_is_read_and_rewritten_as_lossless_jpeg(tmp_path: Path, layout: Any, byte_order: Any) -> None:
    source = make_dng(tmp_path / "source.dng", MOSAIC, bits=16, layout=layout, byte_order=byte_order)
    target, wanted = tmp_path / "target.dng", MOSAIC[::-1].copy()
    np.testing.assert_array_equal(adobe_mosaic(source), MOSAIC)
    np.testing.assert_array_equal(read_raw(source).mosaic, MOSAIC)
    write_dng(source, target, wanted, changes())
    for mosaic in (read_raw(target).mosaic, rawpy_mosaic(target), adobe_mosaic(target)):
        np.testing.assert_array_equal(mosaic, wanted)


@pytest.mark.parametrize("layout", ["deflate-strips", "deflate-tiles"])
@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("width", [332, 333, 334])
def test_every_predictor_of_deflated_numbers_is_undone_or_the_file_refused(
    tmp_path: Path, width: int, predictor: int, layout: Any
) -> None:
    mosaic = sample_mosaic(301, width, bits=16)
    source = make_dng(tmp_path / "a.dng", mosaic, bits=16, layout=layout, deflate_predictor=predictor)
    if layout == "deflate-strips" and width % {34892: 2, 34893: 4}.get(predictor, 1):
        with pytest.raises(UnsupportedRawError, match=f"predictor {predictor} is not defined for rows of {width}"):
            read_raw(source)
        return
    np.testing.assert_array_equal(read_raw(source).mosaic, mosaic)
    np.testing.assert_array_equal(adobe_mosaic(source), mosaic)
    write_dng(source, source, mosaic, changes())
    with open_tiff(source) as tiff:
        assert tags.PREDICTOR not in find_mosaic(tiff).directory.entries


def test_the_old_number_of_deflate_means_the_same(tmp_path: Path) -> None:
    old = {tags.COMPRESSION: short(tags.OLD_DEFLATE)}
    source = make_dng(tmp_path / "a.dng", MOSAIC, bits=16, layout="deflate-strips", raw_tags=old)
    np.testing.assert_array_equal(read_raw(source).mosaic, MOSAIC)


@pytest.mark.parametrize("shape", [(300, 332), (301, 333)])
@pytest.mark.parametrize("layout", ["jxl-tiles", "strips", "ljpeg-tiles"])
def test_interleaved_fields_are_put_together_and_written_without(
    tmp_path: Path, layout: Any, shape: tuple[int, int]
) -> None:
    mosaic = sample_mosaic(*shape, bits=16)
    fields = np.vstack([np.hstack([mosaic[row::2, column::2] for column in (0, 1)]) for row in (0, 1)])
    version = byte(1, 7, 0, 0)
    source = make_dng(
        tmp_path / "a.dng", np.ascontiguousarray(fields), bits=16, layout=layout,
        raw_tags={tags.ROW_INTERLEAVE_FACTOR: short(2), tags.COLUMN_INTERLEAVE_FACTOR: short(2)},
        ifd0_tags={tags.DNG_VERSION: version, tags.DNG_BACKWARD_VERSION: version},
    )  # fmt: skip
    np.testing.assert_array_equal(adobe_mosaic(source), mosaic)
    np.testing.assert_array_equal(read_raw(source).mosaic, mosaic)
    write_dng(source, source, mosaic, changes())
    for found in (read_raw(source).mosaic, adobe_mosaic(source), rawpy_mosaic(source)):
        np.testing.assert_array_equal(found, mosaic)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zlib.compress(bytes(64 * 64 * 2 + 1)), "inflates to 8193 bytes or more"),
        (zlib.compress(bytes(10**9 // 64)), "inflates to 8193 bytes or more"),
        (zlib.compress(bytes(64 * 64)), "inflates to 4096 bytes"),
        (zlib.compress(bytes(64 * 64 * 2))[:-20], "inflates to|cannot be inflated"),
        (b"no deflate", "cannot be inflated"),
    ],
    ids=["one more", "bomb", "half", "cut off", "nonsense"],
)
def test_a_deflated_chunk_that_lies_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableRawError, match=reason):
        decode_deflated(data, (64, 64), 16, "<", 0)


def test_deflated_bytes_are_numbers_of_8_bits() -> None:
    numbers = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 256
    np.testing.assert_array_equal(
        decode_deflated(zlib.compress(numbers.astype(np.uint8).tobytes()), (64, 64), 8, "<", 0), numbers
    )


@pytest.mark.parametrize(
    "data",
    [
        imagecodecs.jpegxl_encode(MOSAIC[:64, :32].copy(), lossless=True),
        imagecodecs.jpegxl_encode(MOSAIC[:64, :64].copy(), lossless=True)[:-200],
        imagecodecs.jpegxl_encode(np.zeros((64, 64, 3), np.uint8)),
        imagecodecs.jpegxl_encode(np.zeros((64, 64), np.float32)),
        imagecodecs.jpegxl_encode(MOSAIC[:32, :128].copy(), lossless=True),
        imagecodecs.jpegxl_encode((MOSAIC[:64, :64] >> 8).astype(np.uint8), lossless=True),
        b"no JPEG XL",
    ],
    ids=["smaller", "cut off", "in colour", "floating point", "of another shape", "of bytes", "nonsense"],
)
def test_a_jpeg_xl_that_is_no_mosaic_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableRawError):
        decode_jpeg_xl(bytes(data), (64, 64), 16)


def test_a_jpeg_xl_that_is_cut_off_is_refused_wherever_it_is_cut() -> None:
    whole = bytes(imagecodecs.jpegxl_encode(MOSAIC[:64, :64].copy(), lossless=True))
    for size in [*range(100), len(whole) // 2, len(whole) - 1]:
        with pytest.raises(UnreadableRawError):
            decode_jpeg_xl(whole[:size], (64, 64), 16)
