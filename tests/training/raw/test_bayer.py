"""The Bayer mosaic: packing and phases, for every pattern and awkward sizes."""

from __future__ import annotations

import numpy as np
import pytest
from dng_factory import letters
from hypothesis import given
from hypothesis import strategies as st

from training.raw.bayer import (
    CFA_PATTERNS,
    CHANNELS,
    CfaPattern,
    pack,
    parse_cfa_pattern,
    red_position,
    unify,
    unpack,
)
from training.raw.patterns import channel_grid, restore, tile_cell

patterns = pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
sides = st.integers(2, 17)


@patterns
def test_red_lies_where_the_name_says(cfa_pattern: CfaPattern) -> None:
    row, column = red_position(cfa_pattern)
    assert letters(cfa_pattern, (2, 2))[row, column] == "R"


@patterns
def test_each_position_has_the_channel_of_its_colour(cfa_pattern: CfaPattern) -> None:
    seen = letters(cfa_pattern, (2, 2))
    grid = channel_grid(cfa_pattern)
    assert sorted(grid.reshape(-1).tolist()) == [0, 1, 2, 3]
    for row in range(2):
        for column in range(2):
            channel = CHANNELS[grid[row, column]]
            assert channel[0].upper() == seen[row, column]
            if channel in {"Gr", "Gb"}:
                assert channel[1].upper() in seen[row].tolist(), "a green belongs to the row's other colour"


def test_an_unknown_pattern_is_an_error() -> None:
    with pytest.raises(ValueError, match="RGBG"):
        red_position("RGBG")  # type: ignore[arg-type]


@patterns
@given(height=sides, width=sides)
def test_unify_gives_even_rggb(cfa_pattern: CfaPattern, height: int, width: int) -> None:
    colours = np.vectorize("RGB".index)(letters(cfa_pattern, (height, width)))
    unified = unify(colours, cfa_pattern)
    rows, columns = unified.shape
    assert rows % 2 == columns % 2 == 0
    assert (unified == np.vectorize("RGB".index)(letters("RGGB", (rows, columns)))).all()


@patterns
@given(height=sides, width=sides)
def test_restore_inverts_unify(cfa_pattern: CfaPattern, height: int, width: int) -> None:
    mosaic = np.arange(height * width).reshape(height, width)
    assert (restore(unify(mosaic, cfa_pattern), cfa_pattern, (height, width)) == mosaic).all()


@given(height=sides, width=sides)
def test_unpack_inverts_pack(height: int, width: int) -> None:
    mosaic = np.arange(4 * height * width).reshape(2 * height, 2 * width)
    packed = pack(mosaic)
    assert packed.shape == (4, height, width)
    assert (unpack(packed) == mosaic).all()


def test_pack_takes_every_second_photosite() -> None:
    mosaic = np.arange(24).reshape(4, 6)
    wanted = [mosaic[0::2, 0::2], mosaic[0::2, 1::2], mosaic[1::2, 0::2], mosaic[1::2, 1::2]]
    assert (pack(mosaic) == np.stack(wanted)).all()


def test_odd_mosaics_and_other_plane_counts_are_errors() -> None:
    with pytest.raises(ValueError, match="3×4"):
        pack(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="3 planes"):
        unpack(np.zeros((3, 2, 2)))


@given(height=sides, width=sides)
def test_tile_cell_repeats_it_everywhere(height: int, width: int) -> None:
    tiled = tile_cell(np.array([[1, 2], [3, 4]]), (height, width))
    assert tiled.shape == (height, width)
    assert all(tiled[r, c] == 1 + 2 * (r % 2) + c % 2 for r in range(height) for c in range(width))


def test_only_the_four_names_are_patterns() -> None:
    assert [parse_cfa_pattern(name) for name in ("RGGB", "rggb", "", None)] == ["RGGB", None, None, None]
