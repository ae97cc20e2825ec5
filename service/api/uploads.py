"""Uploads: a request's body goes to the disk as it comes, hashed and counted on the way, never whole into memory.

In the flow: **upload** → blob → job.

Source: RFC 7578 (multipart/form-data), parsed by python-multipart; RFC 6266 (Content-Disposition).
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from service.errors import InvalidRequestError, UploadTimeoutError
from training.errors import RawTooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from service.settings import Settings
    from service.storage import BlobStore, BlobWriter

WRITE_BYTES = 1024 * 1024
"""So much is gathered before a thread writes it: a hop to a thread for each network packet would cost more."""
FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may add to its file: boundaries and part headers."""
DEFAULT_NAME = "capture.dng"
FILE_FIELD = b"file"

BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
            },
            "encoding": {"file": {"contentType": "image/x-adobe-dng"}},
        },
        "image/x-adobe-dng": BINARY,
        "application/octet-stream": BINARY,
    },
}
"""A request's body in OpenAPI's words: a form with a file, or the file itself."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that has come completely, not yet kept."""

    name: str
    """Its file name, made safe."""
    writer: BlobWriter


@asynccontextmanager
async def receive_upload(request: Request, tenant: str, blobs: BlobStore, settings: Settings) -> AsyncIterator[Upload]:
    """Receive a file, as the body itself or as the field `file` of a form.

    Whatever happens in the `with` block, without `commit` nothing stays on the disk.

    Raises:
        RawTooLargeError: It is larger than the limit.
        InvalidRequestError: A form without exactly one file, or no form at all despite its type.
        UploadTimeoutError: Nothing came for too long.
    """
    _check_length(request, settings.max_upload_bytes)
    writer = await run_in_threadpool(blobs.writer, tenant)
    try:
        name = await _receive(request, writer, settings)
        yield Upload(name, writer)
    finally:
        await run_in_threadpool(writer.__exit__, None, None, None)


async def _receive(request: Request, writer: BlobWriter, settings: Settings) -> str:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        await _copy(request, writer, settings, RawBody())
        _, disposition = parse_options_header(request.headers.get("content-disposition"))
        return safe_name(disposition.get(b"filename"))
    form = FileForm(options.get(b"boundary", b""))
    await _copy(request, writer, settings, form)
    return safe_name(form.finish())


async def _copy(request: Request, writer: BlobWriter, settings: Settings, body: RawBody | FileForm) -> None:
    """Pass the body through its parser to the disk."""
    gathered = bytearray()
    async for data in _chunks(request, settings.upload_idle_timeout_s):
        gathered += body.feed(data)
        if writer.size + len(gathered) > settings.max_upload_bytes:
            raise _too_large(settings.max_upload_bytes)
        if len(gathered) >= WRITE_BYTES:
            await run_in_threadpool(writer.write, bytes(gathered))
            gathered.clear()
    await run_in_threadpool(writer.write, bytes(gathered))


async def _chunks(request: Request, idle_timeout_s: float) -> AsyncIterator[bytes]:
    """The body's pieces; uvicorn itself would wait for the next one for ever."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(idle_timeout_s):
                data = await anext(stream, None)
        except TimeoutError as error:
            raise UploadTimeoutError(f"the upload stopped: nothing came for {idle_timeout_s:g} s") from error
        if data is None:
            return
        yield data


def _check_length(request: Request, max_upload_bytes: int) -> None:
    """Refuse what announces that it is too large, before any of it has come."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_upload_bytes + FORM_OVERHEAD_BYTES:
        raise _too_large(max_upload_bytes)


def _too_large(max_upload_bytes: int) -> RawTooLargeError:
    return RawTooLargeError(f"the upload is larger than {max_upload_bytes / 1e6:g} MB")


class RawBody:
    """A body that is the file itself."""

    def feed(self, data: bytes) -> bytes:
        """The file's bytes in the next piece: all."""
        return data


class FileForm:
    """A form (multipart/form-data) with one field, `file`."""

    def __init__(self, boundary: bytes) -> None:
        self._found = bytearray()
        self._overhead = 0
        self._header = (bytearray(), bytearray())
        self._disposition: bytes = b""
        self._names: list[bytes] = []
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_begin": self._begin_header,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": lambda data, start, end: self._found.extend(data[start:end]),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise InvalidRequestError("the form's boundary makes no sense", detail=str(error)) from error
        if not boundary:
            raise InvalidRequestError("the form's Content-Type names no boundary")

    def feed(self, data: bytes) -> bytes:
        """The file's bytes in the next piece of the body.

        Raises:
            InvalidRequestError: This is no form, or one with other fields than one `file`.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequestError("the form cannot be read", detail=str(error)) from error
        found = bytes(self._found)
        self._found.clear()
        self._overhead += len(data) - len(found)
        if self._overhead > FORM_OVERHEAD_BYTES:
            raise InvalidRequestError("the form has much more in it than a file")
        return found

    def finish(self) -> bytes:
        """The file's name as the form gives it.

        Raises:
            InvalidRequestError: The form is cut off, or has no file.
        """
        if not self._complete:
            raise InvalidRequestError("the form is cut off")
        if not self._names:
            raise InvalidRequestError("the form has no field `file`")
        return self._names[0]

    def _begin_part(self) -> None:
        self._disposition = b""

    def _begin_header(self) -> None:
        self._header = (bytearray(), bytearray())

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"")
        if field != FILE_FIELD:
            raise InvalidRequestError(
                f"the form has a field {field.decode('utf-8', 'replace')[:40]!r}; "
                "send one field `file`, and options in the address's query"
            )
        if self._names:
            raise InvalidRequestError("the form has more than one file; send one at a time")
        self._names.append(options.get(b"filename", b""))

    def _end(self) -> None:
        self._complete = True


def safe_name(given: bytes | None) -> str:
    """A file name without folders, control characters, or anything else that a path or header could trip over.

    >>> safe_name(b"../../etc/pass wd")
    'pass wd'
    >>> safe_name(None)
    'capture.dng'
    """
    text = (given or b"").decode("utf-8", "replace").replace("\\", "/")
    name = re.sub(r"[^\w .()+-]", "_", PurePosixPath(text).name).strip(" .")
    return name[-100:] or DEFAULT_NAME
