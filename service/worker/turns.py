"""Turns on a device (an accelerator, or the processor): whoever waits for a picture goes first.

In the flow: denoise → **interactive** → network; training step → **make way** → next training step.

A job that somebody waits for holds a lock on a file of its own for as long as it runs; a trainer looks between two
steps whether any such file is locked, and pauses until none is. A plain lock on the device would not do: it is not
fair, and whoever takes it again at once starves the others. The kernel lets go of a file's lock when its process dies,
however it dies, so that nothing has to be cleaned up before the others can go on.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from service.locks import is_locked, lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLL_S = 0.05
ABANDONED_AFTER_S = 60


class DeviceTurns:
    """The turns on one machine's device.

    Args:
        folder: Where the files lie; on the machine's own disk, the same for all workers that share the device.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def interactive(self) -> Iterator[None]:
        """Keep trainers off the device for the length of the block."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / secrets.token_hex(8)
        with path.open("wb") as file:
            lock(file)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def waiting(self) -> bool:
        """Whether somebody waits for a picture."""
        return any(_is_at_work(path) for path in self._folder.glob("*"))

    def make_way(self, still_alive: Callable[[], None]) -> float:
        """Return when nobody waits for a picture.

        Args:
            still_alive: Called at once, and again and again meanwhile; may raise to end the pause.

        Returns:
            Seconds that this took.
        """
        still_alive()
        began = time.monotonic()
        while self.waiting():
            time.sleep(POLL_S)
            still_alive()
        return time.monotonic() - began


def _is_at_work(path: Path) -> bool:
    """Whether the process that made a file is at work; the file of one that died long ago is deleted."""
    if is_locked(path):
        return True
    with suppress(FileNotFoundError):
        if path.stat().st_mtime < time.time() - ABANDONED_AFTER_S:  # not one that is about to be locked
            path.unlink(missing_ok=True)
    return False
