"""Uploads: a request's body goes to the disk as it comes, hashed and counted on the way, never whole into memory.

In the flow: **upload** → blob → job. `obtain_upload` is the one place that knows where a raw may come from.

Source: RFC 6266 (Content-Disposition).
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from service.api.forms import FORM_OVERHEAD_BYTES, FileForm
from service.api.results import BINARY, DNG_MEDIA_TYPE, OTHER_MEDIA_TYPE
from service.errors import InvalidRequestError, UploadBusyError, UploadTimeoutError
from service.resumable import CompleteUpload
from training.errors import RawTooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from service.api.courtesy import Courtesy
    from service.api.dependencies import Services
    from service.resumable import OpenUpload
    from service.settings import Settings
    from service.storage import Blob, BlobStore, BlobWriter

WRITE_BYTES = 1024 * 1024
"""So much is gathered before a thread writes it: a hop to a thread for each network packet would cost more."""
DEFAULT_NAME = "capture.dng"
PATIENCE_S = 5
"""So long an upload that somebody looks at is waited for: a page shows it while its job is handed in."""
POLL_S = 0.1

FILE_BODY = {
    "required": False,  # an upload may stand for it
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": BINARY["schema"]},
            },
            "encoding": {"file": {"contentType": f"{DNG_MEDIA_TYPE}, {OTHER_MEDIA_TYPE}"}},
        },
        DNG_MEDIA_TYPE: BINARY,
        OTHER_MEDIA_TYPE: BINARY,
    },
}
"""A request's body in OpenAPI's words: a form with a file, or the file itself."""


class Unkept(Protocol):
    """A file that has come completely."""

    path: Path
    """Where it can be looked at."""

    def commit(self) -> Blob:
        """Keep it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A raw that has come completely, not yet kept."""

    name: str
    """Its file name, made safe."""
    writer: Unkept


@asynccontextmanager
async def obtain_upload(
    request: Request, tenant: str, services: Services, upload_id: str | None = None
) -> AsyncIterator[Upload]:
    """The raw that a request is about: its body, or a resumable upload that it names.

    Make what is to refer to the kept blob within the `with` block: a resumable upload is deleted at its end, and stays
    if anything is raised.

    Args:
        request: The request.
        tenant: Who asks.
        services: The service's parts.
        upload_id: A complete upload of the tenant's; None: the body.

    Raises:
        QuotaExceededError: The tenant may not store anything more.
        NotFoundError: There is no such upload.
        UploadConflictError: It is not complete.
        UploadBusyError: Another request works on it, for long.
        InvalidRequestError: There are both an upload and a body; or as `receive_upload`.
        RawTooLargeError: As `receive_upload`; as UploadTimeoutError.
    """
    if upload_id is None:
        await run_in_threadpool(services.admission.check_storage, tenant)
        async with receive_upload(request, tenant, services.blobs, services.settings) as upload:
            yield upload
        return
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise InvalidRequestError("query.upload: it stands for the body; send none")
    async with take_upload(tenant, upload_id, services, PATIENCE_S) as taken:
        yield Upload(taken.record.name, CompleteUpload(taken, services.blobs))
        await run_in_threadpool(services.uploads.remove, taken)


@asynccontextmanager
async def take_upload(
    tenant: str, upload_id: str, services: Services, patience_s: float = 0
) -> AsyncIterator[OpenUpload]:
    """A resumable upload that is ours alone within the `with` block.

    Args:
        tenant: Whose it is.
        upload_id: Which.
        services: The service's parts.
        patience_s: So long another request that works on it is waited for.

    Raises:
        NotFoundError: There is none, or it is another tenant's.
        UploadBusyError: Another request works on it.
    """
    upload = await _open_upload(tenant, upload_id, services, time.monotonic() + patience_s)
    try:
        yield upload
    finally:
        await run_in_threadpool(upload.close)


async def _open_upload(tenant: str, upload_id: str, services: Services, deadline: float) -> OpenUpload:
    while True:
        try:
            return await run_in_threadpool(services.uploads.open, tenant, upload_id)
        except UploadBusyError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(POLL_S)


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
    async for data in chunks(request, settings):
        gathered += body.feed(data)
        if writer.size + len(gathered) > settings.max_upload_bytes:
            raise too_large(settings.max_upload_bytes)
        if len(gathered) >= WRITE_BYTES:
            await run_in_threadpool(writer.write, bytes(gathered))
            gathered.clear()
    await run_in_threadpool(writer.write, bytes(gathered))


def media_type_of(request: Request) -> str:
    """A body's type without its parameters, in small letters; empty where the request says none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def chunks(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    """The body's pieces, asked for one by one; uvicorn itself would wait for the next one for ever.

    Raises:
        UploadTimeoutError: Nothing came for too long, or too little.
    """
    pace = Pace(settings.min_upload_bytes_per_s, settings.upload_idle_timeout_s)
    courtesy: Courtesy = request.app.state.services.courtesy
    stream = request.stream()
    while True:
        started = time.monotonic()
        try:
            async with asyncio.timeout(pace.patience_s):
                data = await anext(stream, None)
        except TimeoutError as error:
            raise UploadTimeoutError(pace.complaint) from error
        if data is None:
            return
        pace.count(len(data), time.monotonic() - started)
        yield data
        await courtesy.step_aside()


class Pace:
    """How fast a body comes: counted is only the time that we wait for it, not what we do with it.

    Args:
        least_per_s: Bytes per second that it must bring on average over each span.
        span_s: Seconds of such a span; also how long nothing at all may come.

    >>> pace = Pace(1000, 30)
    >>> pace.count(20_000, 25)
    >>> pace.patience_s  # 10 kB are missing
    5.0
    """

    def __init__(self, least_per_s: int, span_s: float) -> None:
        self._least_per_s = least_per_s
        self._span_s = span_s
        self._came, self._waited_s = 0, 0.0

    @property
    def patience_s(self) -> float:
        """Seconds that the next piece may take."""
        return self._span_s if self._is_enough else self._span_s - self._waited_s

    @property
    def complaint(self) -> str:
        """What is wrong with a body that took longer."""
        if not self._came or self._is_enough:
            return f"the upload stopped: nothing came for {self._span_s:g} s"
        return f"the upload is too slow: {self._came} bytes came in {self._span_s:g} s"

    def count(self, came: int, waited_s: float) -> None:
        """A piece came, after so long."""
        self._came += came
        self._waited_s = min(self._waited_s + waited_s, self._span_s)
        if self._waited_s == self._span_s and self._is_enough:
            self._came, self._waited_s = 0, 0.0

    @property
    def _is_enough(self) -> bool:
        return self._came >= max(1, self._least_per_s * self._span_s)


def _check_length(request: Request, max_upload_bytes: int) -> None:
    """Refuse what announces that it is too large, before any of it has come."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_upload_bytes + FORM_OVERHEAD_BYTES:
        raise too_large(max_upload_bytes)


def too_large(max_upload_bytes: int) -> RawTooLargeError:
    """What is wrong with an upload of more bytes than that."""
    return RawTooLargeError(f"the upload is larger than {max_upload_bytes / 1e6:g} MB")


class RawBody:
    """A body that is the file itself."""

    def feed(self, data: bytes) -> bytes:
        """The file's bytes in the next piece: all."""
        return data


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
