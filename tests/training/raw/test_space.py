"""Where a rewrite puts what is new: in the old mosaic's place, then at the end."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import make_dng, sample_mosaic, undefined
from hypothesis import given, settings
from hypothesis import strategies as st
from rewriting import CHANGES, rawpy_mosaic

from training.errors import RawTooLargeError, UnreadableRawError
from training.raw import space, tags
from training.raw.dng import read_raw
from training.raw.rewrite import write_dng
from training.raw.space import Space
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from pathlib import Path


def test_file_gets_smaller_where_the_mosaic_lies_last(tmp_path: Path) -> None:
    mosaic = sample_mosaic(300, 300)
    last = make_dng(tmp_path / "last.dng", mosaic, layout="strips", bits=16)
    first = make_dng(tmp_path / "first.dng", mosaic, layout="strips", bits=16, data_first=True)
    sizes = last.stat().st_size, first.stat().st_size
    for path in (last, first):
        write_dng(path, path, mosaic, CHANGES)
    assert last.stat().st_size < 0.9 * sizes[0]
    assert sizes[1] < first.stat().st_size < sizes[1] + 3000


def test_mosaic_that_needs_more_room_goes_to_the_end(tmp_path: Path) -> None:
    flat = np.full((520, 520), 1000, dtype=np.uint16)
    noise = np.random.default_rng(0).integers(0, 1 << 14, flat.shape).astype(np.uint16)
    source = make_dng(tmp_path / "source.dng", flat, layout="ljpeg-tiles", data_first=True)
    size = source.stat().st_size
    write_dng(source, source, noise, CHANGES)
    np.testing.assert_array_equal(read_raw(source).mosaic, noise)
    assert source.stat().st_size > size + 400_000


def test_strips_with_gaps_are_reused(tmp_path: Path) -> None:
    mosaic = sample_mosaic(601, 333, bits=12)  # 500 bytes a row: no strip of 3 rows can hold a tile, all together can
    source = make_dng(tmp_path / "source.dng", mosaic, bits=12, rows_per_strip=3, data_first=True)
    size = source.stat().st_size
    write_dng(source, source, mosaic, CHANGES)
    assert source.stat().st_size < size + 3000
    np.testing.assert_array_equal(rawpy_mosaic(source), mosaic)


def test_file_beyond_four_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic = sample_mosaic(100, 130)
    source = make_dng(tmp_path / "source.dng", mosaic)
    monkeypatch.setattr(space, "MAX_FILE_BYTES", 10_000)
    with pytest.raises(RawTooLargeError, match="4 GiB"):
        write_dng(source, tmp_path / "target.dng", mosaic, CHANGES)
    assert not (tmp_path / "target.dng").exists()


def test_mosaic_that_shares_bytes_with_a_tag_is_refused(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64, bits=8)
    opcodes = {tags.OPCODE_LIST_3: undefined(bytes(5000))}
    source = make_dng(tmp_path / "source.dng", mosaic, bits=8, rows_per_strip=64, raw_tags=opcodes)
    with open_tiff(source) as file:
        entries = file.chain[0].entries
        strips, at = entries[tags.STRIP_OFFSETS], entries[tags.OPCODE_LIST_3].value_offset + 8
        assert file.integers(file.chain[0], tags.STRIP_OFFSETS)[0] > at
    data = bytearray(source.read_bytes())
    struct.pack_into("<I", data, strips.value_offset, at)
    source.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="share bytes"):
        write_dng(source, tmp_path / "target.dng", mosaic, CHANGES)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=8),
    st.lists(st.integers(1, 80), max_size=12),
)
def test_placed_pieces_never_meet(starts: list[tuple[int, int]], sizes: list[int]) -> None:
    ranges = [(start, start + length) for start, length in starts]
    room = Space(ranges, size=500)
    taken = [range(offset, offset + size) for offset, size in ((room.place(size), size) for size in sizes)]
    taken += [range(start, end) for start, end in room.kept]
    used = [at for piece in taken for at in piece]
    assert len(used) == len(set(used))
    assert all(piece.start % 2 == 0 for piece in taken[: len(sizes)])
    assert room.end >= max(used, default=0)
