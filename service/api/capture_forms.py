"""A form with several captures and some words: what a fine-tuning can be asked for with, in one request.

In the flow: request → **captures, not yet kept** → check → blobs → captures → job.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from service.api.checks import check_raw
from service.api.forms import FILE_FIELD, FORM_OVERHEAD_BYTES, FormReader, Part
from service.api.uploads import WRITE_BYTES, Upload, chunks, safe_name, too_large
from service.errors import InvalidRequestError
from training.errors import RawError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from service.api.dependencies import Services
    from service.storage import BlobWriter

MAX_FILES = 256


@dataclass(frozen=True, slots=True)
class CaptureForm:
    """What came."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    """The values of each field that is no file, in their order."""
    uploads: list[Upload] = field(default_factory=list)
    """The files; none of them is kept before its `commit`."""


def is_form(request: Request) -> bool:
    """Whether a request's body is a form."""
    return parse_options_header(request.headers.get("content-type"))[0] == b"multipart/form-data"


@asynccontextmanager
async def receive_form(request: Request, tenant: str, services: Services) -> AsyncIterator[CaptureForm]:
    """Receive a form with files in its field `file`; each is checked as soon as it has come.

    Raises:
        InvalidRequestError: It cannot be read, is cut off, or has too much in it.
        RawError: A file is at fault; its name is said.
        UploadTimeoutError: Nothing came for too long, or too little.
    """
    async with AsyncExitStack() as stack:
        receiver = _Receiver(tenant, services, stack)
        _, options = parse_options_header(request.headers.get("content-type"))
        reader = FormReader(options.get(b"boundary", b""))
        async for data in chunks(request, services.settings):
            for item in reader.feed(data):
                await (receiver.begin(item) if isinstance(item, Part) else receiver.add(item))
        reader.finish()
        await receiver.end()
        yield receiver.form


class _Receiver:
    """Where a form's parts go, one after the other."""

    def __init__(self, tenant: str, services: Services, stack: AsyncExitStack) -> None:
        self.form = CaptureForm()
        self._tenant, self._services, self._stack = tenant, services, stack
        self._part: Part | None = None
        self._writer: BlobWriter | None = None
        self._gathered = bytearray()
        self._overhead = 0

    async def begin(self, part: Part) -> None:
        """The head of the next part."""
        await self.end()
        self._part = part
        self._count(len(part.field) + len(part.file_name))
        if part.field != FILE_FIELD:
            return
        if len(self.form.uploads) == MAX_FILES:
            raise InvalidRequestError(f"the form has more than {MAX_FILES} files")
        self._writer = await run_in_threadpool(self._services.blobs.writer, self._tenant)
        self._stack.push_async_callback(run_in_threadpool, self._writer.__exit__, None, None, None)

    async def add(self, data: bytes) -> None:
        """More of the latest part."""
        self._gathered += data
        if self._writer is None:
            self._count(len(data))
            return
        most = self._services.settings.max_upload_bytes
        if self._writer.size + len(self._gathered) > most:
            raise too_large(most)
        if len(self._gathered) >= WRITE_BYTES:
            await self._flush(self._writer)

    async def end(self) -> None:
        """The latest part is complete."""
        if self._part and self._writer:
            await self._flush(self._writer)
            upload = Upload(safe_name(self._part.file_name), self._writer)
            try:
                await run_in_threadpool(check_raw, upload.writer.path, force=False)
            except RawError as error:
                raise type(error)(f"{upload.name}: {error.message}", detail=error.detail) from error
            self.form.uploads.append(upload)
        elif self._part:
            text = self._gathered.decode("utf-8", "replace")
            self.form.fields.setdefault(self._part.field, []).append(text)
        self._part, self._writer = None, None
        self._gathered.clear()

    async def _flush(self, writer: BlobWriter) -> None:
        await run_in_threadpool(writer.write, bytes(self._gathered))
        self._gathered.clear()

    def _count(self, size: int) -> None:
        self._overhead += size
        if self._overhead > FORM_OVERHEAD_BYTES:
            raise InvalidRequestError("the form has much more in it than files")
