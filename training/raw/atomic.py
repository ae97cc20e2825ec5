"""Files that appear whole or not at all.

In the flow: whatever writes a file for somebody else to read writes it through `replacing`.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Write a file beside `target`, and rename it to `target` when the block ends without an error.

    On any error the unfinished file is removed and `target` is what it was. A target that exists keeps its mode, and a
    symbolic link stays one: what it points to is replaced.

    Args:
        target: What to write; its folder exists.

    Yields:
        The unfinished file, open for reading and writing bytes.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    target = target.resolve()
    unfinished = target.with_name(f".photosite-{secrets.token_hex(8)}.part")
    try:
        with unfinished.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, unfinished)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
