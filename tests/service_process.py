"""Starts `photosite serve` as users do, and looks at its processes and its folder from outside.

In the flow of the tests: **RunningService** → HTTP.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_UPLOAD_BYTES = 40 * 1024 * 1024
IMPATIENT = {
    "PHOTOSITE_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
    "PHOTOSITE_LEASE_S": "2",
    "PHOTOSITE_LEASE_RENEWAL_S": "0.5",
    "PHOTOSITE_SWEEP_INTERVAL_S": "0.3",
    "PHOTOSITE_REPUBLISH_AFTER_S": "2",
    "PHOTOSITE_BLOB_GRACE_S": "1",
    "PHOTOSITE_DEVICE": "cpu",
}
"""Settings that let a test see within seconds what takes longer in service."""
USUAL = {
    "PHOTOSITE_MAX_UPLOAD_BYTES": str(512 * 1024 * 1024),
    "PHOTOSITE_LEASE_S": "10",
    "PHOTOSITE_LEASE_RENEWAL_S": "3",
    "PHOTOSITE_SWEEP_INTERVAL_S": "2",
    "PHOTOSITE_REPUBLISH_AFTER_S": "10",
    "PHOTOSITE_DEVICE": "auto",
}
"""The settings of service, not those that let tests see things within seconds."""
START_TIMEOUT_S = 90


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answers."""

    process: subprocess.Popen[str]
    client: httpx.Client
    data_dir: Path
    temporary_dir: Path

    @property
    def address(self) -> str:
        """Where it answers."""
        return str(self.client.base_url)

    @property
    def redis_url(self) -> str:
        """Where its own Redis server listens."""
        return (self.data_dir / "redis" / "address").read_text(encoding="utf-8")

    def worker(self, queues: str) -> tuple[int, int]:
        """The process that takes jobs from these queues, and its child, which does them."""
        found = {pid for pid, command in self.family().items() if command.endswith(f"--queues {queues}")}
        return parent_and_child(found)

    def redis(self) -> int:
        """Its own Redis server."""
        (found,) = (pid for pid, command in self.family().items() if "redis.sock" in command)
        return found

    def family(self) -> dict[int, str]:
        """The command lines of all its processes."""
        return descendants(self.process.pid)

    def blobs(self) -> set[str]:
        """The digests of all blobs, and the names of unfinished files."""
        folders = os.walk(self.data_dir / "blobs")  # which does not mind that the service removes one meanwhile
        return {name for _, _, names in folders for name in names}

    def job(self, job_id: str) -> dict[str, object]:
        """A job as the API shows it."""
        shown: dict[str, object] = self.client.get(f"/jobs/{job_id}").raise_for_status().json()
        return shown

    def wait_for_state(self, job_id: str, *states: str, timeout_s: float = 120) -> dict[str, object]:
        """Wait until a job is in one of these states."""
        wait_until(lambda: self.job(job_id)["state"] in states, timeout_s)
        return self.job(job_id)


@contextmanager
def serve(data_dir: Path, *, port: int = 0, **settings: str) -> Iterator[RunningService]:
    """Run the service on a port, 0 for any free one; kills it at the end if it still runs."""
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    with (
        tempfile.TemporaryDirectory(prefix="ps-") as folder,
        data_dir.with_suffix(".log").open("a", encoding="utf-8") as log,
        subprocess.Popen(
            command,
            env={**os.environ, **IMPATIENT, "TMPDIR": folder, **settings},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            with httpx.Client(base_url=_address(process), timeout=150, trust_env=False) as client:
                yield RunningService(process, client, data_dir, Path(folder))
        finally:
            process.kill()


@contextmanager
def extra_worker(service: RunningService, queues: str, redis_url: str, **settings: str) -> Iterator[int]:
    """A further `photosite worker` beside a service; gives its id, and kills it at the end."""
    places = {"PHOTOSITE_REDIS_URL": redis_url, "PHOTOSITE_DATA_DIR": str(service.data_dir)}
    log_path = service.data_dir.with_suffix(".log")
    with (
        log_path.open("a", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-m", "service", "worker", "--queues", queues],
            env={**os.environ, **IMPATIENT, **places, **settings},
            stderr=log,
        ) as process,
    ):
        try:
            wait_until(lambda: len(descendants(process.pid)) > 1, START_TIMEOUT_S)
            yield process.pid
        finally:
            process.kill()


def parent_and_child(pids: set[int]) -> tuple[int, int]:
    """Two processes of which one started the other, in that order."""
    first, second = sorted(pids)
    return (first, second) if second in descendants(first) else (second, first)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://\S+", line)
        if found:
            return found[0]
    message = f"the service ended with status {process.wait()}"
    raise AssertionError(message)


def alive(pid: int) -> bool:
    """Whether a process of that id exists and is more than a corpse."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def descendants(pid: int) -> dict[int, str]:
    """A process and all that it started, by id, with their command lines."""
    lines = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    table = [line.split(None, 2) for line in lines.splitlines()]
    children = {int(child): (int(parent), " ".join(arguments)) for child, parent, *arguments in table}
    found = {pid: ""}
    while more := {
        child: words for child, (parent, words) in children.items() if parent in found and child not in found
    }:
        found |= more  # not in one pass: numbers begin anew, and then a child's is smaller than its parent's
    return found


def wait_until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
