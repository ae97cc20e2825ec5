"""Files on the line: one that is sent as a request's body, and a result that is received into one.

In the flow: file → **FileBody** → service → **receive** → file. Neither is ever whole in memory. `send_resumably` is
for large files: what has come before the line breaks need not be sent again.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import os
import re
import stat
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import httpx

from service.client.connection import Connection, Patience
from service.errors import ServiceError
from training.errors import UnreadableRawError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.schemas import FileSchema

    OnBytes = Callable[[int, int | None], None]
    """Called with the bytes that have passed, and with all there are where that is known."""

PIECE_BYTES = 256 * 1024
TUS = {"Tus-Resumable": "1.0.0"}


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
        self.bytes = file.seek(0, os.SEEK_END) - self._start if self.repeatable else None
        self._skipped = 0

    def rest(self, skipped: int) -> Self:
        """The same file without so many bytes, which have been sent already."""
        rest = copy.copy(self)
        rest._skipped = skipped  # noqa: SLF001  (our own)
        return rest

    def shown_name(self, name: str | None = None) -> str:
        """What the file is called where it goes; empty for nothing."""
        given = name or getattr(self._file, "name", "")
        return re.sub(r'[\x00-\x1f\x7f"\\]', "_", Path(given).name) if isinstance(given, str) else ""

    def headers(self, name: str | None = None) -> dict[str, str | bytes]:
        """What a request says of it: its size, if that is known, and a name."""
        shown = self.shown_name(name)
        disposition = f'attachment; filename="{shown}"' if shown else "attachment"
        size: dict[str, str | bytes] = {} if self.bytes is None else {"Content-Length": str(self.bytes)}
        return {**size, "Content-Type": "application/octet-stream", "Content-Disposition": disposition.encode()}

    def pieces(self) -> Iterator[bytes]:
        """All of it, from the start, or the rest of it.

        Raises:
            UnreadableRawError: It cannot be read, or shrinks meanwhile.
        """
        sent = self._skipped
        try:
            if self.repeatable:
                self._file.seek(self._start + sent)
            while piece := self._file.read(min(PIECE_BYTES, self._left(sent))):
                yield piece
                sent += len(piece)
                if self._on_sent:
                    self._on_sent(sent, self.bytes)
        except OSError as error:
            raise UnreadableRawError(f"the file cannot be read: {error.strerror}", detail=str(error)) from error
        if self.bytes not in {None, sent}:
            raise UnreadableRawError("the file became shorter while it was sent")

    def _left(self, sent: int) -> int:
        return PIECE_BYTES if self.bytes is None else self.bytes - sent


def send_resumably(connection: Connection, body: FileBody, name: str | None = None) -> str:
    """Upload a file; where the line breaks, go on from there.

    Source: tus 1.0.0, https://tus.io/protocols/resumable-upload.

    Args:
        connection: The line.
        body: The file, whose size is known.
        name: What it is called; none: as the file says.

    Returns:
        The upload's id.

    Raises:
        NotFoundError: The service takes no such uploads; or it has lost this one, or looks for it on another host.
        ServerUnreachableError: Nothing more came through for longer than the client's patience.
    """
    headers = {**TUS, "Upload-Length": str(body.bytes)}
    if shown := body.shown_name(name):
        headers["Upload-Metadata"] = f"filename {base64.b64encode(shown.encode()).decode()}"
    with connection.open("POST", "/uploads", headers=headers) as response:
        address: str = response.headers.get("location", "")
    patience, offset = Patience(connection.patience_s), 0
    while offset != body.bytes:
        try:
            offset = _send_rest(connection, address, body, offset)
        except ServiceError as error:  # a conflict: the server is still busy with what broke off
            if not error.retryable and error.code != "conflict":
                raise
            patience.pause(error)
            before, offset = offset, _offset_of(connection, address)
            if offset > before:
                patience.renew()
    return address.rpartition("/")[2]


def _send_rest(connection: Connection, address: str, body: FileBody, offset: int) -> int:
    """Send what is missing of an upload; gives its new offset."""
    headers = {
        **TUS,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str((body.bytes or 0) - offset),
    }
    with connection.open("PATCH", address, body=body.rest(offset), headers=headers) as response:
        return _parse_offset(response)


def _offset_of(connection: Connection, address: str) -> int:
    with connection.open("HEAD", address, headers=TUS) as response:
        return _parse_offset(response)


def _parse_offset(response: httpx.Response) -> int:
    with suppress(KeyError, ValueError):
        return int(response.headers["Upload-Offset"])
    raise ServiceError("the server's answer says no offset; is it a Photosite server?")


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
