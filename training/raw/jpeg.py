"""What a lossless JPEG ("LJ92") claims to hold, read without decoding it.

In the flow: find_mosaic checks each chunk's claim by it, and the decoder once more. Imports no decoder.

Source: ITU-T T.81, annex B.2.2 (frame header) and annex H (lossless, SOF3).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.errors import UnreadableRawError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOF3 = 0xC3
_OTHER_FRAMES = set(range(0xC0, 0xD0)) - {0xC3, 0xC4, 0xC8, 0xCC}

_METADATA = {0xE1, 0xED}
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"
_RESTART = 0xD0
_RESTART_INTERVAL = 0xDD
_HUFFMAN_TABLES = 0xC4
_TABLE_HEADER = 17
"""Bytes of a Huffman table before its values: its number, and how many codes of each length it has."""
_LONGEST_CODE = 16
_MADE_UP = 16
"""The category of a difference of 32768."""
_MOST_TOLD_BITS = 14
"""Numbers of so many bits and a difference of 32768 cannot make another such number."""
_FRAME_HEADER = 10
"""Bytes of it, marker and length included, before its components, which have three each."""
_FIRST_PREDICTOR = b"\1\0\0"
"""The end of a scan's header: predictor 1, no point transform."""
_OTHER_END = b"\xfe" + 63 * b"\xa5" + _END_OF_IMAGE
"""Bits that differ from the zeros that decoders make up, and the end."""


class JpegFrame(NamedTuple):
    """What a lossless JPEG's frame header claims."""

    precision: int
    height: int
    width: int
    components: int

    @property
    def samples(self) -> int:
        """Numbers that decoding will give."""
        return self.height * self.width * self.components


def parse_jpeg_frame(data: bytes) -> JpegFrame:
    """Find and read the SOF3 frame header, without decoding.

    Decoders allocate what this header claims, so it is checked first.

    Raises:
        UnreadableRawError: No JPEG, or a JPEG that is not lossless.
    """
    if data[:2] != b"\xff\xd8":
        raise UnreadableRawError("a chunk of the mosaic is not a lossless JPEG")
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == _SOF3 and at + 10 <= len(data):
            return JpegFrame(*struct.unpack_from(">BHHB", data, at + 4))
        if marker in _OTHER_FRAMES:
            raise UnreadableRawError("a chunk of the mosaic is a JPEG, but not a lossless one")
        at += 2 + length
    raise UnreadableRawError("a chunk of the mosaic is a JPEG without a frame header")


class OtherForm(NamedTuple):
    """A lossless JPEG of the same numbers as another one; see `other_form`."""

    data: bytes
    offset: int
    """How much larger its numbers are."""
    coded_bits: int
    """Of the other one, between header and end, without what keeps bytes of ones from being markers."""
    lengths: list[int] | None
    """Bits of the code of each category; None where it has more than one table, another predictor than 1, components
    that are not alike, numbers of more bits than tell made-up ones, or restarts."""


def other_form(data: bytes) -> OtherForm:
    """A lossless JPEG of the same numbers that a careless decoder takes for others, if it has to make any up.

    Decoders that find no more bits, or a code that no table has, go on with something and do not say so. Here other
    bits follow the last ones, such codes stand for a difference of 32768, which is never 0 and leads out of the range
    of numbers of at most 14 bits, and numbers of 8 bits have 16, so that none wraps around: what decodes to the same
    numbers in both forms was coded in full.

    Raises:
        UnreadableRawError: It is cut off, or there is something else than numbers between its header and its end.
    """
    parts, at, offset, restarts = [data[:2]], 2, 0, False
    tables: dict[int, list[int] | None] = {}
    frame = b""
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at : at + 2 + length]
        at += 2 + length
        if marker == _SOF3:
            frame = segment
            if b"\1" <= segment[4:5] <= b"\x08":
                offset = (1 << 15) - (1 << (segment[4] - 1))
                segment = segment[:4] + bytes([16]) + segment[5:]
        if marker == _HUFFMAN_TABLES:
            tables |= _code_lengths(segment)
            segment = _complete_tables(segment)
        restarts |= marker == _RESTART_INTERVAL
        parts.append(segment)
        if marker == _START_OF_SCAN:
            end, escapes = _end_of_numbers(data, at, restarts=restarts)
            lengths = None if restarts else _only_table(frame, segment, tables)
            return OtherForm(b"".join([*parts, data[at:end], _OTHER_END]), offset, 8 * (end - at - escapes), lengths)
    raise UnreadableRawError("a chunk of the mosaic is cut off")


def _only_table(frame: bytes, scan: bytes, tables: Mapping[int, list[int] | None]) -> list[int] | None:
    """See `OtherForm.lengths`."""
    if len(frame) < _FRAME_HEADER or not 8 < frame[4] <= _MOST_TOLD_BITS:
        return None
    count = frame[_FRAME_HEADER - 1]
    tables_used = scan[6 : 5 + 2 * count : 2]
    alike = frame[_FRAME_HEADER + 1 :: 3] == b"\x11" * count and tables_used == tables_used[:1] * count
    if not (alike and scan[4] == count and scan[5 + 2 * count :] == _FIRST_PREDICTOR):
        return None
    return tables.get(tables_used[0] >> 4)


def _code_lengths(segment: bytes) -> dict[int, list[int] | None]:
    """Bits of the code of each category, by table; None for one that has two codes for a category."""
    found: dict[int, list[int] | None] = {}
    at = 4
    while at + _TABLE_HEADER <= len(segment):
        counts = segment[at + 1 : at + _TABLE_HEADER]
        categories = segment[at + _TABLE_HEADER : at + _TABLE_HEADER + sum(counts)]
        sizes = [size for size, count in enumerate(counts, 1) for _ in range(count)]
        by_category = dict(zip(categories, sizes, strict=False))
        lengths = [by_category.get(category, 0) for category in range(256)]
        found[segment[at]] = lengths if len(by_category) == len(sizes) else None
        at += _TABLE_HEADER + sum(counts)
    return found


def _complete_tables(segment: bytes) -> bytes:
    """A segment of Huffman tables in which every code means something, but that of ones alone, which is forbidden."""
    tables, at = [], 4
    while at + _TABLE_HEADER <= len(segment):
        counts = list(segment[at + 1 : at + _TABLE_HEADER])
        values = segment[at + _TABLE_HEADER : at + _TABLE_HEADER + sum(counts)]
        free = (1 << _LONGEST_CODE) - sum(count << (_LONGEST_CODE - 1 - index) for index, count in enumerate(counts))
        longest = max((index for index, count in enumerate(counts) if count), default=0)
        added = 0
        for index in range(longest, _LONGEST_CODE):  # codes of equal length follow each other, longer ones come later
            more = (free >> (_LONGEST_CODE - 1 - index)) - 1
            more = max(0, min(more, 255 - counts[index], 256 - len(values) - added))
            counts[index] += more
            free -= more << (_LONGEST_CODE - 1 - index)
            added += more
        tables.append(segment[at : at + 1] + bytes(counts) + values + bytes([_MADE_UP]) * added)
        at += _TABLE_HEADER + len(values)
    body = b"".join(tables)
    return segment[:2] + struct.pack(">H", 2 + len(body)) + body


def _end_of_numbers(data: bytes, start: int, *, restarts: bool) -> tuple[int, int]:
    """Where the numbers end, with nothing but the picture's end after them, and how many 0xFF are among them.

    Within them 0xFF is followed by 0, or, where the header says so, is a marker at which a decoder starts anew.
    """
    coded = np.frombuffer(data, np.uint8)[start:]
    escapes = np.flatnonzero(coded[:-1] == 0xFF)
    following = coded[escapes + 1]
    allowed = following == 0
    if restarts:
        allowed |= (following >= _RESTART) & (following < _RESTART + 8)
    if allowed.all():
        raise UnreadableRawError("a chunk of the mosaic is cut off")
    among = int(allowed.argmin())
    end = start + int(escapes[among])
    after = data[end:].lstrip(b"\xff")  # any number of them may come before a marker's own byte
    if after[:1] != _END_OF_IMAGE[1:] or _END_OF_IMAGE in after:
        raise UnreadableRawError("a chunk of the mosaic is corrupt: there are markers among its numbers")
    return end, among


class PictureFrame(NamedTuple):
    """What the frame header of a JPEG picture, a preview, claims."""

    height: int
    width: int
    components: int
    subsampling: tuple[int, int]
    """Columns and rows of luminance for one of colour."""


def parse_picture_frame(data: bytes) -> PictureFrame | None:
    """Read the frame header of a baseline or progressive JPEG; None where it is no such picture."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _OTHER_FRAMES and at + 19 <= len(data):
            precision, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            factors = data[at + 11]
            if precision != 8 or components not in {1, 3} or not height * width:
                return None
            return PictureFrame(height, width, components, (max(1, factors >> 4), max(1, factors & 15)))
        at += 2 + length
    return None


def without_metadata(data: bytes) -> bytes:
    r"""A JPEG picture without its EXIF, XMP and IPTC (APP1 and APP13); as it is where it cannot be walked through.

    >>> without_metadata(b"\xff\xd8\xff\xe1\x00\x06Exif\xff\xdb\x00\x03Q\xff\xda\x00\x02...")
    b'\xff\xd8\xff\xdb\x00\x03Q\xff\xda\x00\x02...'
    """
    kept, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            return b"".join([*kept, data[at:]])
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker not in _METADATA:
            kept.append(data[at : at + 2 + length])
        at += 2 + length
    return data
