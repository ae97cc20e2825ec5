"""A picture of a raw in an answer: found, or made by a worker while the client waits.

In the flow: request → **find, or ask and wait** → answer. Nothing is decoded or rendered here.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from service.api.checks import check_model, check_raw
from service.api.errors import declare_headers, declare_problems
from service.api.preferences import parse_prefer
from service.api.results import FILE_REQUEST, answer_with_file, declare_file
from service.api.uploads import take_upload
from service.errors import (
    BrokerUnavailableError,
    InvalidRequestError,
    JobConflictError,
    NotFoundError,
    QueueFullError,
    ResultNotReadyError,
)
from service.pictures import PictureRequest, Ticket, Treatment
from service.resumable import CompleteUpload
from service.schemas import RenderingSchema
from service.storage import BlobKey
from training.errors import UnsupportedRawError
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from fastapi import Request

    from service.api.dependencies import Caller, Services
    from service.job_records import Job
    from service.resumable import OpenUpload
    from service.schemas import FileSchema, PreviewQuery, TrialQuery
    from training.raw.cells import SensorKind
    from training.registry import ModelRef, Registry

MAX_WAIT_S = 10
"""A browser has few connections to a host: no picture keeps one for longer."""
FIRST_POLL_S, LAST_POLL_S = 0.01, 0.2
RETRY_AFTER_S = 1
MAX_TRIAL = 2048
"""Pixels of a crop, each way, that is denoised for a look."""
PICTURE_MEDIA_TYPE = "image/jpeg"
KEPT = "private, max-age=86400, immutable"
"""The same address is always the same picture."""
ASKED_AGAIN = "private, no-cache"
"""What the default model is may change."""

RENDERING: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "It is being made",
        "model": RenderingSchema,
        "headers": declare_headers(Retry_After="Seconds after which asking again makes sense"),
    }
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": f"`wait=SECONDS` or `respond-async` (RFC 7240); at most {MAX_WAIT_S} s",
    "schema": {"type": "string"},
}
INFO_REQUEST = {"parameters": [_PREFER]}
PREVIEW_REQUEST = {"parameters": [*FILE_REQUEST["parameters"], _PREFER]}
"""What is looked at in `obtain_picture` and `answer_with_file`, in OpenAPI's words."""
PREVIEW = {
    **declare_file("The picture", PICTURE_MEDIA_TYPE),
    **RENDERING,
    **declare_problems(409, 413, 415, 423, 429),
}
INFO = {**RENDERING, **declare_problems(401, 404, 409, 413, 415, 422, 423, 429, 503)}


def picture_of_job(job: Job, query: PreviewQuery) -> PictureRequest:
    """What a preview of a job asks for.

    Raises:
        NotFoundError: There is nothing to see: it works on no raw, or none is kept of one that failed.
        ResultNotReadyError: It is to be seen when the job is finished.
    """
    source = raw_of_job(job)
    shown = source
    if query.stage == "after":
        if not job.finished:
            raise ResultNotReadyError(f"the job is {job.state}; its result is not ready")
        if job.result is None:
            raise JobConflictError("the job has no result")
        shown = job.result.sha256
    return PictureRequest(source=source, shown=shown, size=query.size, crop=query.place)


def raw_of_job(job: Job) -> str:
    """SHA-256 of the raw that a job denoises.

    Raises:
        NotFoundError: There is none, or it is not kept.
    """
    if job.kind != "denoise" or job.input is None:
        raise NotFoundError("this kind of job has no picture")
    if job.state in {"failed", "cancelled"}:
        raise NotFoundError(f"the job is {job.state}; its file is not kept")
    return job.input.sha256


def picture_of_raw(sha256: str, query: TrialQuery, caller: Caller) -> PictureRequest:
    """What a preview of a raw asks for that no job has denoised.

    Raises:
        InvalidRequestError: The whole, or too much of it, is to be denoised; or there is no such model.
        ModelError: There is no default model.
    """
    request = PictureRequest(source=sha256, shown=sha256, size=query.size, crop=query.place)
    if query.stage == "before":
        return request
    if request.crop is None or max(request.crop[2:]) > MAX_TRIAL:
        raise InvalidRequestError(f"query.crop: wanted a crop of at most {MAX_TRIAL}×{MAX_TRIAL}, to denoise it")
    check_model(query.model, "query.model", caller.tenant, caller.services)
    models = _models_by_sensor(caller.services.registry(caller.tenant), query.model)
    treatment = Treatment(
        models={sensor: str(reference) for sensor, reference in models.items()},
        weights=" ".join(reference.manifest().weights_sha256 for reference in models.values()),
        strength=query.strength,
    )
    return request.model_copy(update={"treatment": treatment})


def _models_by_sensor(registry: Registry, name: str | None) -> dict[SensorKind, ModelRef]:
    """What each kind of sensor's mosaics are denoised with: the model that was named, or else the usual ones."""
    models = {}
    for cell in CELLS.values():
        with suppress(UnsupportedRawError):
            models[cell.kind] = registry.resolve_for(cell.kind, name)
    return models


def facts_of_raw(sha256: str) -> PictureRequest:
    """What the facts of a raw are asked for with."""
    return PictureRequest(source=sha256, shown=sha256, what="facts")


async def raw_of_upload(upload_id: str, caller: Caller) -> str:
    """SHA-256 of a complete upload's content, which from now on lies where workers find it.

    Raises:
        NotFoundError: There is no such upload.
        UploadConflictError: It is not complete.
        UploadBusyError: Another request works on it, for long.
        RawError: It is no raw that can be read.
    """
    ledger = caller.services.jobs.ledger
    file = await run_in_threadpool(ledger.blob_of_upload, caller.tenant, upload_id)
    if file:
        return file.sha256
    async with take_upload(caller.tenant, upload_id, caller.services, MAX_WAIT_S) as taken:
        # a page asks for several pictures at once: another request may have done it meanwhile
        file = await run_in_threadpool(ledger.blob_of_upload, caller.tenant, upload_id)
        if file is None:
            file = await run_in_threadpool(_keep_upload, taken, caller)
    return file.sha256


def _keep_upload(upload: OpenUpload, caller: Caller) -> FileSchema:
    complete = CompleteUpload(upload, caller.services.blobs)
    check_raw(complete.path, force=True)
    file = complete.commit().named(upload.record.name)
    caller.services.jobs.ledger.hold_for_upload(caller.tenant, upload.record.id, file)
    return file


async def answer_with_picture(wanted: PictureRequest, request: Request, caller: Caller, cache: str = KEPT) -> Response:
    """The picture, or 202 if it is not made in time.

    Args:
        wanted: What it depends on.
        request: The client's, with what it has already and how long it wants to wait.
        caller: Who asks.
        cache: How long it may be kept.

    Raises:
        RawError, ModelError: What it cannot be made for.
        QuotaExceededError, QueueFullError: Too many are being made.
    """
    file = await obtain_picture(wanted, request, caller)
    if file is None:
        return show_rendering()
    headers = {"Cache-Control": cache, "Vary": "Authorization, Cookie"}
    return await answer_with_file(file, caller.tenant, request, caller.services, headers)


async def answer_with_facts(sha256: str, request: Request, caller: Caller) -> Response:
    """What is known of a raw, or 202 if it is not found out in time."""
    file = await obtain_picture(facts_of_raw(sha256), request, caller)
    if file is None:
        return show_rendering()
    path = await run_in_threadpool(caller.services.blobs.local_path, BlobKey(caller.tenant, file.sha256))
    content = await run_in_threadpool(path.read_bytes)
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})


def show_rendering() -> Response:
    """202: it is being made."""
    body = RenderingSchema().model_dump(mode="json")
    return JSONResponse(body, status_code=202, headers={"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store"})


async def obtain_picture(wanted: PictureRequest, request: Request, caller: Caller) -> FileSchema | None:
    """A picture's file; None if it takes longer than the client waits."""
    services = caller.services
    file = await run_in_threadpool(services.pictures.find, caller.tenant, wanted)
    if file:
        return file
    ticket = Ticket(caller.tenant, wanted.digest)
    await run_in_threadpool(_ask, wanted, caller.tenant, services)
    preference = parse_prefer(request.headers.get("prefer", ""), services.settings)
    deadline, poll_s = time.monotonic() + min(preference.wait_s, MAX_WAIT_S), FIRST_POLL_S
    while (left_s := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(poll_s, left_s))
        poll_s = min(poll_s * 1.5, LAST_POLL_S)
        with suppress(BrokerUnavailableError):
            file = await run_in_threadpool(services.pictures.find, caller.tenant, wanted)
            if file:
                return file
            failed = await run_in_threadpool(services.pictures.failure, ticket)
            if failed:
                raise failed
    return None


def _ask(wanted: PictureRequest, tenant: str, services: Services) -> None:
    """Have a picture made, unless it is being made already.

    Raises:
        PhotositeError: What it failed with a moment ago; as `PictureStore.ask`.
        QueueFullError: Too many pictures of all tenants wait.
        BrokerUnavailableError: Nobody can be told.
    """
    ticket = services.pictures.ask(tenant, wanted)
    if ticket is None:
        return
    try:
        _check_room(services)
        services.queue.publish_ticket(ticket)
    except Exception:
        services.pictures.withdraw(ticket)
        raise


def _check_room(services: Services) -> None:
    """Raise QueueFullError where so many messages wait that one more would wait for long."""
    if services.queue.count_messages("preview") >= services.settings.max_queued_jobs:
        raise QueueFullError("too many pictures are being made; try again later")
