"""The ways to denoise a file: by the library, by the command line, over HTTP; each in processes of its own.

The process that starts them has to stay small: Linux counts its memory into the peak of what it starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service_process import USUAL, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.speed.clocks import Clock
    from service_process import RunningService


def run_program(command: list[str], clock: Clock, environment: dict[str, str]) -> tuple[float, float, str]:
    """Seconds, peak memory in MB of its largest process, and what it printed; it and its children count."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.perf_counter() - started if clock == "wall" else usage.ru_utime + usage.ru_stime
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit / 1e6, output


def run_part(name: str, *words: object) -> str:
    """What a program of this package printed."""
    return run_program([sys.executable, "-m", f"benchmarks.speed.{name}", *map(str, words)], "wall", {})[2]


def by_library(path: Path, model: str, clock: Clock, models: list[str]) -> dict[str, Any]:
    """What `one_file` says."""
    target = path.with_name(f"library-{path.name}")
    found: dict[str, Any] = json.loads(run_part("one_file", path, target, model, clock, *models))
    return found


def by_command(words: list[str], clock: Clock, environment: dict[str, str]) -> dict[str, float]:
    """Seconds from nothing to a written file, and peak memory."""
    seconds, peak_mb, _ = run_program([sys.executable, "-m", "service", *words], clock, environment)
    return {"seconds": seconds, "peak_mb": peak_mb}


@contextmanager
def service(folder: Path, environment: dict[str, str]) -> Iterator[RunningService]:
    """`photosite serve`, which has loaded nothing yet."""
    with serve(folder / "data", **USUAL, **environment) as running:
        yield running


def over_http(running: RunningService, path: Path, model: str, number: int) -> dict[str, float]:
    """Seconds from the first byte sent to the last one received, those of the worker's stages, and its peak memory."""
    strength = 1 - 1e-6 * number  # never the same request twice
    body, started = path.read_bytes(), time.perf_counter()
    answer = running.client.post(
        f"/denoise?strength={strength}&model={model}", content=body, headers={"Prefer": "wait=140"}
    )
    seconds = time.perf_counter() - started
    answer.raise_for_status()
    job = running.job(answer.headers["X-Photosite-Job"])
    _, worker = running.worker("denoise")
    return {
        "seconds": seconds,
        "denoising": sum(job["report"]["seconds"].values()),
        "worker_peak_mb": _peak_mb(worker),
    }


def _peak_mb(process_id: int) -> float:
    """The most memory that a running process has had; Linux tells (proc(5), VmHWM of status)."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    (peak_kib,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return peak_kib * 1024 / 1e6
