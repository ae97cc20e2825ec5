"""Readers that nobody here wrote, asked about hostile files: each apart, with limits, so that its crash is its own.

In the flow of the tests: what read_raw took → **other_readings** → the same pixels, or a finding.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import tifffile

import training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

TIMEOUT_S = 20
MEMORY_BYTES = 4 << 30
DCRAW = "dcraw"
_LIMITS = [str(MEMORY_BYTES), str(TIMEOUT_S), str(1 << 30)]


class Readers:
    """Adobe's SDK and dcraw, those that are installed; within its `with` block."""

    def __init__(self) -> None:
        self._adobe: _Apart | None = None

    def __enter__(self) -> Self:
        if importlib.util.find_spec("dngpy"):
            self._adobe = _Apart()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._adobe:
            self._adobe.stop()

    def readings(self, path: Path) -> Iterator[NDArray[np.uint16]]:
        """What each reader that takes the file sees in it: the frame, or the active area; the quicker reader first."""
        if self._adobe and (pixels := self._adobe.read(path)) is not None:
            yield pixels
        if shutil.which(DCRAW):
            with contextlib.suppress(Exception):  # whatever tifffile thinks of what dcraw thought
                yield _dcraw(path)


def _dcraw(path: Path) -> NDArray[np.uint16]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(training.__file__).parents[1])}
    command = [sys.executable, "-P", "-m", "training.raw.confined", *_LIMITS, DCRAW]
    options = ["-D", "-4", "-t", "0", "-T", "-c", str(path)]
    ended = subprocess.run(
        [*command, *options], capture_output=True, check=True, env=environment, timeout=3 * TIMEOUT_S
    )
    return np.asarray(tifffile.imread(io.BytesIO(ended.stdout)))


class _Apart:
    """Adobe's SDK in a process of its own, which is replaced when it dies or takes too long."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def read(self, path: Path) -> NDArray[np.uint16] | None:
        """The whole frame; None where the file is refused, crashes the reader, or takes it too long."""
        with contextlib.suppress(EOFError, OSError):
            self._connection.send(str(path))
            if self._connection.poll(TIMEOUT_S):
                found: NDArray[np.uint16] | None = self._connection.recv()
                return found
        self.stop()
        self._start()
        return None

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Connection) -> None:
    """Answer each path with the mosaic, or None."""
    import dngpy._native

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)  # its complaints
    while True:
        try:
            path = connection.recv()
        except EOFError:
            return
        try:
            pixels = np.asarray(dngpy._native.Dng(path)._get_pixels())
            connection.send(pixels.reshape(pixels.shape[:2]).astype(np.uint16))
        except Exception:  # noqa: BLE001  (whatever a library raises at a hostile file)
            connection.send(None)
