"""Runs a program that ends when its parent does, even if that was killed.

In the flow: `photosite serve` starts each of its processes by `python -m service.tether PARENT_PID COMMAND…`.

On Linux the kernel does it (prctl(2), PR_SET_PDEATHSIG, which survives execve): the program replaces this process.
Elsewhere this process stays, passes signals on, and looks for its parent.

The kernel's signal is also sent when the *thread* ends that started the program: start it from the main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
POLL_S = 0.2
KILLED = 128 + signal.SIGKILL


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` tethered to this process."""
    return [sys.executable, "-m", "service.tether", str(os.getpid()), *command]


def die_with_parent(signal_number: int) -> bool:
    """Have the kernel signal this process when its parent ends.

    Returns:
        Whether this system can do that.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) == 0)


def watch(command: Sequence[str], parent: int) -> int:
    """Run a command beside this process; kill it when `parent` is not our parent any more.

    Returns:
        Its exit status.
    """
    child = subprocess.Popen(command, close_fds=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    while child.poll() is None:
        if os.getppid() != parent:
            child.kill()
        time.sleep(POLL_S)
    return child.returncode


def main(arguments: Sequence[str]) -> int:
    """Become the command, or watch over it."""
    parent, command = int(arguments[0]), list(arguments[1:])
    if not die_with_parent(signal.SIGKILL):
        return watch(command, parent)
    if os.getppid() == parent:  # else it died before the kernel knew
        os.execvp(command[0], command)  # noqa: S606  (becoming the program is the point)
    return KILLED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
