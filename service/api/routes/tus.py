"""`/uploads`: a file in as many pieces as the line needs; a complete one is used by `/denoise` or `/captures`.

In the flow: **create → append … append** → use.

Source: tus 1.0.0, https://tus.io/protocols/resumable-upload, with the extensions Creation, Creation With Upload,
Expiration, Checksum and Termination. `middleware.TusMiddleware` adds what every answer has.
"""

import base64
import binascii
import hashlib
import hmac
from email.utils import formatdate
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

from fastapi import APIRouter, Depends, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from service.api.dependencies import Caller, CallerDependency, Services
from service.api.errors import declare_headers, declare_problems
from service.api.identifiers import UploadId
from service.api.middleware import TUS_VERSION
from service.api.results import BINARY
from service.api.uploads import WRITE_BYTES, chunks, media_type_of, safe_name, take_upload, too_large
from service.errors import (
    ChecksumMismatchError,
    MediaTypeError,
    TusVersionError,
    UploadConflictError,
    UploadHeaderError,
)
from service.resumable import OpenUpload, UploadState
from training.errors import RawTooLargeError

if TYPE_CHECKING:
    from hashlib import _Hash

    from service.settings import Settings

MEDIA_TYPE = "application/offset+octet-stream"
LOCATION = declare_headers(Location="The upload's address")
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
CHECKSUMS = ("sha1", "sha256")
MAX_METADATA_CHARS = 4096
_COUNT = {"type": "integer", "minimum": 0}
_HEADERS = {
    "Tus-Resumable": ("The protocol's version", {"const": TUS_VERSION}),
    "Upload-Length": ("Bytes of the whole file", _COUNT),
    "Upload-Offset": ("Bytes that have come, as HEAD says", _COUNT),
}
_PIECE = {"requestBody": {"content": {MEDIA_TYPE: BINARY}}}
_PROGRESS = declare_headers(
    Upload_Offset="Bytes that have come", Upload_Expires="When what has come is deleted", Tus_Resumable=TUS_VERSION
)

router = APIRouter(prefix="/uploads", tags=["uploads"])


def _declare(*more: str) -> dict[str, Any]:
    """The headers that a request must have, in OpenAPI's words: without one FastAPI would say 422, the protocol 4xx."""
    return {
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": meaning, "schema": schema}
            for name, (meaning, schema) in ((name, _HEADERS[name]) for name in ("Tus-Resumable", *more))
        ]
    }


def get_tus_caller(
    caller: CallerDependency,
    tus_resumable: Annotated[str, Header(include_in_schema=False)] = "",  # see _declare
) -> Caller:
    """Who asks, in the version of the protocol that we speak.

    Raises:
        TusVersionError: In another one.
    """
    if tus_resumable != TUS_VERSION:
        raise TusVersionError(f"Tus-Resumable: wanted {TUS_VERSION}")
    return caller


TusCaller = Annotated[Caller, Depends(get_tus_caller)]
ChecksumHeader = Annotated[str | None, Header(description="Of this piece: ALGORITHM, a space, the digest in base64")]


@router.options("", status_code=204, responses=declare_problems(401, 503))
async def show_upload_protocol(caller: CallerDependency) -> Response:
    """What of the protocol is spoken here."""
    headers = {
        "Tus-Version": TUS_VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(caller.services.settings.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    "",
    status_code=201,
    response_class=Response,
    openapi_extra={**_PIECE, **_declare("Upload-Length")},
    responses={
        201: {"description": "It is begun", "headers": {**LOCATION, **_PROGRESS}},
        **declare_problems(400, 401, 408, 412, 413, 422, 429, 460, 503),
    },
)
async def create_upload(
    request: Request,
    caller: TusCaller,
    upload_length: Annotated[str, Header(include_in_schema=False)] = "",
    upload_metadata: Annotated[str, Header(description="`filename`, a space, the name in base64")] = "",
    upload_checksum: ChecksumHeader = None,
) -> Response:
    """Begin an upload; its address is in `Location`. A first piece may come along."""
    services = caller.services
    length = _parse_count("Upload-Length", upload_length)
    if length > services.settings.max_upload_bytes:
        raise too_large(services.settings.max_upload_bytes)
    name = safe_name(parse_metadata(upload_metadata).get("filename"))
    checksum = Checksum.parse(upload_checksum)
    await run_in_threadpool(services.admission.check_storage, caller.tenant, max(1, length))
    state = await run_in_threadpool(
        services.uploads.create, caller.tenant, name=name, length=length, metadata=upload_metadata
    )
    if media_type_of(request) == MEDIA_TYPE:
        async with take_upload(caller.tenant, state.record.id, services) as upload:
            await _append_first(request, upload, checksum, services)
        state = await run_in_threadpool(services.uploads.state, caller.tenant, state.record.id)
    headers = {"Location": f"/uploads/{state.record.id}", **_progress(state)}
    return Response(status_code=201, headers=headers)


@router.head(
    "/{upload_id:id}",
    response_class=Response,
    openapi_extra=_declare(),
    responses={
        200: {"description": "So much is here", "headers": _PROGRESS},
        **declare_problems(401, 404, 412, 422, 503),
    },
)
async def show_upload(upload_id: UploadId, caller: TusCaller) -> Response:
    """How much of an upload has come, in `Upload-Offset`: so much is here whatever happens."""
    state = await run_in_threadpool(caller.services.uploads.state, caller.tenant, upload_id)
    headers = {"Upload-Length": str(state.record.length), "Cache-Control": "no-store", **_progress(state)}
    if state.record.metadata:
        headers["Upload-Metadata"] = state.record.metadata
    return Response(headers=headers)


@router.patch(
    "/{upload_id:id}",
    status_code=204,
    openapi_extra={**_PIECE, **_declare("Upload-Offset")},
    responses={
        204: {"description": "It is added", "headers": _PROGRESS},
        **declare_problems(400, 401, 404, 408, 409, 412, 413, 415, 422, 423, 460, 503),
    },
)
async def append_to_upload(
    upload_id: UploadId,
    request: Request,
    caller: TusCaller,
    upload_offset: Annotated[str, Header(include_in_schema=False)] = "",
    upload_checksum: ChecksumHeader = None,
) -> Response:
    """Add a piece; what has come of one that breaks off is kept, unless it has a checksum."""
    services = caller.services
    async with take_upload(caller.tenant, upload_id, services) as upload:
        if media_type_of(request) != MEDIA_TYPE:
            raise MediaTypeError(f"Content-Type: wanted {MEDIA_TYPE}")
        offset = _parse_count("Upload-Offset", upload_offset)
        if offset != upload.offset:
            raise UploadConflictError(f"the upload is at {upload.offset}, not at {offset}")
        await _append(request, upload, Checksum.parse(upload_checksum), services.settings)
    state = await run_in_threadpool(services.uploads.state, caller.tenant, upload_id)
    return Response(status_code=204, headers=_progress(state))


@router.delete(
    "/{upload_id:id}",
    status_code=204,
    openapi_extra=_declare(),
    responses=declare_problems(401, 404, 412, 422, 423, 503),
)
def delete_upload(upload_id: UploadId, caller: TusCaller) -> Response:
    """Give an upload up."""
    uploads = caller.services.uploads
    with uploads.open(caller.tenant, upload_id) as upload:
        uploads.remove(upload)
    return Response(status_code=204)


class Checksum(NamedTuple):
    """What a client says of a piece."""

    algorithm: str
    digest: bytes

    @classmethod
    def parse(cls, header: str | None) -> Self | None:
        """Read `Upload-Checksum`; None for none.

        Raises:
            UploadHeaderError: It makes no sense, or the algorithm is not known here.

        >>> Checksum.parse("sha1 Lve95gjOVATpfV8EL5X4nxwjKHE=").digest.hex()
        '2ef7bde608ce5404e97d5f042f95f89f1c232871'
        """
        if header is None:
            return None
        algorithm, _, encoded = header.partition(" ")
        if algorithm not in CHECKSUMS:
            raise UploadHeaderError(f"Upload-Checksum: wanted one of {', '.join(CHECKSUMS)}")
        return cls(algorithm, _decode("Upload-Checksum", encoded))

    def start(self) -> "_Hash":
        """A hash of its kind."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


async def _append_first(request: Request, upload: OpenUpload, checksum: Checksum | None, services: Services) -> None:
    """Write the piece that came with the beginning; if it breaks off, nobody knows the upload's address."""
    try:
        await _append(request, upload, checksum, services.settings)
    except BaseException:
        await run_in_threadpool(services.uploads.remove, upload)
        raise


async def _append(request: Request, upload: OpenUpload, checksum: Checksum | None, settings: "Settings") -> None:
    """Write a piece behind what is there."""
    _check_room(upload, int(request.headers.get("content-length", "0")))
    if checksum is None:
        await _copy(request, upload, None, settings)
        return
    digest = checksum.start()
    await run_in_threadpool(upload.hold_back)
    await _copy(request, upload, digest, settings)
    if not hmac.compare_digest(digest.digest(), checksum.digest):
        raise ChecksumMismatchError("the piece came with other bytes than its checksum says; send it again")
    await run_in_threadpool(upload.accept)


async def _copy(request: Request, upload: OpenUpload, digest: "_Hash | None", settings: "Settings") -> None:
    """Pass a body to the disk; also what is at hand of one that breaks off."""
    gathered = bytearray()

    async def flush() -> None:
        data = bytes(gathered)
        gathered.clear()  # first: should the disk be full, what was half written must not be written again
        await run_in_threadpool(_write, upload, digest, data)

    try:
        async for data in chunks(request, settings):
            _check_room(upload, len(gathered) + len(data))
            gathered += data
            if len(gathered) >= WRITE_BYTES:
                await flush()
    finally:
        await flush()


def _write(upload: OpenUpload, digest: "_Hash | None", data: bytes) -> None:
    if digest is not None:
        digest.update(data)
    upload.write(data)


def _check_room(upload: OpenUpload, more_bytes: int) -> None:
    if upload.offset + more_bytes > upload.record.length:
        raise RawTooLargeError(f"the upload is larger than its Upload-Length, {upload.record.length}")


def _progress(state: UploadState) -> dict[str, str]:
    """How far an upload is and when it expires, as headers."""
    return {"Upload-Offset": str(state.offset), "Upload-Expires": formatdate(state.expires_at, usegmt=True)}


def _parse_count(name: str, header: str) -> int:
    if not (header.isascii() and header.isdigit() and len(header) < 20):
        raise UploadHeaderError(f"{name}: wanted a number of bytes")
    return int(header)


def parse_metadata(header: str) -> dict[str, bytes]:
    """Read `Upload-Metadata`: pairs of a key and a value in base64, which may be missing.

    Raises:
        UploadHeaderError: It is something else.

    >>> parse_metadata("filename YS5kbmc=,is_confidential")
    {'filename': b'a.dng', 'is_confidential': b''}
    """
    if len(header) > MAX_METADATA_CHARS:
        raise UploadHeaderError(f"Upload-Metadata: longer than {MAX_METADATA_CHARS} characters")
    pairs = [pair.strip().partition(" ") for pair in header.split(",") if pair.strip()]
    return {key: _decode("Upload-Metadata", value) for key, _, value in pairs}


def _decode(name: str, encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UploadHeaderError(f"{name}: what should be base64 is not") from error
