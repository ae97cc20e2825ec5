"""Our encoder of lossless JPEG against libjpeg: the same numbers, and never more bytes."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from dng_factory import encode_ljpeg as encode_by_libjpeg
from dng_factory import sample_mosaic
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.raw.codecs import decode_ljpeg
from training.raw.jpeg import parse_jpeg_frame
from training.raw.ljpeg import code_lengths, encode_ljpeg

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("bits", range(2, 17))
def test_decode_ljpeg_inverts_encode_ljpeg(bits: int) -> None:
    tile = sample_mosaic(48, 64, bits)
    assert (decode_ljpeg(encode_ljpeg(tile, bits), tile.size).reshape(tile.shape) == tile).all()


@given(
    arrays(
        np.uint16,
        st.tuples(st.integers(1, 9), st.integers(1, 9).map(lambda half: 2 * half)),
        elements=st.integers(0, 65535),
    )
)
def test_any_tile_comes_back(tile: np.ndarray) -> None:
    assert (decode_ljpeg(encode_ljpeg(tile, 16), tile.size).reshape(tile.shape) == tile).all()


@pytest.mark.parametrize(
    "tile",
    [
        np.zeros((16, 16), np.uint16),
        np.full((16, 16), 65535, np.uint16),
        np.tile(np.uint16([0, 0, 32768, 32768]), (16, 4)),
        RNG.integers(0, 65536, (64, 64), dtype=np.uint16),
        RNG.integers(0, 2, (64, 64), dtype=np.uint16),
        (30000 + RNG.standard_normal((256, 256)) * 50).astype(np.uint16),
    ],
    ids=["black", "white", "the largest difference", "nothing in common", "two numbers", "noise"],
)
def test_it_takes_no_more_than_libjpeg(tile: np.ndarray) -> None:
    ours = encode_ljpeg(tile, 16)
    assert (decode_ljpeg(ours, tile.size).reshape(tile.shape) == tile).all()
    assert len(ours) <= len(encode_by_libjpeg(tile, 16))


def test_it_writes_what_dng_readers_expect() -> None:
    data = encode_ljpeg(sample_mosaic(48, 64, 14), 14)
    assert parse_jpeg_frame(data) == (14, 48, 32, 2)
    scan = data.index(b"\xff\xda")
    assert data[scan + 4] == 2, "components of the scan"
    assert data[scan + 9] == 1, "predictor"


def test_codes_are_as_short_as_huffman_s_and_leave_the_one_of_ones_free() -> None:
    counts = RNG.integers(1, 1000, 17).tolist()
    lengths = code_lengths(counts)
    nodes, cost = [0, *counts], 0
    heapq.heapify(nodes)
    while len(nodes) > 1:
        merged = heapq.heappop(nodes) + heapq.heappop(nodes)
        cost += merged
        heapq.heappush(nodes, merged)
    assert sum(count * length for count, length in zip(counts, lengths, strict=True)) == cost
    assert sum(2**-length for length in lengths) == 1 - 2.0 ** -max(lengths)


def test_codes_are_never_longer_than_the_format_allows() -> None:
    fibonacci = [1, 1]  # the counts that make Huffman's codes longest: of 17 bits
    while len(fibonacci) < 17:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = code_lengths(fibonacci)
    assert min(lengths) > 0
    assert max(lengths) <= 16
    assert sum(2**-length for length in lengths) < 1
