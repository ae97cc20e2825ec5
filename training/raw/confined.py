"""Runs a program of somebody else's on a file that may be hostile: with limits, without our environment.

Run as `python -m training.raw.confined MEMORY_BYTES CPU_S FILE_BYTES PROGRAM ARGUMENT…` by `metadata.py`: it limits
itself and then becomes that program. Setting limits in a forked child of a process with threads is not safe; this is.

Source: setrlimit(2), execvp(3); PR_SET_NO_NEW_PRIVS of prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys

_PR_SET_NO_NEW_PRIVS = 38


def main(arguments: list[str]) -> None:
    """Limit this process for good, and become the program."""
    memory_bytes, cpu_s, file_bytes = map(int, arguments[:3])
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS refuses to limit the address space
            resource.setrlimit(kind, (most, most))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvp(arguments[3], arguments[3:])  # noqa: S606  (no shell is what is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
