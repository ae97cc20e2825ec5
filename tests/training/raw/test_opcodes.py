"""OpcodeList1: what it marks as bad, and what depends on stored numbers."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from dng_factory import fix_bad_pixels_constant, fix_bad_pixels_list, opcode, opcode_list, sample_mosaic
from hypothesis import given
from hypothesis import strategies as st

from training.errors import UnreadableRawError
from training.raw.opcodes import Opcode, depend_on_numbers, find_bad_pixels, parse_opcodes

MOSAIC = sample_mosaic(20, 30)


def test_an_opcode_list_is_split_into_its_opcodes() -> None:
    data = opcode_list(opcode(9, b"gain"), opcode(3, b""))
    assert parse_opcodes(data) == (Opcode(9, b"gain"), Opcode(3, b""))
    assert parse_opcodes(b"") == ()


def test_constant_marks_the_photosites_that_hold_it() -> None:
    mosaic = MOSAIC.copy()
    mosaic[3, 4] = mosaic[19, 0] = 7777
    mosaic[mosaic == 0] = 1
    bad = find_bad_pixels(parse_opcodes(opcode_list(fix_bad_pixels_constant(7777))), mosaic)
    assert bad is not None
    assert set(zip(*np.nonzero(bad), strict=True)) >= {(3, 4), (19, 0)}
    assert (bad == (mosaic == 7777)).all()


def test_list_marks_points_and_rectangles_inside_the_frame() -> None:
    opcodes = parse_opcodes(
        opcode_list(fix_bad_pixels_list([(1, 2), (20, 0), (0, 2**32 - 1)], [(5, 6, 8, 10), (18, 28, 99, 99)]))
    )
    bad = find_bad_pixels(opcodes, MOSAIC)
    wanted = np.zeros(MOSAIC.shape, dtype=np.bool_)
    wanted[1, 2] = wanted[5:8, 6:10] = wanted[18:, 28:] = True
    assert bad is not None
    assert (bad == wanted).all()


@pytest.mark.parametrize("opcodes", [opcode_list(), opcode_list(fix_bad_pixels_constant(2**20))])
def test_nothing_bad_is_none(opcodes: bytes) -> None:
    assert find_bad_pixels(parse_opcodes(opcodes), MOSAIC) is None


@pytest.mark.parametrize(
    ("identifier", "depends"),
    [
        (1, False),
        (3, False),
        (4, True),
        (5, False),
        (7, True),
        (8, True),
        (9, False),
        (10, True),
        (12, False),
        (99, True),
    ],
)
def test_opcodes_that_compare_or_map_numbers_depend_on_them(identifier: int, depends: bool) -> None:
    assert depend_on_numbers((Opcode(identifier, b""),)) is depends


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        opcode_list(opcode(9, b"gain"))[:-1],
        struct.pack(">I", 2) + opcode(9, b"gain"),
        struct.pack(">I", 2**31),
    ],
)
def test_a_list_that_is_cut_off_is_an_error(data: bytes) -> None:
    with pytest.raises(UnreadableRawError, match="OpcodeList1"):
        parse_opcodes(data)


@pytest.mark.parametrize(
    "parameters",
    [b"", struct.pack(">III", 0, 2, 0) + bytes(8), struct.pack(">III", 0, 0, 2**31), struct.pack(">III", 0, 2**31, 0)],
)
def test_a_list_of_bad_pixels_that_is_cut_off_is_an_error(parameters: bytes) -> None:
    with pytest.raises(UnreadableRawError):
        find_bad_pixels((Opcode(5, parameters),), MOSAIC)


def test_rectangles_that_cover_the_frame_again_and_again_are_refused() -> None:
    bomb = fix_bad_pixels_list([], [(0, 0, 20, 30)] * 1000)
    with pytest.raises(UnreadableRawError, match="more photosites"):
        find_bad_pixels(parse_opcodes(opcode_list(bomb)), MOSAIC)


@given(data=st.binary(max_size=120))
def test_random_bytes_give_no_other_error(data: bytes) -> None:
    with contextlib.suppress(UnreadableRawError):
        find_bad_pixels(parse_opcodes(b"\0\0\0\1\0\0\0\5" + data), MOSAIC)
