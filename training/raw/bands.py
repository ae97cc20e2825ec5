"""Work on a large frame in bands of rows, on all processors: what numpy computes meanwhile fits into their caches.

In the flow: whatever is done to every photosite by itself, or with few neighbours.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BAND = 128
"""Rows of a band."""
_MAX_THREADS = 8


def thread_pool() -> ThreadPoolExecutor:
    """Threads for what lets go of the interpreter while it computes, as numpy and the codecs do."""
    return ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1))


def for_each_band(rows: int, work: Callable[[slice], Any], band: int = BAND) -> None:
    """Do something to every band of rows; what it raises is raised here.

    Args:
        rows: Of the whole frame.
        work: Gets a band's rows; several run at once, each on its own.
        band: Rows of a band; the last may have fewer.
    """
    bands = [slice(start, min(start + band, rows)) for start in range(0, rows, band)]
    with thread_pool() as pool:
        for _ in pool.map(work, bands):
            pass
