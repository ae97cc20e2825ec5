"""Encodes a tile of a mosaic as lossless JPEG ("LJ92"), in whole arrays: a third of the time that libjpeg takes.

In the flow: write_dng → **encode_ljpeg** → the tile's bytes. Decoding, of files that may be hostile, is in `codecs.py`,
which asks `count_bits` whether all of a chunk's numbers were coded.

Source: ITU-T T.81: H.1.2 (predictor 1, differences modulo 2¹⁶, their categories), K.2 (lengths of codes), C.2 (codes),
F.1.2.3 (bytes of ones), B.2 (markers). DNG specification 1.4, chapter 3 "Compression": a Bayer tile of h×w is coded as
h×(w/2) with two components, so that each sample is predicted from one of its own colour.
"""

from __future__ import annotations

import heapq
import struct
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

_HALF = 1 << 15
_CATEGORIES = np.frexp(np.abs(np.arange(-_HALF, _HALF)))[1].astype(np.intp)
"""(65536,) bits of the size of each difference, −32768 … 32767."""
_OWN_BITS = 15
"""A difference of category n has n bits of its own after the code; −32768, alone in category 16, has none."""
_LONGEST_CODE = 16
_SIZE_BITS = 6
"""Of an entry of the table: the low ones hold how many bits its code has, the others the code."""
_WORD = 64


def encode_ljpeg(tile: NDArray[np.uint16], bits: int) -> bytes:
    """Encode a tile of a Bayer mosaic: two components, predictor 1, the tile's own best Huffman table.

    Args:
        tile: (h, w) uint16, w even, every value below 2 ** bits.
        bits: Sample precision written into the frame header, 2 … 16.
    """
    places, categories, counts = _categorise(_differences(tile, bits, 2))
    lengths = code_lengths(counts)
    coded = _code_table(lengths, categories).take(places)
    sizes = coded & np.uint64((1 << _SIZE_BITS) - 1)
    coded >>= _SIZE_BITS
    return b"".join([_header(tile.shape, bits, lengths), _join_bits(coded, sizes), b"\xff\xd9"])


def count_bits(tile: NDArray[np.uint16], bits: int, components: int, lengths: Sequence[int]) -> int | None:
    """How many bits a tile takes, coded with predictor 1; None where it holds what there is no code for.

    Args:
        tile: (h, w) uint16, `components` in turn in each row.
        bits: Sample precision of the frame header.
        components: Of the frame.
        lengths: Of the code of each category; 0 for none.
    """
    counts = _categorise(_differences(tile, bits, components))[2]
    if any(count and not length for count, length in zip_longest(counts, lengths, fillvalue=0)):
        return None
    return sum(
        count * (length + (category & _OWN_BITS))
        for category, (count, length) in enumerate(zip(counts, lengths, strict=False))
    )


def _differences(tile: NDArray[np.uint16], bits: int, components: int) -> NDArray[np.int16]:
    """(h, w) what each sample is more than the one before it of its component, modulo 2¹⁶.

    The first of a row is predicted from the row above, the first of all from half of the range.
    """
    differences = np.empty(tile.shape, dtype=np.uint16)
    np.subtract(tile[:, components:], tile[:, :-components], out=differences[:, components:])
    first = tile[:, :components]
    np.subtract(first[1:], first[:-1], out=differences[1:, :components])
    np.subtract(first[0], np.uint16(1 << (bits - 1)), out=differences[0, :components])
    return differences.view(np.int16)


def _categorise(differences: NDArray[np.int16]) -> tuple[NDArray[np.intp], NDArray[np.intp], list[int]]:
    """Where each difference stands in a range around 0, that range's categories, and how often each category occurs."""
    half = 1 << max(int(differences.max()), -1 - int(differences.min())).bit_length()
    places = differences.ravel().astype(np.intp)
    places += half
    categories = _CATEGORIES[_HALF - half : _HALF + half]
    counts = np.bincount(categories, np.bincount(places, minlength=2 * half))
    return places, categories, counts.astype(int).tolist()


def code_lengths(counts: Sequence[int]) -> list[int]:
    """How long the Huffman code of each symbol is, 16 bits at the most; 0 for one that does not occur.

    >>> code_lengths([40, 0, 30, 10])
    [1, 0, 2, 3]
    """
    nobody = len(counts)  # rarer than all others, it gets the code of ones alone, which is forbidden
    nodes = [(count, symbol, [symbol]) for symbol, count in enumerate(counts) if count] + [(0, nobody, [nobody])]
    lengths = [0] * (len(counts) + 1)
    heapq.heapify(nodes)
    while len(nodes) > 1:
        (first, order, rarest), (second, _, rare) = heapq.heappop(nodes), heapq.heappop(nodes)
        for symbol in (*rarest, *rare):
            lengths[symbol] += 1
        heapq.heappush(nodes, (first + second, order, rarest + rare))
    if max(lengths) > _LONGEST_CODE:
        return code_lengths([-(-count // 2) for count in counts])
    return lengths[:-1]


def _in_order(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Length and symbol of each code, in the order in which codes are given out."""
    return sorted((length, symbol) for symbol, length in enumerate(lengths) if length)


def _code_table(lengths: Sequence[int], categories: NDArray[np.intp]) -> Words:
    """(n,) for each difference of a range around 0: its category's code and its own bits, then how many they are."""
    codes, sizes = np.zeros((2, len(lengths)), dtype=np.uint64)
    code = previous = 0
    for length, symbol in _in_order(lengths):
        code <<= length - previous
        codes[symbol], sizes[symbol] = code, length
        code, previous = code + 1, length
    half = len(categories) // 2
    more = categories & _OWN_BITS
    values = np.arange(-half, half)
    own = (values - (values < 0)) & ((1 << more) - 1)
    size = more.astype(np.uint64)
    table: Words = (codes[categories] << size | own.astype(np.uint64)) << np.uint64(_SIZE_BITS)
    return table | (sizes[categories] + size)


def _join_bits(words: Words, sizes: Words) -> bytes:
    """Codes one after the other, the rest of the last byte filled with ones, and a zero after every byte of ones.

    Args:
        words: (n,) codes of at most 31 bits, n even.
        sizes: (n,) their bits, at least 1.
    """
    words, sizes = _join_pairs(words, sizes)
    if len(words) % 2 == 0 and int(sizes.max()) <= _WORD // 2:
        words, sizes = _join_pairs(words, sizes)
    ends = sizes.cumsum()
    starts = ends - sizes
    first_bits = starts % _WORD
    words <<= _WORD - sizes  # now they begin at the top
    last = np.append(np.flatnonzero(np.diff(starts // _WORD)), len(starts) - 1)  # to begin within each word of output
    output = np.zeros(len(last) + 1, dtype=np.uint64)
    # no two share a bit, so that what lies in a word is their sum: the difference of two running sums, modulo 2⁶⁴
    output[:-1] = np.diff((words >> first_bits).cumsum()[last], prepend=np.uint64(0))
    output[1:] |= words[last] << 1 << (_WORD - 1 - first_bits[last])  # what reaches into the next one
    total = int(ends[-1])
    data = bytearray(output.astype(">u8").tobytes()[: -(-total // 8)])
    data[-1] |= (1 << -total % 8) - 1
    return bytes(data.replace(b"\xff", b"\xff\0"))


def _join_pairs(words: Words, sizes: Words) -> tuple[Words, Words]:
    """(n / 2,) every two codes as one, which has to fit."""
    return words[::2] << sizes[1::2] | words[1::2], sizes[::2] + sizes[1::2]


def _header(shape: tuple[int, ...], bits: int, lengths: Sequence[int]) -> bytes:
    """Start of image, frame, Huffman table, start of scan."""
    height, width = shape
    codes = _in_order(lengths)
    table = bytes(sum(length == size for length, _ in codes) for size in range(1, _LONGEST_CODE + 1))
    symbols = bytes(symbol for _, symbol in codes)
    components = bytes([0, 0x11, 0, 1, 0x11, 0])  # number, not subsampled, no quantisation
    frame = struct.pack(">BHHB", bits, height, width // 2, 2) + components
    scan = bytes([2, 0, 0, 1, 0, 1, 0, 0])  # two components, each with table 0; predictor 1; no point transform
    segments = [(0xC3, frame), (0xC4, b"\0" + table + symbols), (0xDA, scan)]
    return b"\xff\xd8" + b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
