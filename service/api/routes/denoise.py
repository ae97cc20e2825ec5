"""`POST /denoise`: a raw comes in, its denoised self goes out, at once if it can be done while the client waits.

In the flow: **receive → check → keep → record → publish → wait → answer**.
"""

import asyncio
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from service.api.dependencies import Services, ServicesDependency
from service.api.errors import declare_problems
from service.api.routes.jobs import RETRY_AFTER_S, answer_with_result, read_job
from service.api.uploads import Upload, receive_upload
from service.errors import BrokerUnavailableError, InvalidRequestError
from service.jobs import Job, new_job_id
from service.schemas import DenoiseParameters, FileSchema, JobSchema
from service.settings import Settings
from training.errors import AlreadyDenoisedError, ModelError, PhotositeError
from training.raw.dng import read_metadata

FIRST_POLL_S = 0.02
LAST_POLL_S = 0.25

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_REQUEST_BODY = {
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
        "image/x-adobe-dng": _BINARY,
        "application/octet-stream": _BINARY,
    },
}

router = APIRouter(tags=["denoise"])


class Preference(NamedTuple):
    """How long a client wants to wait (RFC 7240)."""

    wait_s: float
    applied: str
    """What the answer's Preference-Applied says; empty for no preference."""


@router.post(
    "/denoise",
    response_class=FileResponse,
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses={
        200: {"description": "The denoised DNG", "content": {"image/x-adobe-dng": _BINARY}},
        202: {"description": "Accepted; the job goes on", "model": JobSchema},
        **declare_problems(408, 409, 413, 415, 422, 503),
    },
)
async def denoise(
    request: Request,
    parameters: Annotated[DenoiseParameters, Query()],
    services: ServicesDependency,
    prefer: Annotated[str, Header(description="`wait=SECONDS` or `respond-async` (RFC 7240)")] = "",
) -> Response:
    """Denoise one raw file.

    Send it as the field `file` of a form, or as the body itself. The answer is the denoised DNG if it is done within
    the time of `Prefer: wait=SECONDS`, else 202 with the job's address in `Location`.
    """
    preference = parse_prefer(prefer, services.settings)
    try:
        job = await _accept(request, parameters, services)
    except PhotositeError as error:
        services.metrics.rejected.labels(error.code).inc()
        raise
    finished = await wait_until_finished(job, services, preference.wait_s)
    response = await answer_with_result(finished, request, services) if finished else show_accepted(job)
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    return response


async def _accept(request: Request, parameters: DenoiseParameters, services: Services) -> Job:
    """Everything up to the point from which the job is ours to do, whatever happens."""
    await run_in_threadpool(services.jobs.check_capacity)  # also asks Redis before a single byte is stored
    async with receive_upload(request, services.blobs, services.settings) as upload:
        await run_in_threadpool(_check, upload, parameters, services)
        blob = await run_in_threadpool(upload.writer.commit)
    services.metrics.upload_bytes.observe(blob.bytes)
    kept = FileSchema(name=upload.name, bytes=blob.bytes, sha256=blob.sha256)
    job = await run_in_threadpool(services.jobs.create, Job(id=new_job_id(), parameters=parameters, input=kept))
    await run_in_threadpool(services.queue.publish_soon, job)
    return job


def _check(upload: Upload, parameters: DenoiseParameters, services: Services) -> None:
    """Refuse what is certain to fail, before it is kept.

    Raises:
        RawError: The file is at fault.
        InvalidRequestError: There is no such model.
    """
    check_raw(upload.writer.path, force=parameters.force)
    try:
        services.registry.resolve(parameters.model)
    except ModelError as error:
        if parameters.model is None:
            raise
        raise InvalidRequestError(f"query.model: {error.message}") from error


def check_raw(path: Path, *, force: bool) -> None:
    """Refuse a file that cannot be denoised, as far as its directories tell; no pixel is decoded.

    Raises:
        RawError: Which kind, and why.
    """
    denoised_by = read_metadata(path).denoised_by
    if denoised_by and not force:
        raise AlreadyDenoisedError(f"the file was denoised by {denoised_by} already; add force=true to do it again")


async def wait_until_finished(job: Job, services: Services, wait_s: float) -> Job | None:
    """The finished job, or None if it takes longer."""
    deadline, poll_s = time.monotonic() + wait_s, FIRST_POLL_S
    while (left_s := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(poll_s, left_s))
        poll_s = min(poll_s * 1.5, LAST_POLL_S)
        with suppress(BrokerUnavailableError):  # the job is accepted and will be done: no reason to say otherwise
            current = await read_job(job.id, services)
            if current.finished:
                return current
    return None


def show_accepted(job: Job) -> Response:
    """202: the job goes on."""
    headers = {"Location": f"/jobs/{job.id}", "Retry-After": str(RETRY_AFTER_S), "X-Photosite-Job": job.id}
    return JSONResponse(job.to_schema().model_dump(mode="json"), status_code=202, headers=headers)


def parse_prefer(header: str, settings: Settings) -> Preference:
    """Read `Prefer`: preferences that make no sense are ignored, as RFC 7240 wants it.

    Args:
        header: The header's value, empty for none.
        settings: Default and largest waiting time.
    """
    tokens = [token.strip().lower() for token in header.split(",")]
    if "respond-async" in tokens:
        return Preference(0, "respond-async")
    waits = [match[1] for token in tokens if (match := re.fullmatch(r'wait\s*=\s*"?(\d{1,9})"?', token))]
    if not waits:
        return Preference(settings.default_wait_s, "")
    wait_s = min(float(waits[0]), settings.max_wait_s)
    return Preference(wait_s, f"wait={wait_s:g}")
