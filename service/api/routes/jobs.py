"""Jobs: how far they are, their results, and their cancelling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from service.api.dependencies import Services, ServicesDependency
from service.api.errors import declare_problems, problem_of_failed
from service.errors import BrokerUnavailableError, JobConflictError, ResultNotReadyError
from service.jobs import Job
from service.schemas import JobSchema

RETRY_AFTER_S = 1
DNG_MEDIA_TYPE = "image/x-adobe-dng"
EVENT_POLL_S = 0.25
EVENT_PING_S = 15

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]

router = APIRouter(prefix="/jobs", tags=["jobs"])


async def read_job(job_id: str, services: Services) -> Job:
    """A job's record.

    Raises:
        JobNotFoundError: There is none.
    """
    return await run_in_threadpool(services.jobs.get, job_id)


@router.get("/{job_id}", responses=declare_problems(404, 422, 503))
async def show_job(job_id: JobId, services: ServicesDependency) -> JobSchema:
    """State and progress of a job."""
    return (await read_job(job_id, services)).to_schema()


@router.delete("/{job_id}", responses=declare_problems(404, 409, 422, 503))
async def cancel_job(job_id: JobId, services: ServicesDependency) -> JobSchema:
    """Cancel a job; if it is being worked on, that stops at the next tile."""
    return (await run_in_threadpool(services.jobs.cancel, job_id)).to_schema()


@router.get(
    "/{job_id}/result",
    response_class=FileResponse,
    responses={
        200: {"description": "The denoised DNG", "content": {DNG_MEDIA_TYPE: {}}},
        206: {"description": "A part of it"},
        304: {"description": "The client has it already"},
        **declare_problems(404, 408, 409, 413, 415, 416, 422, 503),
    },
)
async def show_result(
    job_id: JobId,
    request: Request,
    services: ServicesDependency,
    if_none_match: Annotated[str, Header()] = "",  # noqa: ARG001  (declared for the documentation; read below)
) -> Response:
    """The denoised file; 409 while the job is not finished, the job's own error if it failed."""
    return await answer_with_result(await read_job(job_id, services), request, services)


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Server-sent events `job`", "content": {"text/event-stream": {}}},
        **declare_problems(404, 422, 503),
    },
)
async def stream_events(job_id: JobId, services: ServicesDependency) -> StreamingResponse:
    """A job's state whenever it changes, until it is finished."""
    job = await read_job(job_id, services)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(job, services), media_type="text/event-stream", headers=headers)


async def _events(job: Job, services: Services) -> AsyncIterator[str]:
    silent_s = 0.0
    yield _event(job)
    while not job.finished:
        await asyncio.sleep(EVENT_POLL_S)
        silent_s += EVENT_POLL_S
        current = job
        with suppress(BrokerUnavailableError):  # the answer has begun: it can only go on once Redis is back
            current = await read_job(job.id, services)
        if current.to_schema() != job.to_schema():
            job, silent_s = current, 0.0
            yield _event(job)
        elif silent_s >= EVENT_PING_S:
            silent_s = 0.0
            yield ": still here\n\n"  # keeps proxies from closing a silent connection


def _event(job: Job) -> str:
    return f"event: job\ndata: {job.to_schema().model_dump_json()}\n\n"


async def answer_with_result(job: Job, request: Request, services: Services) -> Response:
    """A finished job's file, or the error that it ended with.

    Raises:
        ResultNotReadyError: It is not finished.
        JobConflictError: It was cancelled.
        ResultExpiredError: Its result is gone.
    """
    headers = {"X-Photosite-Job": job.id}
    if job.state == "failed":
        return problem_of_failed(job, headers)
    if job.state == "cancelled":
        raise JobConflictError("the job was cancelled; there is no result")
    if job.result is None:
        raise ResultNotReadyError(f"the job is {job.state}; its result is not ready")
    headers |= {
        "ETag": f'"{job.result.sha256}"',
        "Cache-Control": "private, no-cache",
        "X-Photosite-Model": job.model or "",
        "X-Photosite-Noise-Source": str((job.report or {}).get("noise_source", "")),
    }
    if matches_etag(request.headers.get("if-none-match", ""), job.result.sha256):
        return Response(status_code=304, headers=headers)
    path = await run_in_threadpool(services.blobs.local_path, job.result.sha256)
    return FileResponse(path, media_type=DNG_MEDIA_TYPE, filename=job.result.name, headers=headers)


def matches_etag(if_none_match: str, sha256: str) -> bool:
    """Whether a client has the content already (RFC 9110, section 13.1.2: weak comparison).

    >>> matches_etag('W/"abc", "def"', "abc")
    True
    """
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or f'"{sha256}"' in tags
