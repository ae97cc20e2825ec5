"""Seconds on the clock, or of the processor: on a machine that others use too, only the latter mean anything."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from training.raw.decode import default_decoder

if TYPE_CHECKING:
    from collections.abc import Sequence

Clock = Literal["wall", "cpu"]


def now(clock: Clock) -> float:
    """Seconds since whenever; with "cpu" those of this process and of its decoder."""
    return time.perf_counter() if clock == "wall" else time.process_time() + _decoder_seconds()


def _decoder_seconds() -> float:
    """Processor time of the decoder program so far; Linux tells (proc(5), fields 14 and 15 of stat)."""
    process_id = default_decoder().process_id
    if process_id is None:
        return 0.0
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spread(values: Sequence[float]) -> str:
    """Median, least and largest.

    >>> spread([4.0, 5.0, 3.5])
    '4.00 (3.50 … 5.00)'
    """
    return f"{statistics.median(values):.2f} ({min(values):.2f} … {max(values):.2f})"
