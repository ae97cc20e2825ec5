"""Files on the line: one that is sent as a request's body, and a result that is received into one.

In the flow: file → **FileBody** → service → **receive** → file. Neither is ever whole in memory.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import httpx

from service.connection import Connection, Patience
from training.errors import UnreadableRawError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.schemas import FileSchema

    OnBytes = Callable[[int, int | None], None]
    """Called with the bytes that have passed, and with all there are where that is known."""

PIECE_BYTES = 256 * 1024


@contextmanager
def opened(source: Path | str | BinaryIO) -> Iterator[BinaryIO]:
    """A file to send; what is open already stays open.

    Raises:
        UnreadableRawError: It cannot be opened.
    """
    if not isinstance(source, Path | str):
        yield source
        return
    try:
        if not stat.S_ISREG(Path(source).stat().st_mode):  # opening a pipe would wait for whoever writes to it
            raise UnreadableRawError("not a file, but a folder, a device or a pipe")
        file = Path(source).open("rb")  # noqa: SIM115  (closed below; only the opening's errors are meant here)
    except OSError as error:
        raise UnreadableRawError(f"the file cannot be opened: {error.strerror}", detail=str(error)) from error
    with file:
        yield file


class FileBody:
    """A file as a request's body, from where it stands to its end, in pieces."""

    def __init__(self, file: BinaryIO, on_sent: OnBytes | None = None) -> None:
        self._file = file
        self._on_sent = on_sent
        self.repeatable = file.seekable()
        self._start = file.tell() if self.repeatable else 0
        self._bytes = file.seek(0, os.SEEK_END) - self._start if self.repeatable else None

    def headers(self, name: str | None = None) -> dict[str, str | bytes]:
        """What a request says of it: its size, if that is known, and a name."""
        given = name or getattr(self._file, "name", "")
        shown = re.sub(r'[\x00-\x1f\x7f"\\]', "_", Path(given).name) if isinstance(given, str) else ""
        disposition = f'attachment; filename="{shown}"' if shown else "attachment"
        size: dict[str, str | bytes] = {} if self._bytes is None else {"Content-Length": str(self._bytes)}
        return {**size, "Content-Type": "application/octet-stream", "Content-Disposition": disposition.encode()}

    def pieces(self) -> Iterator[bytes]:
        """All of it, from the start.

        Raises:
            UnreadableRawError: It cannot be read, or shrinks meanwhile.
        """
        sent = 0
        try:
            if self.repeatable:
                self._file.seek(self._start)
            while piece := self._file.read(min(PIECE_BYTES, self._left(sent))):
                yield piece
                sent += len(piece)
                if self._on_sent:
                    self._on_sent(sent, self._bytes)
        except OSError as error:
            raise UnreadableRawError(f"the file cannot be read: {error.strerror}", detail=str(error)) from error
        if self._bytes not in {None, sent}:
            raise UnreadableRawError("the file became shorter while it was sent")

    def _left(self, sent: int) -> int:
        return PIECE_BYTES if self._bytes is None else self._bytes - sent


def receive(
    connection: Connection, path: str, promised: FileSchema, file: BinaryIO, on_received: OnBytes | None = None
) -> str:
    """Write an answer's body to an empty file; where the line breaks, go on from there (RFC 9110, section 14: Range).

    Args:
        connection: The line.
        path: What to ask for.
        promised: Its size, and its SHA-256, which is its ETag.
        file: Where it goes.
        on_received: Told of the bytes.

    Returns:
        The SHA-256 of what has come.

    Raises:
        ServerUnreachableError: Nothing more came for longer than the client's patience.
    """
    digest, received = hashlib.sha256(), 0
    patience = Patience(connection.patience_s)
    headers = {"Accept-Encoding": "identity"}
    while True:
        try:
            with connection.open("GET", path, headers=headers) as response:
                if response.status_code != HTTPStatus.PARTIAL_CONTENT and received:  # all of it once more
                    digest, received = hashlib.sha256(), 0
                    file.seek(0)
                    file.truncate()
                for piece in response.iter_bytes():
                    file.write(piece)
                    digest.update(piece)
                    received += len(piece)
                    patience.renew()
                    if on_received:
                        on_received(received, promised.bytes)
            return digest.hexdigest()
        except httpx.TransportError as error:
            if received == promised.bytes:
                return digest.hexdigest()
            patience.pause(connection.unreachable(error))
            if received:
                headers |= {"Range": f"bytes={received}-", "If-Range": f'"{promised.sha256}"'}
