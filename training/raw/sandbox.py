"""The decoder: a program of its own that turns one file's chunks into a mosaic, and may do nothing else.

Run as `python -m training.raw.sandbox` by `decode.py`. It reads a request from stdin (one line of JSON), answers on
stdout (one line of JSON, then the mosaic as little-endian uint16, then a preview where there is one), and ends when
stdin closes. A codec that crashes, spins or swallows memory takes only this program with it.

In the flow: decode.py → **sandbox** → codecs.py for a DNG's chunks, libraw.py for another maker's raw. Imports neither
torch nor celery, and starts in a tenth of a second; LibRaw is loaded by the first file that needs it.

Source: the limits are setrlimit(2) and, on Linux, PR_SET_NO_NEW_PRIVS of prctl(2) and unshare(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from training.errors import RawError, UnreadableRawError
from training.raw import tags
from training.raw.bands import thread_pool
from training.raw.codecs import decode_deflated, decode_jpeg_xl, decode_ljpeg, decode_packed, join_fields, load_codecs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
_MAX_OPEN_FILES = 16


def main() -> None:
    """Serve requests until stdin closes."""
    load_codecs()  # before the limits: loading opens files
    confine()
    requests, answers = sys.stdin.buffer, _claim_stdout()
    _send(answers, {"ready": True})
    for line in requests:
        request = json.loads(line)
        limit_request(memory_bytes=request["memory_bytes"], cpu_s=request["cpu_s"])
        _answer(answers, request)


def confine() -> None:
    """Limit this process for good: no files written, no core dumps, few open files, no new privileges, no network."""
    for kind, most in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        resource.setrlimit(kind, (most, most))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        _leave_network(libc)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _leave_network(libc: ctypes.CDLL) -> None:
    """Go where there is no network, if the kernel allows it: to root, else in a user namespace; containers may not."""
    if libc.unshare(_CLONE_NEWNET):
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def limit_request(*, memory_bytes: int, cpu_s: float) -> None:
    """Limit the address space, and the CPU time from now on; beyond the latter the kernel ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + cpu_s)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))
    with contextlib.suppress(ValueError, OSError):  # macOS knows the limit on address space, but refuses to set it
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))


def decode(request: dict[str, Any]) -> NDArray[np.uint16]:
    """Decode every chunk and put it in its place.

    Args:
        request: "path", "height", "width", "bits_per_sample", "compression", "byte_order", "predictor_step",
            "interleave", and "chunks": for each offset, size, row, column, height, width.

    Returns:
        (height, width) uint16.

    Raises:
        UnreadableRawError: Cut off or corrupt.
    """
    height, width = request["height"], request["width"]
    mosaic = np.zeros((height, width), dtype=np.uint16)
    descriptor = os.open(request["path"], os.O_RDONLY | os.O_CLOEXEC)
    try:
        with thread_pool() as pool:
            for _ in pool.map(lambda chunk: _place_chunk(mosaic, descriptor, chunk, request), request["chunks"]):
                pass
    finally:
        os.close(descriptor)
    interleave = tuple(request["interleave"])
    return mosaic if interleave == (1, 1) else join_fields(mosaic, interleave)


def _place_chunk(mosaic: NDArray[np.uint16], descriptor: int, chunk: Sequence[int], request: dict[str, Any]) -> None:
    offset, size, row, column, rows, columns = chunk
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise UnreadableRawError(f"the file is cut off: {len(data)} of {size} bytes at {offset}")
    pixels = _decode_chunk(data, (rows, columns), request)
    target = mosaic[row : row + rows, column : column + columns]
    target[:] = pixels[: target.shape[0], : target.shape[1]]  # a tile may reach beyond the frame


def _decode_chunk(data: bytes, shape: tuple[int, int], request: dict[str, Any]) -> NDArray[np.uint16]:
    if request["compression"] == tags.UNCOMPRESSED:
        return decode_packed(data, shape, request["bits_per_sample"], request["byte_order"])
    if request["compression"] == tags.JPEG_XL:
        return decode_jpeg_xl(data, shape, request["bits_per_sample"])
    if request["compression"] in {tags.DEFLATE, tags.OLD_DEFLATE}:
        bits, byte_order, step = (request[name] for name in ("bits_per_sample", "byte_order", "predictor_step"))
        return decode_deflated(data, shape, bits, byte_order, step)
    return decode_ljpeg(data, shape[0] * shape[1]).reshape(shape)


def _decode_foreign(request: dict[str, Any]) -> tuple[NDArray[np.uint16], dict[str, Any], bytes]:
    """Another maker's raw: how large it is, LibRaw says first, and the limits follow."""
    from training.raw.libraw import decode_foreign  # noqa: PLC0415  (a third of a second that a DNG does not need)

    def allow(pixels: int) -> None:
        limit_request(
            memory_bytes=request["memory_bytes"] + request["memory_bytes_per_pixel"] * pixels,
            cpu_s=request["cpu_s"] + request["cpu_s_per_megapixel"] * pixels / 1e6,
        )

    mosaic, facts, preview = decode_foreign(request["path"], allow)
    return mosaic, {"facts": facts}, preview


def _answer(answers: BinaryIO, request: dict[str, Any]) -> None:
    try:
        mosaic, more, preview = (decode(request), {}, b"") if "chunks" in request else _decode_foreign(request)
    except RawError as error:
        _send(answers, {"error": error.message, "detail": error.detail, "code": error.code})
    except MemoryError:
        _send(answers, {"error": "decoding the mosaic needs more memory than is allowed", "detail": "MemoryError"})
    except OSError as error:
        _send(answers, {"error": f"the file cannot be read: {error.strerror}", "detail": str(error)})
    else:
        _send(answers, {"height": mosaic.shape[0], "width": mosaic.shape[1], "preview_bytes": len(preview), **more})
        answers.write(mosaic.astype("<u2", copy=False).data)
        answers.write(preview)
        answers.flush()


def _claim_stdout() -> BinaryIO:
    """Keep stdout for answers; what a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _send(answers: BinaryIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
