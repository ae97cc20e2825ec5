"""Levels that follow the precision: the same signal in other numbers."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rawpy
from dng_factory import long, make_dng, rational, sample_mosaic, short, srational
from hypothesis import given
from hypothesis import strategies as st
from rewriting import CHANGES, adobe_mosaic, changes, rawpy_mosaic, tag_values

from training.raw import tags, tiff
from training.raw.dng import read_metadata, read_raw
from training.raw.rewrite import write_dng
from training.raw.scaling import scale_fraction
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("shift", [0, 3])
def test_linearization_table_is_dropped_for_its_outputs(tmp_path: Path, shift: int, byte_order: Any) -> None:
    stored = sample_mosaic(100, 130, bits=8)
    table = [int(64 + 3600 * (i / 255) ** 2) for i in range(256)]
    source = make_dng(
        tmp_path / "source.dng", stored, bits=8, linearization_table=table, black_level=64, white_level=3664,
        byte_order=byte_order,
    )  # fmt: skip
    linear = read_raw(source)
    assert linear.mosaic.max() == 3664
    write_dng(source, source, linear.mosaic << shift, changes(precision_shift=shift))
    result = read_raw(source)
    assert not result.metadata.linearised
    assert result.metadata.bits_per_sample == 16
    assert result.metadata.levels.white_level == 3664 << shift
    assert result.metadata.levels.black_level == (64 << shift,) * 4
    for mosaic in (result.mosaic, rawpy_mosaic(source), adobe_mosaic(source)):
        np.testing.assert_array_equal(mosaic, linear.mosaic << shift)


@pytest.mark.parametrize("sub_ifd", [False, True])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize(
    "levels",
    [
        {"black_level": 60},
        {"black_level": (60, 61, 62, 63), "white_level": 1000},
        {"black_level": (60.1, 60.5, 61.0, 61.25)},
        {"black_level": 0, "black_delta_v": [60 + i / 100 for i in range(100)]},
        {"black_level": 50, "black_delta_h": [i / 7 - 5 for i in range(130)], "white_level": 1023},
        {"black_level": None},
        {"raw_tags": {tags.WHITE_LEVEL: short(1000), tags.BLACK_LEVEL: long(61)}},
        {"raw_tags": {tags.WHITE_LEVEL: short(0)}},
        {"raw_tags": {tags.WHITE_LEVEL: rational(1000.5)}},
    ],
    ids=["short", "pattern", "fractions", "rows", "columns", "none", "long", "white 0", "white fraction"],
)
def test_levels_follow_the_precision(tmp_path: Path, levels: Any, byte_order: Any, sub_ifd: bool) -> None:
    mosaic = sample_mosaic(100, 130, bits=10)
    source = make_dng(tmp_path / "source.dng", mosaic, bits=10, byte_order=byte_order, sub_ifd=sub_ifd, **levels)
    target = tmp_path / "target.dng"
    write_dng(source, target, mosaic << 3, changes(precision_shift=3))
    before, after = read_metadata(source), read_metadata(target)
    assert after.bits_per_sample == 16
    assert after.levels.white_level == 8 * before.levels.white_level
    np.testing.assert_allclose(after.levels.black_level, np.multiply(before.levels.black_level, 8), rtol=1e-12)
    for name in ("black_delta_rows", "black_delta_columns"):
        np.testing.assert_allclose(getattr(after.levels, name), np.multiply(getattr(before.levels, name), 8))
    with rawpy.imread(str(target)) as raw, rawpy.imread(str(source)) as original:
        assert raw.white_level == pytest.approx(8 * original.white_level, abs=8)
        assert np.allclose(raw.black_level_per_channel, np.multiply(original.black_level_per_channel, 8), atol=8)


def test_levels_stay_as_they_are_without_a_shift(tmp_path: Path) -> None:
    mosaic = sample_mosaic(100, 130, bits=10)
    source = make_dng(tmp_path / "source.dng", mosaic, bits=10, black_level=(60.1, 60.5, 61.0, 61.25))
    target = tmp_path / "target.dng"
    write_dng(source, target, mosaic, CHANGES)
    for tag in (tags.BLACK_LEVEL, tags.WHITE_LEVEL, tags.BITS_PER_SAMPLE):
        assert tag_values(target, tag) == tag_values(source, tag)


def test_black_as_a_fine_fraction_stays_close(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64, bits=8)
    source = make_dng(tmp_path / "source.dng", mosaic, bits=8, raw_tags={tags.BLACK_LEVEL: rational(0.5)})
    with open_tiff(source) as file:
        source.write_bytes(
            source.read_bytes()[: file.chain[0].entries[tags.BLACK_LEVEL].value_offset]
            + struct.pack("<II", 0x7FFFFFFF, 0xFFFFFFFE)
            + source.read_bytes()[file.chain[0].entries[tags.BLACK_LEVEL].value_offset + 8 :]
        )
    write_dng(source, source, mosaic << 8, changes(precision_shift=8))
    assert tag_values(source, tags.BLACK_LEVEL)[0] == pytest.approx(128, abs=1e-6)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(1, 2**31 - 1), st.integers(0, 8))
def test_scaled_fraction_is_close_and_fits(numerator: int, denominator: int, shift: int) -> None:
    wanted = Fraction(numerator, denominator) * 2**shift
    largest = 2**31 - 1
    got = scale_fraction((numerator, denominator), shift, largest)
    if abs(wanted) <= 65535 * 2**8:
        assert max(map(abs, got)) <= largest
        assert abs(Fraction(*got) - wanted) <= abs(wanted) / 2**22


def test_signed_deltas_keep_their_sign(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64, bits=10)
    delta = [-3.5 + 0.1 * i for i in range(64)]
    source = make_dng(
        tmp_path / "source.dng", mosaic, bits=10, black_level=60, raw_tags={tags.BLACK_LEVEL_DELTA_V: srational(*delta)}
    )
    write_dng(source, source, mosaic << 2, changes(precision_shift=2))
    assert tag_values(source, tags.BLACK_LEVEL_DELTA_V) == pytest.approx([4 * d for d in delta])
    with open_tiff(source) as file:
        assert file.chain[0].entries[tags.BLACK_LEVEL_DELTA_V].type == tiff.SRATIONAL
