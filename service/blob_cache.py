"""A folder of copies of blobs that lie elsewhere: bounded, least recently used ones deleted first.

In the flow: blob store ↔ **cache** → denoise_file, answers. Several processes share it without talking to each other:
files come by a rename and go by an unlink, and a file's modification time is when it was last used.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from service.storage import blob_path, move, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from service.storage import BlobKey

FRESH_S = 3600.0
"""Files used within so many seconds may be in use still: they stay, unless the cache is twice as large as it may be."""
IDLE_S = 24 * 3600.0
"""Files that nobody used for so many seconds go, however much room there is: their blob may have been deleted."""


class _Copy(NamedTuple):
    used_at: float
    bytes: int
    path: Path


class BlobCache:
    """Copies of blobs.

    Args:
        root: Its folder.
        limit_bytes: What all copies together may take.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._root = root
        self._limit_bytes = limit_bytes

    def find(self, key: BlobKey) -> Path | None:
        """A blob's copy, from now on in use; None if there is none."""
        path = blob_path(self._root, key)
        with storage_errors():
            try:
                os.utime(path)
            except FileNotFoundError:
                return None
        return path

    def add(self, path: Path, key: BlobKey) -> Path:
        """Move a complete file here; one that is here already is replaced by its equal."""
        self.make_room(path.stat().st_size)
        target = blob_path(self._root, key)
        with storage_errors():
            move(path, target)
        return target

    def remove(self, key: BlobKey) -> None:
        """Delete a blob's copy, if there is one."""
        with storage_errors():
            blob_path(self._root, key).unlink(missing_ok=True)

    def make_room(self, wanted_bytes: int) -> None:
        """Delete old copies until so many bytes more fit in."""
        copies = sorted(self._copies())
        now, total = time.time(), wanted_bytes + sum(copy.bytes for copy in copies)
        for copy in copies:
            age_s = now - copy.used_at
            bearable_bytes = self._limit_bytes if age_s > FRESH_S else 2 * self._limit_bytes
            if total <= bearable_bytes and age_s <= IDLE_S:
                return
            with storage_errors():
                copy.path.unlink(missing_ok=True)
            total -= copy.bytes

    def _copies(self) -> list[_Copy]:
        found = []
        for path in (self._root / "tenants").rglob("*"):
            with suppress(FileNotFoundError):  # another process deleted it
                if path.is_file():
                    status = path.stat()
                    found.append(_Copy(status.st_mtime, status.st_size, path))
        return found
