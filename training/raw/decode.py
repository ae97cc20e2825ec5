"""Has a mosaic decoded by a program of its own, and survives whatever a hostile file does to it.

In the flow: read_raw → **Decoder.decode**, or **decode_foreign** → sandbox.py (another process) → codecs.py, libraw.py.

The program is kept warm and serves one request at a time. Celery's prefork children are daemonic and may have no
multiprocessing children, hence subprocess; a process that was forked starts a program of its own, because two must not
talk through one pipe.

Source: subprocess and os.register_at_fork of Python's library; signal(7).
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

import training
from training.errors import PhotositeError, RawError, RawTooLargeError, UnreadableRawError, UnsupportedRawError
from training.raw.layout import MAX_PIXELS

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from training.raw.layout import MosaicLayout

_START_TIMEOUT_S = 60.0
_DEATH_TIMEOUT_S = 5.0
_MAX_LINE_BYTES = 65_536
_MAX_PREVIEW_BYTES = 64 << 20
_MOST_PIXELS_PER_BYTE = 8
"""A mosaic that is coded more tightly than a bit a photosite does not exist."""
_ERRORS: dict[str | None, type[RawError]] = {
    error.code: error for error in (UnreadableRawError, UnsupportedRawError, RawTooLargeError)
}
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR", "LANG", "LC_ALL")
"""What the program may know of our environment: no address of ours, no key."""
_ECONOMY = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""Threads of libraries, and a heap for each of our own, would take address space. What a chunk took is kept for the
next one (mallopt(3) of the GNU C library; others know nothing of the kind)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeLimits:
    """What decoding one file may cost; each limit grows with the frame."""

    memory_bytes: int = 1 << 30
    """Address space, the interpreter included."""
    memory_bytes_per_pixel: int = 12
    """More of it for each photosite."""
    cpu_s: float = 5.0
    """CPU time; the kernel rounds it up to whole seconds."""
    cpu_s_per_megapixel: float = 0.5
    """More of it for each million photosites; lossless JPEG takes about 0.02, JPEG XL a tenth."""
    wall_s: float = 30.0
    """Time on the clock: more than CPU time, because the machine may be busy."""
    wall_s_per_megapixel: float = 1.0
    """More of it for each million photosites."""
    foreign_cpu_s_per_megapixel: float = 2.0
    """CPU time for each million photosites of another maker's raw: LibRaw is asked twice, and some codings are slow."""


class Decoder:
    """A client of the decoder program; starts it when it is first needed, and again after its death.

    Threads may share one: they take turns. Use a `with` statement, or `close`.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self.limits = limits or DecodeLimits()
        self._lock = threading.Lock()
        self._program: _Program | None = None
        _DECODERS.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """Of the running program, None where there is none."""
        program = self._program
        return program.process_id if program is not None and program.is_running else None

    def close(self) -> None:
        """End the program; harmless the second time."""
        with self._lock:
            self._stop()

    def decode(self, path: Path, layout: MosaicLayout) -> NDArray[np.uint16]:
        """Decode a mosaic.

        Args:
            path: The file.
            layout: Where its mosaic lies, from `find_mosaic`.

        Returns:
            (H, W) uint16: the full frame as stored, before any LinearizationTable.

        Raises:
            UnreadableRawError: The pixels are corrupt or cut off, or decoding them exceeds the limits.
            PhotositeError: The program cannot be started.
        """
        answer = self._ask(self._request(path, layout), self._timeout_s(layout.height * layout.width))
        if answer.mosaic.shape != (layout.height, layout.width):
            raise UnreadableRawError(f"the mosaic decodes to {answer.mosaic.shape}, not to what the file says")
        return answer.mosaic

    def decode_foreign(self, path: Path) -> Decoded:
        """Decode another maker's raw by LibRaw.

        Args:
            path: A file; anything may be in it.

        Raises:
            RawError: Of the kind that `training.raw.libraw.decode_foreign` says; or the limits are exceeded.
            PhotositeError: The program cannot be started.
        """
        request = {
            "path": str(path.absolute()),
            "memory_bytes": self.limits.memory_bytes,
            "memory_bytes_per_pixel": self.limits.memory_bytes_per_pixel,
            "cpu_s": self.limits.cpu_s,
            "cpu_s_per_megapixel": self.limits.foreign_cpu_s_per_megapixel,
        }
        try:
            most = min(MAX_PIXELS, _MOST_PIXELS_PER_BYTE * path.stat().st_size)
        except OSError as error:
            raise UnreadableRawError(f"the file cannot be opened: {error.strerror}", detail=str(error)) from error
        return self._ask(request, self._timeout_s(most))

    def _ask(self, request: dict[str, Any], timeout_s: float) -> Decoded:
        with self._lock:
            program = self._running_program()
            try:
                answer = program.ask(request, timeout_s)
            except BaseException as error:
                self._stop()  # what is left of this answer must not be taken for the next one's
                if isinstance(error, _ProgramLostError):
                    reason = f"the mosaic cannot be decoded: {error.reason}"
                    raise UnreadableRawError(reason, detail=error.detail) from error
                raise
        if isinstance(answer, _Refusal):
            raise answer.error(answer.reason, detail=answer.detail)
        return answer

    def _request(self, path: Path, layout: MosaicLayout) -> dict[str, Any]:
        pixels = layout.height * layout.width
        return {
            "path": str(path.absolute()),
            "height": layout.height,
            "width": layout.width,
            "bits_per_sample": layout.bits_per_sample,
            "compression": layout.compression,
            "byte_order": layout.byte_order,
            "predictor_step": layout.predictor_step,
            "interleave": layout.interleave,
            "chunks": layout.chunks,
            "memory_bytes": self.limits.memory_bytes + self.limits.memory_bytes_per_pixel * pixels,
            "cpu_s": self.limits.cpu_s + self.limits.cpu_s_per_megapixel * pixels / 1e6,
        }

    def _timeout_s(self, pixels: int) -> float:
        return self.limits.wall_s + self.limits.wall_s_per_megapixel * pixels / 1e6

    def _running_program(self) -> _Program:
        if self._program is None or not self._program.is_running:
            self._stop()
            self._program = _Program()
            try:
                self._program.wait_until_ready()
            except _ProgramLostError as error:
                self._stop()
                raise PhotositeError(f"the decoder cannot be started: {error.reason}", detail=error.detail) from error
        return self._program

    def _stop(self) -> None:
        program, self._program = self._program, None
        if program is not None:
            program.stop()

    def forget_program(self) -> None:
        """Leave the program to the process that we were forked from."""
        program, self._program = self._program, None
        self._lock = threading.Lock()  # a thread that does not exist here may have held it
        if program is not None:
            program.abandon()


@cache
def default_decoder() -> Decoder:
    """This process's own decoder, ended when the process ends."""
    decoder = Decoder()
    atexit.register(decoder.close)
    return decoder


class _ProgramLostError(Exception):
    """The program died, or took too long."""

    def __init__(self, reason: str, *, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Decoded(NamedTuple):
    """The program's answer to a file that it could decode."""

    mosaic: NDArray[np.uint16]
    """(H, W) uint16: the full frame."""
    facts: dict[str, Any]
    """Of another maker's raw: what LibRaw says about it; empty for a DNG, whose tags we read ourselves."""
    preview: bytes
    """Of another maker's raw: the camera's JPEG, empty for none."""


class _Refusal(NamedTuple):
    """The program's answer to a file that cannot be decoded."""

    reason: str
    detail: str
    error: type[RawError]


class _Program:
    """One running decoder program, and the pipes to it; nothing here waits for it without a deadline."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment["PYTHONPATH"] = str(Path(training.__file__).parents[1])
        environment |= _ECONOMY
        command = [sys.executable, "-P", "-m", "training.raw.sandbox"]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                bufsize=0,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise PhotositeError("the decoder cannot be started", detail=str(error)) from error
        self._requests, self._answers, self._messages = (stream.fileno() for stream in self._streams)
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)

    @property
    def _streams(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        stdin, stdout, stderr = (stream for stream in streams if stream is not None)
        return stdin, stdout, stderr

    @property
    def process_id(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait for its first words."""
        self._read_line(time.monotonic() + _START_TIMEOUT_S)

    def ask(self, request: dict[str, Any], timeout_s: float) -> Decoded | _Refusal:
        """Send a request and read the whole answer: a mosaic, or why there is none."""
        deadline = time.monotonic() + timeout_s
        self._write(json.dumps(request).encode() + b"\n", deadline)
        answer = json.loads(self._read_line(deadline))
        if "error" in answer:
            return _Refusal(answer["error"], answer["detail"], _ERRORS.get(answer.get("code"), UnreadableRawError))
        height, width, preview_bytes = answer["height"], answer["width"], answer["preview_bytes"]
        if height * width > MAX_PIXELS or preview_bytes > _MAX_PREVIEW_BYTES:
            raise _ProgramLostError("the decoder answered with another size", detail=str(answer))
        mosaic, preview = np.empty((height, width), dtype="<u2"), bytearray(preview_bytes)
        self._read_into(mosaic.data.cast("B"), deadline)
        self._read_into(memoryview(preview), deadline)
        return Decoded(mosaic.astype(np.uint16, copy=False), answer.get("facts", {}), bytes(preview))

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._close_streams()

    def abandon(self) -> None:
        """Let go of the pipes, in a process that was forked from the one that started it."""
        self._close_streams()
        self._process.returncode = 0  # it is not our child: nothing to wait for

    def _close_streams(self) -> None:
        for stream in self._streams:
            stream.close()

    def _write(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._requests, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._requests, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise self._death() from error

    def _read_line(self, deadline: float) -> bytes:
        """A line of the answer; read byte by byte, so that nothing of the mosaic after it is taken along."""
        line = bytearray()
        while not line.endswith(b"\n"):
            one = bytearray(1)
            self._read_into(memoryview(one), deadline)
            line += one
            if len(line) > _MAX_LINE_BYTES:
                raise _ProgramLostError("the decoder answered with nonsense")
        return bytes(line)

    def _read_into(self, buffer: memoryview, deadline: float) -> None:
        while buffer:
            self._wait(self._answers, select.POLLIN, deadline)
            count = os.readv(self._answers, [buffer])
            if count == 0:
                raise self._death()
            buffer = buffer[count:]

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _ProgramLostError("it took too long")

    def _death(self) -> _ProgramLostError:
        """Why it died; its pipe has just closed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_DEATH_TIMEOUT_S)
        code = self._process.returncode
        if code == -signal.SIGXCPU:
            reason = "it took more computing time than is allowed"
        elif code is not None and code < 0:
            reason = f"the decoder died of {signal.Signals(-code).name}"
        else:
            reason = f"the decoder ended with exit code {code}"
        return _ProgramLostError(reason, detail=self._last_words())

    def _last_words(self) -> str:
        try:
            return os.read(self._messages, _MAX_LINE_BYTES).decode("utf-8", "replace")
        except BlockingIOError:
            return ""


_DECODERS: weakref.WeakSet[Decoder] = weakref.WeakSet()


def _forget_programs() -> None:
    for decoder in _DECODERS:
        decoder.forget_program()


os.register_at_fork(after_in_child=_forget_programs)
