"""Captures: a customer's own noisy raws, to adapt a model to their camera."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from service.api.checks import check_raw
from service.api.dependencies import CallerDependency, Services
from service.api.errors import declare_headers, declare_problems
from service.api.identifiers import CaptureId
from service.api.results import FILE_REQUEST, answer_with_file, declare_file
from service.api.submission import keep_capture
from service.api.uploads import FILE_BODY, obtain_upload
from service.captures import Capture
from service.errors import NotFoundError
from service.job_records import QUEUE_BY_KIND, Job
from service.schemas import (
    CaptureDeletedSchema,
    CaptureListSchema,
    CaptureSchema,
    FinetuneParameters,
    UploadId,
)
from training.errors import ModelError, PhotositeError

MAX_PAGE = 200
LOCATION = declare_headers(Location="The capture's address")

router = APIRouter(prefix="/captures", tags=["captures"])


@router.post(
    "",
    status_code=201,
    openapi_extra={"requestBody": FILE_BODY},
    responses={
        200: {"description": "It was there already", "model": CaptureSchema, "headers": LOCATION},
        201: {"description": "It is kept", "headers": LOCATION},
        **declare_problems(401, 404, 408, 409, 413, 415, 422, 423, 429, 503),
    },
)
async def add_capture(
    request: Request,
    response: Response,
    caller: CallerDependency,
    upload: Annotated[UploadId | None, Query(description="A complete upload that is the raw")] = None,
) -> CaptureSchema:
    """Keep a noisy raw.

    Send it as the field `file` of a form, as the body itself, or as a complete upload that `upload` names. A worker
    then finds out its camera and its noise. The same content sent again is the same capture.
    """
    try:
        capture, is_new = await _keep(request, caller.tenant, caller.services, upload)
    except PhotositeError as error:
        caller.services.metrics.rejected.labels(error.code).inc()
        raise
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/captures/{capture.id}"
    return capture.to_schema()


async def _keep(request: Request, tenant: str, services: Services, upload_id: str | None) -> tuple[Capture, bool]:
    await run_in_threadpool(services.admission.check_job, tenant, QUEUE_BY_KIND["describe"])
    async with obtain_upload(request, tenant, services, upload_id) as upload:
        await run_in_threadpool(check_raw, upload.writer.path, force=False)
        return await run_in_threadpool(keep_capture, upload, tenant, services)


@router.get("", responses=declare_problems(401, 422, 503))
def list_captures(
    caller: CallerDependency,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> CaptureListSchema:
    """Captures, newest first, a page at a time."""
    page = caller.services.captures.page(caller.tenant, cursor=cursor, limit=limit)
    return CaptureListSchema(captures=[each.to_schema() for each in page.records], next_cursor=page.cursor)


@router.get("/{capture_id:id}", responses=declare_problems(401, 404, 422, 503))
def show_capture(capture_id: CaptureId, caller: CallerDependency) -> CaptureSchema:
    """One capture."""
    return caller.services.captures.get(caller.tenant, capture_id).to_schema()


@router.get(
    "/{capture_id:id}/thumbnail",
    response_class=FileResponse,
    openapi_extra=FILE_REQUEST,
    responses=declare_file("A small picture", "image/webp"),
)
async def show_capture_thumbnail(capture_id: CaptureId, request: Request, caller: CallerDependency) -> Response:
    """A small picture of a capture, once a worker has made it."""
    capture = await run_in_threadpool(caller.services.captures.get, caller.tenant, capture_id)
    if capture.thumbnail is None:
        raise NotFoundError(f"there is no thumbnail of the capture {capture_id}: it is {capture.state}")
    return await answer_with_file(capture.thumbnail, caller.tenant, request, caller.services, {})


@router.delete("/{capture_id:id}", responses=declare_problems(401, 404, 422, 503))
def delete_capture(capture_id: CaptureId, caller: CallerDependency) -> CaptureDeletedSchema:
    """Delete a capture; jobs that learn from it go on, models that have learned from it stay."""
    capture = caller.services.captures.delete(caller.tenant, capture_id)
    jobs = caller.services.jobs.unfinished(caller.tenant)
    users = [job.id for job in jobs if _uses(job, capture_id)]
    return CaptureDeletedSchema(id=capture_id, jobs=users, models=_models_made_with(capture, caller.services))


def _uses(job: Job, capture_id: str) -> bool:
    return isinstance(job.parameters, FinetuneParameters) and capture_id in job.parameters.captures


def _models_made_with(capture: Capture, services: Services) -> list[str]:
    """The tenant's models whose manifests name the capture's digest."""
    found = []
    for reference in services.own_registry(capture.tenant).references():
        try:
            made_with = reference.manifest().training.get("captures", [])
        except ModelError:  # a damaged manifest tells nothing
            continue
        if capture.file.sha256 in made_with:
            found.append(str(reference))
    return found
