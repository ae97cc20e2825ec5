"""Locks on files: they tell whether the process that made a file still works, and need no tidying after a crash.

The kernel lets go of a file's lock when its process ends, however it ends, and keeps that of one that is only frozen.
"""

from __future__ import annotations

import fcntl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def lock(file: Any) -> None:
    """Lock an open file until it is closed; does nothing on a file system that has no locks."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)


def is_locked(path: Path) -> bool:
    """Whether somebody holds a file's lock; True where that cannot be told, False where there is no such file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask do not disturb each other
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
