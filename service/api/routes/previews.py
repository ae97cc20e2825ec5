"""Previews: a raw as a picture, before and after, whole or photosite by photosite."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from service.api.dependencies import CallerDependency
from service.api.identifiers import CaptureId, JobId, UploadId
from service.api.previews import (
    ASKED_AGAIN,
    INFO,
    INFO_REQUEST,
    KEPT,
    PREVIEW,
    PREVIEW_REQUEST,
    answer_with_facts,
    answer_with_picture,
    picture_of_job,
    picture_of_raw,
    raw_of_job,
    raw_of_upload,
)
from service.api.results import read_job
from service.schemas import PreviewInfoSchema, PreviewQuery, TrialQuery

router = APIRouter(tags=["previews"])


@router.get("/jobs/{job_id:id}/preview", response_class=FileResponse, openapi_extra=PREVIEW_REQUEST, responses=PREVIEW)
async def show_job_preview(
    job_id: JobId,
    query: Annotated[PreviewQuery, Query()],
    request: Request,
    caller: CallerDependency,
) -> Response:
    """A picture of what a denoising job has received (`before`) or made (`after`).

    White balance, exposure and tone curve are the same for both: those of the picture before. What has been received
    can be seen while the job still waits; what it makes, once it has succeeded.
    """
    wanted = picture_of_job(await read_job(job_id, caller.tenant, caller.services), query)
    return await answer_with_picture(wanted, request, caller)


@router.get(
    "/jobs/{job_id:id}/preview-info", response_model=PreviewInfoSchema, openapi_extra=INFO_REQUEST, responses=INFO
)
async def show_job_preview_info(job_id: JobId, request: Request, caller: CallerDependency) -> Response:
    """Full size of a denoising job's picture, its camera and its noise."""
    job = await read_job(job_id, caller.tenant, caller.services)
    return await answer_with_facts(raw_of_job(job), request, caller)


@router.get(
    "/captures/{capture_id:id}/preview", response_class=FileResponse, openapi_extra=PREVIEW_REQUEST, responses=PREVIEW
)
async def show_capture_preview(
    capture_id: CaptureId,
    query: Annotated[TrialQuery, Query()],
    request: Request,
    caller: CallerDependency,
) -> Response:
    """A picture of a capture; `after`, a crop of it is denoised for a look."""
    capture = await run_in_threadpool(caller.services.captures.get, caller.tenant, capture_id)
    wanted = await run_in_threadpool(picture_of_raw, capture.file.sha256, query, caller)
    return await answer_with_picture(wanted, request, caller, _cache(query))


@router.get(
    "/captures/{capture_id:id}/preview-info",
    response_model=PreviewInfoSchema,
    openapi_extra=INFO_REQUEST,
    responses=INFO,
)
async def show_capture_preview_info(capture_id: CaptureId, request: Request, caller: CallerDependency) -> Response:
    """Full size of a capture's picture, its camera and its noise."""
    capture = await run_in_threadpool(caller.services.captures.get, caller.tenant, capture_id)
    return await answer_with_facts(capture.file.sha256, request, caller)


@router.get(
    "/uploads/{upload_id:id}/preview", response_class=FileResponse, openapi_extra=PREVIEW_REQUEST, responses=PREVIEW
)
async def show_upload_preview(
    upload_id: UploadId,
    query: Annotated[TrialQuery, Query()],
    request: Request,
    caller: CallerDependency,
) -> Response:
    """A picture of a complete upload; `after`, a crop of it is denoised for a look.

    So model and strength can be tried before the whole is denoised by `POST /denoise?upload=ID`.
    """
    sha256 = await raw_of_upload(upload_id, caller)
    wanted = await run_in_threadpool(picture_of_raw, sha256, query, caller)
    return await answer_with_picture(wanted, request, caller, _cache(query))


@router.get(
    "/uploads/{upload_id:id}/preview-info", response_model=PreviewInfoSchema, openapi_extra=INFO_REQUEST, responses=INFO
)
async def show_upload_preview_info(upload_id: UploadId, request: Request, caller: CallerDependency) -> Response:
    """Full size of a complete upload's picture, its camera and its noise."""
    return await answer_with_facts(await raw_of_upload(upload_id, caller), request, caller)


def _cache(query: TrialQuery) -> str:
    """How long a picture may be kept: for ever, unless the address does not say which model has denoised it."""
    named = query.stage == "before" or (query.model is not None and "@" in query.model)
    return KEPT if named else ASKED_AGAIN
