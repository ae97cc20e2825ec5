"""`GET /jobs/results.zip`: the results of several jobs in one go."""

from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from service.api.archives import Entry, stream_zip, unique_names
from service.api.dependencies import CallerDependency, Services
from service.api.errors import declare_problems
from service.api.results import BINARY
from service.errors import InvalidRequestError, JobConflictError, NotFoundError
from service.job_records import Job
from service.schemas import BatchName, FileSchema
from service.storage import BlobKey

MAX_JOBS = 1000
ZIP_MEDIA_TYPE = "application/zip"
JobId = Annotated[str, Query(pattern="^[0-9a-f]{32}$")]

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get(
    "/results.zip",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The results", "content": {ZIP_MEDIA_TYPE: BINARY}},
        **declare_problems(401, 404, 409, 422, 503),
    },
)
def zip_results(
    caller: CallerDependency,
    job_ids: Annotated[list[JobId] | None, Query(alias="id", max_length=MAX_JOBS, description="Jobs, in order")] = None,
    batch: Annotated[BatchName | None, Query(description="All jobs of this batch")] = None,
) -> StreamingResponse:
    """The results of several jobs as a zip archive; all of them must have succeeded."""
    services = caller.services
    jobs = [services.jobs.get_owned(caller.tenant, job_id) for job_id in dict.fromkeys(job_ids or [])]
    if batch is not None:
        jobs += _jobs_of_batch(caller.tenant, batch, services)
    if not jobs:
        raise InvalidRequestError("query.id: wanted at least one job, or a batch")
    jobs = list({job.id: job for job in jobs}.values())
    files = [_result(job) for job in jobs]
    names = unique_names(file.name for file in files)
    entries = [
        Entry(name, file.bytes, partial(services.blobs.local_path, BlobKey(caller.tenant, file.sha256)))
        for name, file in zip(names, files, strict=True)
    ]
    headers = {"Content-Disposition": _disposition(f"{batch or 'results'}.zip"), "Cache-Control": "no-store"}
    return StreamingResponse(stream_zip(entries), media_type=ZIP_MEDIA_TYPE, headers=headers)


def _disposition(name: str) -> str:
    """What the archive is to be called (RFC 6266, appendix D): a header holds no letters beyond Latin 1."""
    return f'attachment; filename="{name}"' if name.isascii() else f"attachment; filename*=UTF-8''{quote(name)}"


def _jobs_of_batch(tenant: str, batch: str, services: Services) -> list[Job]:
    jobs = services.jobs.batch(tenant, batch)
    if not jobs:
        raise NotFoundError(f"there is no batch {batch}")
    return jobs


def _result(job: Job) -> FileSchema:
    if job.state != "succeeded":
        raise JobConflictError(f"the job {job.id} is {job.state}; there is no result")
    if job.result is None:
        raise JobConflictError(f"the job {job.id} is of a kind that has no result to download")
    return job.result
