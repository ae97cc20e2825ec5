"""Trouble for a running service: its processes caught in the middle of a job; and what must hold once it is over.

In the flow of the tests: **catch** → kill, freeze … → **check_nothing_left**.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import redis
from leftovers import find_leftovers
from service_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from job_kinds import Kind, Playground
    from service_process import RunningService

MOMENTS = 20
"""Times that a job is handed in until it is caught in the middle: some take a fraction of a second."""


def catch(playground: Playground, kind: Kind, name: str) -> tuple[str, int]:
    """Begin a job and freeze the process that does it in the middle.

    Returns:
        The job's id and the frozen process'.
    """
    service = playground.service
    for moment in range(MOMENTS):
        _, child = service.worker(kind.queues)
        job_id = kind.begin(service, playground.material, f"{name}-{moment}")
        wait_until(lambda found=job_id: _is_amid(service, kind, found) or has_ended(service, found), 120)  # type: ignore[misc]
        os.kill(child, signal.SIGSTOP)
        if service.job(job_id)["state"] == "running":
            return job_id, child
        os.kill(child, signal.SIGCONT)
    pytest.fail(f"no {kind.name} was caught in the middle")


def _is_amid(service: RunningService, kind: Kind, job_id: str) -> bool:
    job = service.job(job_id)
    return job["state"] == "running" and kind.is_amid(job)


def has_ended(service: RunningService, job_id: str) -> bool:
    """Whether nothing will change any more."""
    return service.job(job_id)["state"] in {"succeeded", "failed"}


def answers(service: RunningService) -> bool:
    """Whether the service is ready."""
    return service.client.get("/health/ready").status_code == 200


def record(redis_url: str, job_id: str) -> dict[str, str]:
    """A job's record as it lies in Redis."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        found: dict[str, str] = client.hgetall(f"ps:job:{job_id}")  # type: ignore[assignment]
        return found


@contextmanager
def disk_of(size: int, folder: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of so many bytes; skips where there can be none."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("a disk that can be filled needs root, on Linux")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "photosite-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this root may not mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """No room at all in the block."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    try:
        yield
    finally:
        ballast.unlink()


def check_nothing_left(redis_url: str, data_dir: Path) -> None:
    """Wait until every job has ended and the sweep has been; say what is left."""
    found: list[str] = []

    def is_clean() -> bool:
        found[:] = find_leftovers(redis_url, data_dir)
        return not found

    try:
        wait_until(is_clean, 60)
    except AssertionError:
        pytest.fail("\n".join(found))
