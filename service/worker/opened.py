"""Raws that were decoded a moment ago: whoever looks around in one asks for crop after crop of it.

In the flow: blob → **opened raw** → render. Bounded by bytes, those used longest ago go first; a process of a worker
has its own.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING

from training.capture_facts import describe_raw
from training.raw.dng import read_raw
from training.raw.render import choose_rendering

if TYPE_CHECKING:
    from service.storage import BlobKey, BlobStore
    from training.capture_facts import CaptureFacts
    from training.raw.image import RawImage
    from training.raw.render import Rendering


class OpenedRaw:
    """A raw in memory, and what was found out about it so far."""

    def __init__(self, raw: RawImage) -> None:
        self.raw = raw

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        bad_pixels = self.raw.bad_pixels
        return self.raw.mosaic.nbytes + (0 if bad_pixels is None else bad_pixels.nbytes)

    @cached_property
    def rendering(self) -> Rendering:
        """How it looks, and everything that is made of it."""
        return choose_rendering(self.raw)

    @cached_property
    def facts(self) -> CaptureFacts:
        """What the file and its pixels say, the noise among it."""
        return describe_raw(self.raw)


class OpenedRaws:
    """The raws that were used last.

    Args:
        blobs: Where they come from.
        limit_bytes: What all together may take in memory; one that is larger is still kept while it is used.
    """

    def __init__(self, blobs: BlobStore, limit_bytes: int) -> None:
        self._blobs = blobs
        self._limit_bytes = limit_bytes
        self._opened: OrderedDict[BlobKey, OpenedRaw] = OrderedDict()

    def open(self, key: BlobKey) -> OpenedRaw:
        """A raw, decoded now or a moment ago.

        Raises:
            ResultExpiredError: There is no such blob any more.
            RawError: It cannot be read.
        """
        path = self._blobs.local_path(key)  # also asked for what is in memory: what was deleted is not shown
        opened = self._opened.pop(key, None) or OpenedRaw(read_raw(path))
        self._opened[key] = opened
        while len(self._opened) > 1 and sum(each.bytes for each in self._opened.values()) > self._limit_bytes:
            self._opened.popitem(last=False)
        return opened
