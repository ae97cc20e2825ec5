"""The directory parser: what it reads, and that no file makes it slow, large or endless."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from dng_factory import assemble, double, long, make_dng, rational, sample_mosaic, short, srational, text, undefined
from hypothesis import given, settings
from hypothesis import strategies as st

from training.errors import RawError, UnreadableRawError, UnsupportedRawError
from training.raw import tags
from training.raw.tiff import MAX_ALL_ENTRIES, MAX_DIRECTORIES, open_tiff

if TYPE_CHECKING:
    from pathlib import Path

TAG = 40_000


def _tiff(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _directory(entries: bytes, next_offset: int = 0) -> bytes:
    return struct.pack("<H", len(entries) // 12) + entries + struct.pack("<I", next_offset)


def _entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize(
    ("field", "numbers"),
    [
        (short(1, 65535), (1, 65535)),
        (long(1, 2**32 - 1), (1, 2**32 - 1)),
        (rational(0.5, 3), (0.5, 3.0)),
        (srational(-0.25), (-0.25,)),
        (double(1e-300, -2.5), (1e-300, -2.5)),
        (undefined(b"\x07"), (7,)),
    ],
)
def test_numbers_of_every_type_are_read(tmp_path: Path, byte_order: str, field: object, numbers: tuple) -> None:
    path = _tiff(tmp_path / "a.tif", assemble({"ifd0": {TAG: field}}, {}, byte_order))
    with open_tiff(path) as tiff:
        assert tiff.values(tiff.chain[0], TAG) == numbers


def test_text_ends_at_its_nul_and_missing_tags_have_defaults(tmp_path: Path) -> None:
    path = _tiff(tmp_path / "a.tif", assemble({"ifd0": {tags.MAKE: text("Phantom \0old")}}, {}, "<"))
    with open_tiff(path) as tiff:
        ifd0 = tiff.chain[0]
        assert tiff.text(ifd0, tags.MAKE) == "Phantom"
        assert tiff.text(ifd0, tags.MODEL) == ""
        assert tiff.values(ifd0, TAG, (4.5,)) == (4.5,)
        assert tiff.integers(ifd0, TAG, (4,)) == (4,)
        assert tiff.integer(ifd0, TAG, 5) == 5
        with pytest.raises(UnreadableRawError, match=f"tag {TAG} is missing"):
            tiff.integer(ifd0, TAG)


@pytest.mark.parametrize("field", [rational(0.5), double(float("nan")), double(float("inf")), text("12")])
def test_what_should_be_whole_and_is_not_is_an_error(tmp_path: Path, field: object) -> None:
    path = _tiff(tmp_path / "a.tif", assemble({"ifd0": {TAG: field}}, {}, "<"))
    with open_tiff(path) as tiff, pytest.raises(UnreadableRawError):
        tiff.integer(tiff.chain[0], TAG)


def test_a_fraction_of_zero_is_an_error(tmp_path: Path) -> None:
    data = b"II*\0\x08\0\0\0" + _directory(_entry(TAG, 5, 1, 26)) + struct.pack("<II", 1, 0)
    with open_tiff(_tiff(tmp_path / "a.tif", data)) as tiff, pytest.raises(UnreadableRawError, match="denominator 0"):
        tiff.values(tiff.chain[0], TAG)


def test_sub_directories_know_where_their_pointers_lie(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", sample_mosaic(64, 64), sub_ifd=True)
    data = path.read_bytes()
    with open_tiff(path) as tiff:
        assert len(tiff.directories) == 2
        for directory in tiff.directories:
            assert struct.unpack_from("<I", data, directory.pointer_offset) == (directory.offset,)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"I", "not a DNG"),
        (b"II*\0", "not a DNG"),
        (b"II*\0\0\0\0\0", "make sense"),
        (b"II*\0\x08\0\0\0", "cut off"),
        (b"II*\0\xff\xff\xff\xff", "cut off"),
        (b"II*\0\x08\0\0\0\xff\xff", "make sense"),
        (b"\xff\xd8\xff\xe1 photo", "it is a JPEG"),
        (b"\x89PNG\r\n\x1a\n", "it is a PNG"),
        (b"a text that someone sent", "begins with b'a te'"),
        (b"II*\0\x08\0\0\0" + _directory(_entry(TAG, 4, 2**31, 0)), "claims 8589934592 bytes"),
        (b"II*\0\x08\0\0\0" + _directory(_entry(TAG, 4, 4, 10_000)), "claims 16 bytes"),
        (b"II*\0\x08\0\0\0" + _directory(_entry(TAG, 1, 1, 0), 8), "cycle"),
        (b"II*\0\x08\0\0\0" + _directory(_entry(tags.SUB_IFDS, 4, 1, 8)), "cycle"),
        (b"II*\0\x08\0\0\0" + _directory(_entry(tags.SUB_IFDS, 2, 4, 8)), "SubIFDs"),
    ],
)
def test_what_is_no_honest_tiff_is_refused_with_its_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableRawError, match=reason):
        open_tiff(_tiff(tmp_path / "a.dng", data))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRawError, match="cannot be opened"):
        open_tiff(tmp_path / "nothing.dng")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"FUJIFILMCCD-RAW 0201", "Fujifilm RAF"),
        (b"IIU\0\x18\0\0\0", "Panasonic RW2"),
        (b"IIRO\x08\0\0\0", "Olympus ORF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "Canon CR3"),
    ],
)
def test_raw_formats_of_other_makers_are_named(tmp_path: Path, data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedRawError, match=name):
        open_tiff(_tiff(tmp_path / "a.raw", data))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (struct.pack("<2sHHHI", b"II", 43, 8, 0, 16), "cut off"),
        (struct.pack("<2sHHHQ", b"II", 43, 4, 0, 16), "offsets of 4 bytes"),
        (struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16), "cut off"),
        (struct.pack("<2sHHHQ", b"II", 43, 8, 0, 2**63), "cut off"),
        (struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 2**64 - 1), "entries"),
        (struct.pack("<2sHHHQQHHQQQ", b"II", 43, 8, 0, 16, 1, 256, 4, 2**62, 0, 0), "claims"),
    ],
)
def test_a_big_tiff_that_makes_no_sense_is_refused(tmp_path: Path, header: bytes, reason: str) -> None:
    with pytest.raises(UnreadableRawError, match=reason):
        open_tiff(_tiff(tmp_path / "a.dng", header))


def test_a_chain_of_sixty_thousand_directories_is_refused(tmp_path: Path) -> None:
    one = _directory(_entry(TAG, 1, 1, 0))
    chain = b"".join(one[:-4] + struct.pack("<I", 8 + len(one) * (i + 1)) for i in range(60_000))
    with pytest.raises(UnreadableRawError, match=f"more than {MAX_DIRECTORIES} directories"):
        open_tiff(_tiff(tmp_path / "a.dng", b"II*\0\x08\0\0\0" + chain))


@pytest.mark.parametrize("count", [MAX_DIRECTORIES + 1, 10**6])
def test_a_sub_directory_bomb_is_refused(tmp_path: Path, count: int) -> None:
    data = b"II*\0\x08\0\0\0" + _directory(_entry(tags.SUB_IFDS, 4, count, 26)) + b"\x1a\0\0\0" * count
    with pytest.raises(UnreadableRawError, match=f"names {count} directories"):
        open_tiff(_tiff(tmp_path / "a.dng", data))


def test_directories_full_of_tags_are_refused(tmp_path: Path) -> None:
    size = 2 + 12 * 4096 + 4
    full = [_directory(_entry(TAG, 1, 1, 0) * 4096, 8 + size * (i + 1)) for i in range(20)]
    with pytest.raises(UnreadableRawError, match=f"more than {MAX_ALL_ENTRIES} tags"):
        open_tiff(_tiff(tmp_path / "a.dng", b"II*\0\x08\0\0\0" + b"".join(full)))


def test_a_tag_of_too_many_numbers_is_not_turned_into_numbers(tmp_path: Path) -> None:
    data = b"II*\0\x08\0\0\0" + _directory(_entry(TAG, 3, 70_000, 26)) + bytes(140_000)
    with open_tiff(_tiff(tmp_path / "a.dng", data)) as tiff, pytest.raises(UnreadableRawError, match="no sense"):
        tiff.values(tiff.chain[0], TAG)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_after_a_header_give_no_other_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = _tiff(tmp_path_factory.getbasetemp() / "random.dng", b"II*\0\x08\0\0\0" + data)
    try:
        with open_tiff(path) as tiff:
            for directory in tiff.directories:
                for tag in directory.entries:
                    tiff.values(directory, tag)
    except RawError:
        pass


def test_what_makes_no_sense_is_left_out_where_that_is_wished(tmp_path: Path) -> None:
    entries = _entry(tags.IMAGE_WIDTH, 4, 1, 96) + _entry(tags.MAKE, 2, 1 << 20, 8) + _entry(tags.SUB_IFDS, 2, 1, 8)
    path = _tiff(tmp_path / "a.tif", struct.pack("<2sHI", b"II", 42, 8) + _directory(entries, next_offset=10_000))
    with pytest.raises(UnreadableRawError):
        open_tiff(path)
    with open_tiff(path, tolerant=True) as tiff:
        (directory,) = tiff.directories
        assert sorted(directory.entries) == [tags.IMAGE_WIDTH, tags.SUB_IFDS]
        assert tiff.integer(directory, tags.IMAGE_WIDTH) == 96


def test_tolerance_ends_where_directories_have_no_end(tmp_path: Path) -> None:
    entries = _entry(tags.IMAGE_WIDTH, 4, 1, 96)
    path = _tiff(tmp_path / "a.tif", struct.pack("<2sHI", b"II", 42, 8) + _directory(entries, next_offset=8))
    with open_tiff(path, tolerant=True) as tiff:
        assert len(tiff.directories) == 1
