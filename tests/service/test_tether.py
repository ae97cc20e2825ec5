"""A tethered program ends with its parent, whatever ended that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from service.tether import tethered

if TYPE_CHECKING:
    from collections.abc import Iterator

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
PARENT = """
import subprocess, sys, time
from service import tether
if {portable}:
    tether.die_with_parent = lambda number: False
    command = [sys.executable, "-c",
        "import sys; from service import tether; tether.die_with_parent = lambda number: False; "
        "sys.exit(tether.main(sys.argv[1:]))", str(__import__("os").getpid()), *{sleep}]
else:
    command = tether.tethered({sleep})
child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Whether a process of that id exists and is more than a corpse."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in map(str.split, table.splitlines()) if int(parent) == pid]


def wait_until_gone(pids: list[int], timeout_s: float = 10) -> None:
    """Wait for processes to end."""
    deadline = time.monotonic() + timeout_s
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still alive: {[pid for pid in pids if alive(pid)]}"
        time.sleep(0.05)


@pytest.fixture(params=[False, True], ids=["by the kernel", "by watching"])
def parent(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that has started a tethered program, and that program's processes."""
    if not request.param and not sys.platform.startswith("linux"):
        pytest.skip("only Linux has PR_SET_PDEATHSIG")
    code = PARENT.format(portable=request.param, sleep=SLEEP)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        yield process, [pid, *children(pid)]
        process.kill()


def test_it_ends_when_its_parent_is_killed(parent: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, pids = parent
    assert all(alive(pid) for pid in pids)
    process.kill()
    wait_until_gone(pids)


def test_it_can_be_terminated(parent: tuple[subprocess.Popen[str], list[int]]) -> None:
    _, pids = parent
    os.kill(pids[0], signal.SIGTERM)
    wait_until_gone(pids)


def test_it_passes_on_how_the_program_ended() -> None:
    command = tethered([sys.executable, "-c", "raise SystemExit(7)"])
    assert subprocess.run(command, check=False).returncode == 7
