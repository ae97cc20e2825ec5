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
    """Adobe's SDK, LibRaw and dcraw, those that are installed; within its `with` block."""

    def __init__(self) -> None:
        self._apart: list[_Apart] = []

    def __enter__(self) -> Self:
        self._apart = [_Apart(read) for name, read in _IN_PYTHON.items() if importlib.util.find_spec(name)]
        return self

    def __exit__(self, *_error: object) -> None:
        for reader in self._apart:
            reader.stop()

    def readings(self, path: Path) -> Iterator[NDArray[np.uint16]]:
        """What each reader that takes the file sees in it: the frame, or the active area; the quickest reader first."""
        for reader in self._apart:
            pixels = reader.read(path)
            if pixels is not None:
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


def _adobe(path: str) -> NDArray[np.uint16]:
    import dngpy._native

    pixels = np.asarray(dngpy._native.Dng(path)._get_pixels())
    return pixels.reshape(pixels.shape[:2]).astype(np.uint16)


def _libraw(path: str) -> NDArray[np.uint16]:
    import rawpy

    with rawpy.imread(path) as raw:
        return np.array(raw.raw_image)


_IN_PYTHON = {"dngpy": _adobe, "rawpy": _libraw}


class _Apart:
    """A reader in a process of its own, which is replaced when it dies or takes too long."""

    def __init__(self, read: object) -> None:
        self._read = read
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._read, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def read(self, path: Path) -> NDArray[np.uint16] | None:
        """What the reader sees; None where it refuses the file, crashes, or takes too long."""
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


def _serve(read: object, connection: Connection) -> None:
    """Answer each path with the mosaic, or None."""
    assert callable(read)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)  # their complaints
    while True:
        try:
            path = connection.recv()
        except EOFError:
            return
        try:
            pixels = read(path)
        except Exception:  # noqa: BLE001  (whatever a library raises at a hostile file)
            pixels = None
        connection.send(pixels)
