"""Tiles cover the image once, keep their halo, and give what one pass gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tiling import pad_to_stride, plan_spans, plan_tiles, read_tile, stitch

STRIDE = 16
lengths = st.integers(1, 40).map(lambda n: n * STRIDE)
halos = st.integers(0, 40)


@given(length=lengths, halo=halos, extra=st.integers(1, 5))
def test_inner_parts_join_without_gap_or_overlap(length: int, halo: int, extra: int) -> None:
    spans = plan_spans(length, tile=tile_for(halo, extra), halo=halo, stride=STRIDE)
    covered = [pixel for span in spans for pixel in range(span.inner_start, span.inner_stop)]
    assert covered == list(range(length))


@given(length=lengths, halo=halos, extra=st.integers(1, 5))
def test_every_inner_part_has_its_halo_or_the_image_border(length: int, halo: int, extra: int) -> None:
    for span in plan_spans(length, tile=tile_for(halo, extra), halo=halo, stride=STRIDE):
        assert span.start == 0 or span.inner_start - span.start >= halo
        assert span.stop == length or span.stop - span.inner_stop >= halo


@given(length=lengths, halo=halos, extra=st.integers(1, 5))
def test_tiles_begin_on_the_stride_and_share_one_size_within_the_limit(length: int, halo: int, extra: int) -> None:
    tile = tile_for(halo, extra)
    spans = plan_spans(length, tile=tile, halo=halo, stride=STRIDE)
    assert all(span.start % STRIDE == 0 for span in spans)
    (size,) = {span.stop - span.start for span in spans}
    assert size <= tile
    assert size % STRIDE == 0


def test_tiles_are_no_larger_than_their_number_needs() -> None:
    spans = plan_spans(1024, tile=768, halo=32, stride=32)
    assert [(span.start, span.stop) for span in spans] == [(0, 544), (480, 1024)]


def tile_for(halo: int, extra: int) -> int:
    """A tile with room for two halos and some strides."""
    return -(-2 * halo // STRIDE) * STRIDE + extra * STRIDE


def test_a_tile_without_room_for_its_halos_is_refused() -> None:
    with pytest.raises(ValueError, match="two halos"):
        plan_spans(160, tile=32, halo=16, stride=16)


@pytest.mark.parametrize("bad", [{"length": 100, "tile": 32}, {"length": 96, "tile": 40}])
def test_sizes_off_the_stride_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiples"):
        plan_spans(**bad, halo=0, stride=32)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 17), (16, 16), (33, 5), (97, 145)])
def test_tiles_go_on_to_the_stride_as_the_padded_picture_does(height: int, width: int) -> None:
    packed = np.random.default_rng(0).random((4, height, width), dtype=np.float32)
    padded = pad_to_stride(packed, STRIDE)
    assert padded.shape[1] % STRIDE == padded.shape[2] % STRIDE == 0
    np.testing.assert_array_equal(padded[:, :height, :width], packed)
    result = np.full_like(packed, np.nan)
    for tile in plan_tiles(*padded.shape[1:], tile=64, halo=9, stride=STRIDE):
        read = read_tile(packed, tile)
        np.testing.assert_array_equal(read, padded[:, tile.rows.source, tile.columns.source])
        stitch(result, tile, read)
    np.testing.assert_array_equal(result, packed)


def test_stitching_the_tiles_of_an_image_gives_the_image() -> None:
    image = np.random.default_rng(0).random((4, 96, 160), dtype=np.float32)
    result = np.full_like(image, np.nan)
    for tile in plan_tiles(96, 160, tile=64, halo=9, stride=STRIDE):
        stitch(result, tile, image[:, tile.rows.source, tile.columns.source])
    np.testing.assert_array_equal(result, image)
