"""What a lossless JPEG ("LJ92") claims to hold, read without decoding it.

In the flow: find_mosaic checks each chunk's claim by it, and the decoder once more. Imports no decoder.

Source: ITU-T T.81, annex B.2.2 (frame header) and annex H (lossless, SOF3).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from training.errors import UnreadableRawError

_SOF3 = 0xC3
_OTHER_FRAMES = set(range(0xC0, 0xD0)) - {0xC3, 0xC4, 0xC8, 0xCC}

_METADATA = {0xE1, 0xED}
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_RESTART = 0xD0


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


def coded_numbers(data: bytes) -> tuple[int, int]:
    """Where the numbers of a lossless JPEG's only scan lie: [start, end), up to the marker that ends the picture.

    Within them 0xFF is followed by 0, or is one of the eight markers at which a decoder may start anew.

    Raises:
        UnreadableRawError: There are none, nothing ends them, or something else than the end comes after them.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        (length,) = struct.unpack_from(">H", data, at + 2)
        if data[at + 1] == _START_OF_SCAN:
            return at + 2 + length, _end_of_numbers(data, at + 2 + length)
        at += 2 + length
    raise UnreadableRawError("a chunk of the mosaic is cut off")


def _end_of_numbers(data: bytes, start: int) -> int:
    coded = np.frombuffer(data, np.uint8)[start:]
    escapes = np.flatnonzero(coded[:-1] == 0xFF)
    following = coded[escapes + 1]
    markers = escapes[(following != 0) & (following != 0xFF) & ((following < _RESTART) | (following > _RESTART + 7))]
    if not len(markers):
        raise UnreadableRawError("a chunk of the mosaic is cut off")
    if len(markers) > 1 or coded[markers[0] + 1] != _END_OF_IMAGE:
        raise UnreadableRawError("a chunk of the mosaic is corrupt: there are markers among its numbers")
    return start + int(markers[0])


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
