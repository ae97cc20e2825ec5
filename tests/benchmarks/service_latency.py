"""What one user's work costs another's: `make bench-service`. Read the ratios; the seconds are one machine's.

1. Denoising a picture of two megapixels over HTTP while a fine-tuning trains, against the same without it, in turns.
2. Asking for a job's state while four uploads of 50 MB run, against the same without them, in turns: uploads as a line
   of a gigabit carries them, and as fast as this machine can, which then also has to make what it sends.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
from new_camera import HEIGHT, WIDTH, new_camera
from service_process import USUAL, serve, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from service_process import RunningService

UPLOADS, UPLOAD_BYTES, PIECE_BYTES = 4, 50_000_000, 65536
LINES = {"over one gigabit": 1e9 / 8, "as fast as this machine can": float("inf")}
"""Bytes per second of all uploads together."""


def scene(seed: int) -> NDArray[np.float32]:
    """(H, W) a clean two-megapixel mosaic of ramps and waves."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] / 200
    waves = np.sin(rows * rng.uniform(1, 6) + columns * rng.uniform(1, 6))
    return (0.3 + 0.2 * waves + 0.2 * columns / columns.max()).astype(np.float32)


def make_captures(folder: Path, count: int) -> list[Path]:
    """Noisy files of different scenes."""
    camera = new_camera()
    return [camera.capture(folder / f"{seed}.dng", scene(seed), seed) for seed in range(count)]


def latency(service: RunningService, path: Path, round_number: int) -> float:
    """Seconds of one picture, from the first byte sent to the last one received; never the same request twice."""
    strength = 1 - 1e-6 * round_number
    started = time.perf_counter()
    answer = service.client.post(f"/denoise?strength={strength}", content=path.read_bytes())
    seconds = time.perf_counter() - started
    answer.raise_for_status()
    return seconds


@contextmanager
def training(service: RunningService, captures: Sequence[str]) -> Iterator[None]:
    """A fine-tuning that trains for as long as the block lasts."""
    body = {"captures": list(captures), "name": "bench", "steps": 100_000}
    job_id = service.client.post("/jobs/finetune", json=body).raise_for_status().json()["id"]
    wait_until(lambda: int(str(service.job(job_id)["figures"].get("step", 0))) > 2, 300)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        service.client.delete(f"/jobs/{job_id}").raise_for_status()
        wait_until(lambda: not busy(service), 60)


def busy(service: RunningService) -> bool:
    """Whether any job runs or waits."""
    return bool(service.client.get("/jobs", params={"state": ["queued", "running"]}).json()["jobs"])


def compare_denoising(folder: Path, rounds: int) -> None:
    """Print the latency beside a training, and its ratio to that without."""
    paths = make_captures(folder, 5)
    with serve(folder / "data", **USUAL) as service:
        ids = [
            service.client.post("/captures", content=path.read_bytes()).raise_for_status().json()["id"]
            for path in paths[1:]
        ]
        wait_until(lambda: not busy(service), 300)
        latency(service, paths[0], 0)  # the first one loads the model
        alone, beside = [], []
        for number in range(rounds):
            alone += [latency(service, paths[0], 100 * number + k) for k in range(1, 4)]
            with training(service, ids):
                beside += [latency(service, paths[0], 100 * number + k) for k in range(4, 7)]
    print_ratio("denoise 2 MP over HTTP", "a fine-tuning trains", alone, beside)


def status_seconds(address: str, job_id: str, count: int) -> list[float]:
    """Seconds of each of many questions, one after the other with short pauses, on a line that stays open."""
    found = []
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        for _ in range(count):
            started = time.perf_counter()
            client.get(f"/jobs/{job_id}").raise_for_status()
            found.append(time.perf_counter() - started)
            time.sleep(0.01)
    return found


def upload_for_ever(address: str, body: bytes, bytes_per_s: float) -> None:
    """A client that uploads without end; what it sends is read to its end, and then refused."""
    with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
        while True:
            client.post("/denoise", content=pieces(body, bytes_per_s))


def pieces(body: bytes, bytes_per_s: float) -> Iterator[bytes]:
    """A body at the pace of a line."""
    started = time.monotonic()
    for at in range(0, len(body), PIECE_BYTES):
        time.sleep(max(0.0, started + at / bytes_per_s - time.monotonic()))
        yield body[at : at + PIECE_BYTES]


@contextmanager
def uploading(address: str, body: bytes, bytes_per_s: float) -> Iterator[None]:
    """Four such clients, each a process: threads would take turns with whoever measures."""
    processes = [
        multiprocessing.Process(target=upload_for_ever, args=(address, body, bytes_per_s / UPLOADS))
        for _ in range(UPLOADS)
    ]
    for process in processes:
        process.start()
    time.sleep(2)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def compare_status(folder: Path, rounds: int, count: int) -> None:
    """Print the 99th percentile of status requests beside uploads, and its ratio to that without."""
    [path] = make_captures(folder, 1)
    with serve(folder / "data", **USUAL) as service:
        answer = service.client.post("/denoise", content=path.read_bytes())
        job_id = answer.headers["x-photosite-job"]
        body = os.urandom(UPLOAD_BYTES)
        for line, bytes_per_s in LINES.items():
            alone, beside = [], []
            for _ in range(rounds):
                alone.append(float(np.percentile(status_seconds(service.address, job_id, count), 99)))
                with uploading(service.address, body, bytes_per_s):
                    beside.append(float(np.percentile(status_seconds(service.address, job_id, count), 99)))
            uploads = f"{UPLOADS} uploads of {UPLOAD_BYTES / 1e6:.0f} MB run {line}"
            print_ratio("p99 of GET /jobs/ID", uploads, alone, beside)


def print_ratio(what: str, beside_what: str, alone: list[float], beside: list[float]) -> None:
    """One comparison as a line of a table."""
    ratio = statistics.median(beside) / statistics.median(alone)
    cells = [
        f"{1e3 * statistics.median(values):.1f} ({1e3 * min(values):.1f}–{1e3 * max(values):.1f})"
        for values in (alone, beside)
    ]
    print(f"| {what}, ms | {cells[0]} | {cells[1]} while {beside_what} | {ratio:.2f} |", flush=True)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=500, help="status requests a turn (default: %(default)s)")
    parser.add_argument("--only", choices=["denoise", "status"], help="one of the two comparisons")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| what | alone: median (range) | beside: median (range) | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "status":
            (Path(folder) / "denoise").mkdir()
            compare_denoising(Path(folder) / "denoise", options.rounds)
        if options.only != "denoise":
            (Path(folder) / "status").mkdir()
            compare_status(Path(folder) / "status", options.rounds, options.requests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
