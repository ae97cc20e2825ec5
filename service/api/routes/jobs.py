"""Jobs: how far they are, their results, and their cancelling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, NamedTuple, Self

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from service.api.dependencies import Services, ServicesDependency, TenantDependency
from service.api.errors import declare_problems
from service.api.identifiers import JobId
from service.api.results import FILE_REQUEST, answer_with_result, declare_file, read_job
from service.errors import BrokerUnavailableError
from service.job_records import Job
from service.schemas import BatchName, JobKind, JobListSchema, JobSchema, JobState, QueuePlaceSchema

EVENT_POLL_S = 0.25
EVENT_PING_S = 15
MAX_PAGE = 200
FAILURES = (408, 409, 413, 415)
"""Errors of jobs, which a request for their files answers with."""

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("", responses=declare_problems(401, 422, 503))
async def list_jobs(
    *,
    services: ServicesDependency,
    tenant: TenantDependency,
    state: Annotated[list[JobState] | None, Query(description="Only jobs in one of these states")] = None,
    kind: Annotated[list[JobKind] | None, Query(description="Only jobs of one of these kinds")] = None,
    batch: Annotated[BatchName | None, Query(description="Only jobs of this batch")] = None,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> JobListSchema:
    """Jobs, newest first, a page at a time."""

    def keep(job: Job) -> bool:
        return (not state or job.state in state) and (not kind or job.kind in kind)

    page = await run_in_threadpool(services.jobs.page, tenant, batch=batch, cursor=cursor, limit=limit, keep=keep)
    return JobListSchema(jobs=[job.to_schema() for job in page.records], next_cursor=page.cursor)


@router.get("/{job_id:id}", responses=declare_problems(401, 404, 422, 503))
async def show_job(job_id: JobId, services: ServicesDependency, tenant: TenantDependency) -> JobSchema:
    """State and progress of a job."""
    return (await _read(job_id, tenant, services)).shown


@router.delete("/{job_id:id}", responses=declare_problems(401, 404, 409, 422, 503))
async def cancel_job(
    job_id: JobId,
    services: ServicesDependency,
    tenant: TenantDependency,
    erase: Annotated[bool, Query(description="Also erase the job and its files; done where it has ended")] = False,
) -> JobSchema:
    """Cancel a job; if it is being worked on, that stops at the next tile or training step."""
    job = await read_job(job_id, tenant, services)
    if not (erase and job.finished):
        job = await run_in_threadpool(services.jobs.cancel, job_id)
    if erase:
        await run_in_threadpool(services.jobs.forget, job_id)
    return job.to_schema()


@router.get(
    "/{job_id:id}/result",
    response_class=FileResponse,
    openapi_extra=FILE_REQUEST,
    responses={
        **declare_file("The denoised DNG, or the report of a job that makes one"),
        **declare_problems(*FAILURES),
    },
)
async def show_job_result(
    job_id: JobId, request: Request, services: ServicesDependency, tenant: TenantDependency
) -> Response:
    """What the job has made; 409 while it is not finished, the job's own error if it failed."""
    return await answer_with_result(await read_job(job_id, tenant, services), request, services)


@router.get(
    "/{job_id:id}/files/{name}",
    response_class=FileResponse,
    openapi_extra=FILE_REQUEST,
    responses={**declare_file("One of the job's other files"), **declare_problems(*FAILURES)},
)
async def show_job_file(
    job_id: JobId,
    name: Annotated[str, Path(pattern=r"^[\w.-]{1,100}$")],
    request: Request,
    services: ServicesDependency,
    tenant: TenantDependency,
) -> Response:
    """Another file that the job has made, by its name among `files`: a report to read, a benchmark's submission."""
    return await answer_with_result(await read_job(job_id, tenant, services), request, services, name)


@router.get(
    "/{job_id:id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Server-sent events `job`", "content": {"text/event-stream": {}}},
        204: {"description": "The client has seen the job's end: nothing more will come"},
        **declare_problems(401, 404, 422, 429, 503),
    },
)
async def stream_job_events(
    job_id: JobId,
    services: ServicesDependency,
    tenant: TenantDependency,
    last_event_id: Annotated[str, Header(description="The last event's id, when a stream broke off")] = "",
) -> Response:
    """A job's state whenever it changes, until it is finished."""
    look = await _read(job_id, tenant, services)
    services.streams.check(tenant)
    seen = last_event_id == str(look.job.revision)
    if seen and look.job.finished:
        return Response(status_code=204)  # an EventSource would ask again for ever
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(look, services, seen=seen), media_type="text/event-stream", headers=headers)


class _Look(NamedTuple):
    """A job and its place in the queue, as they were at one look."""

    job: Job
    place: QueuePlaceSchema | None

    @property
    def shown(self) -> JobSchema:
        return self.job.to_schema().model_copy(update={"place": self.place})

    @property
    def event(self) -> str:
        return f"id: {self.job.revision}\nevent: job\ndata: {self.shown.model_dump_json()}\n\n"

    def differs(self, earlier: Self) -> bool:
        return (self.job.revision, self.place) != (earlier.job.revision, earlier.place)


async def _read(job_id: str, tenant: str, services: Services) -> _Look:
    job = await read_job(job_id, tenant, services)
    return _Look(job, await run_in_threadpool(services.jobs.place, job) if job.state == "queued" else None)


async def _events(look: _Look, services: Services, *, seen: bool) -> AsyncIterator[str]:
    with services.streams.counted(look.job.tenant):
        async for event in _changes(look, services, seen=seen):
            yield event


async def _changes(look: _Look, services: Services, *, seen: bool) -> AsyncIterator[str]:
    silent_s = 0.0
    if not seen:
        yield look.event
    while not look.job.finished:
        await asyncio.sleep(EVENT_POLL_S)
        silent_s += EVENT_POLL_S
        current = look
        with suppress(BrokerUnavailableError):  # the answer has begun: it can only go on once Redis is back
            current = await _read(look.job.id, look.job.tenant, services)
        if current.differs(look):
            look, silent_s = current, 0.0
            yield look.event
        elif silent_s >= EVENT_PING_S:
            silent_s = 0.0
            yield ": still here\n\n"  # keeps proxies from closing a silent connection
