"""The codecs: compared with encoders that we did not write, and with data that is cut off."""

from __future__ import annotations

import contextlib

import imagecodecs
import numpy as np
import pytest
from dng_factory import encode_ljpeg, pack_bits, sample_mosaic

from training.errors import UnreadableRawError
from training.raw import codecs
from training.raw.codecs import decode_ljpeg, decode_packed
from training.raw.jpeg import parse_jpeg_frame

TILE = sample_mosaic(48, 64, 14)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("components", [1, 2, 4])
def test_every_predictor_and_component_count_decodes(predictor: int, components: int) -> None:
    data = encode_ljpeg(TILE, 14, components, predictor)
    assert (decode_ljpeg(data, TILE.size).reshape(TILE.shape) == TILE).all()


def test_lossless_jpeg_of_another_encoder_decodes() -> None:
    data = imagecodecs.ljpeg_encode(TILE, bitspersample=14)
    assert (decode_ljpeg(data, TILE.size).reshape(TILE.shape) == TILE).all()


@pytest.mark.parametrize("components", [1, 2])
def test_a_lossless_jpeg_that_is_cut_off_is_an_error_wherever_it_is_cut(components: int) -> None:
    data = encode_ljpeg(TILE, 14, components)
    for size in [*range(0, len(data), 97), *range(len(data) - 40, len(data))]:
        with pytest.raises(UnreadableRawError):
            decode_ljpeg(data[:size], TILE.size)
        with pytest.raises(UnreadableRawError):
            decode_ljpeg(data[:size].ljust(len(data), b"\0"), TILE.size)


@pytest.mark.parametrize("marker", ["ffd9", "ffda", "ffc4", "fffe", "ffd0", "ffd7", "ffff"])
@pytest.mark.parametrize("components", [1, 2, 4])
def test_numbers_that_end_early_are_not_made_up(components: int, marker: str) -> None:
    whole = encode_ljpeg(TILE, 14, components)
    for at in range(len(whole) - 60, len(whole) - 2, 7):
        planted = whole[:at] + bytes.fromhex(marker) + whole[at + 2 :]
        with pytest.raises(UnreadableRawError):
            decode_ljpeg(planted, TILE.size)


@pytest.mark.parametrize("components", [1, 2])
def test_numbers_that_lack_their_last_bytes_are_not_made_up(components: int) -> None:
    whole = encode_ljpeg(TILE, 14, components)
    for missing in (1, 2, 8, 100, 1000):
        with pytest.raises(UnreadableRawError, match="not all of its numbers"):
            decode_ljpeg(whole[: -2 - missing] + b"\xff\xd9", TILE.size)


@pytest.mark.parametrize("components", [1, 2])
def test_codes_that_no_table_has_are_not_made_up(components: int) -> None:
    whole = encode_ljpeg(TILE, 14, components)
    middle = len(whole) // 2
    with pytest.raises(UnreadableRawError, match="not all of its numbers"):
        decode_ljpeg(whole[:middle] + b"\x7f" + b"\xff\0" * 4 + whole[middle + 9 :], TILE.size)


@pytest.mark.parametrize("precision", [2, 6, 8])
def test_numbers_beyond_their_precision_do_not_wrap_around(precision: int) -> None:
    data = bytearray(encode_ljpeg(TILE, 14))
    data[data.index(b"\xff\xc3") + 4] = precision
    with pytest.raises(UnreadableRawError, match="not all of its numbers"):
        decode_ljpeg(bytes(data), TILE.size)


def how_often_decoded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often libjpeg decodes a chunk that comes out right."""
    calls: list[bytes] = []
    decode = codecs._decode_jpeg

    def counted(chunk: bytes) -> np.ndarray:
        calls.append(chunk)
        return decode(chunk)

    monkeypatch.setattr(codecs, "_decode_jpeg", counted)
    assert (decode_ljpeg(data, TILE.size).reshape(TILE.shape) == TILE).all()
    return len(calls)


@pytest.mark.parametrize(("predictor", "components", "times"), [(1, 2, 1), (1, 1, 1), (6, 2, 2), (1, 4, 1)])
def test_what_is_surely_complete_is_decoded_once(
    predictor: int, components: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode_ljpeg(TILE, 14, components, predictor)
    assert how_often_decoded(data, monkeypatch) == times


def test_bytes_after_the_last_number_are_harmless_but_make_it_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_ljpeg(TILE, 14)
    assert how_often_decoded(data[:-2] + b"\x55\x55" + data[-2:], monkeypatch) == 2


@pytest.mark.parametrize("components", [1, 2])
def test_numbers_of_damaged_data_are_refused_or_the_same_in_both_forms(components: int) -> None:
    whole, rng, refused = encode_ljpeg(TILE, 14, components), np.random.default_rng(0), 0
    numbers_begin = whole.index(b"\xff\xda") + 8 + 2 * components
    for _ in range(300):
        data = bytearray(whole)
        data[int(rng.integers(numbers_begin, len(data) - 2))] ^= 1 << int(rng.integers(8))
        try:
            decoded = decode_ljpeg(bytes(data), TILE.size)
        except UnreadableRawError:
            refused += 1
            continue
        assert (decoded == codecs._decode_jpeg(bytes(data)).reshape(-1)).all()
    assert 0 < refused < 300


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 9, 16])
def test_every_predictor_decodes_at_every_depth(bits: int, predictor: int) -> None:
    tile = sample_mosaic(48, 64, bits)
    data = encode_ljpeg(tile, bits, 2, predictor)
    assert (decode_ljpeg(data, tile.size).reshape(tile.shape) == tile).all()


@pytest.mark.parametrize("marker", ["ffc3", "ffc4", "ffdd"])
def test_a_header_too_short_for_what_it_announces_is_refused_or_harmless(marker: str) -> None:
    whole = encode_ljpeg(TILE, 14)
    scan = whole.index(b"\xff\xda")
    with contextlib.suppress(UnreadableRawError):
        decoded = decode_ljpeg(whole[:scan] + bytes.fromhex(marker) + b"\0\2" + whole[scan:], TILE.size)
        assert (decoded.reshape(TILE.shape) == TILE).all()


@pytest.mark.parametrize("padding", [b"\0", b"\0\0\0", b"\xff", b"\xff\xff\xff"])
def test_padding_after_and_before_the_end_is_harmless(padding: bytes) -> None:
    whole = encode_ljpeg(TILE, 14, 2)
    for padded in (whole + padding, whole[:-2] + b"\xff" * len(padding) + whole[-2:]):
        assert (decode_ljpeg(padded, TILE.size).reshape(TILE.shape) == TILE).all()


def test_a_jpeg_of_another_size_is_refused_before_it_is_decoded() -> None:
    bomb = bytearray(encode_ljpeg(TILE, 14))
    frame = bomb.index(b"\xff\xc3")
    bomb[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(UnreadableRawError, match="claims 8589672450 samples"):
        decode_ljpeg(bytes(bomb), TILE.size)


def test_a_lossy_jpeg_is_refused() -> None:
    with pytest.raises(UnreadableRawError, match="not a lossless one"):
        parse_jpeg_frame(imagecodecs.jpeg8_encode((TILE >> 6).astype(np.uint8)))


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc3\0\x0b\x0e", b"II*\0"]
)
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableRawError):
        parse_jpeg_frame(data)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("width", [64, 67])
@pytest.mark.parametrize("bits", range(8, 17))
def test_packed_numbers_of_every_size_decode(bits: int, width: int, byte_order: str) -> None:
    rows = sample_mosaic(5, width, bits)
    assert (decode_packed(pack_bits(rows, bits, byte_order), rows.shape, bits, byte_order) == rows).all()


def test_packed_numbers_are_read_from_the_most_significant_bit() -> None:
    numbers = decode_packed(bytes([0x12, 0x34, 0x56]), (1, 2), 12, "<")
    assert numbers.tolist() == [[0x123, 0x456]]


@pytest.mark.parametrize("change", [-1, 1])
def test_packed_numbers_of_another_size_are_refused(change: int) -> None:
    with pytest.raises(UnreadableRawError, match="wanted 10"):
        decode_packed(bytes(10 + change), (2, 3), 12, "<")
