"""A job in an answer: that it goes on, what it has made, or what it failed with.

In the flow: job → **answer** → client.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from service.api.dependencies import Services
from service.api.errors import declare_headers, declare_problems, problem_of_failed
from service.errors import JobConflictError, NotFoundError, ResultNotReadyError
from service.job_records import Job
from service.schemas import FileSchema, JobSchema
from service.storage import BlobKey

RETRY_AFTER_S = 1
REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A report holds its style and its pictures itself, and runs nothing."""
DNG_MEDIA_TYPE = "image/x-adobe-dng"
OTHER_MEDIA_TYPE = "application/octet-stream"
_MEDIA_TYPES = {
    ".dng": DNG_MEDIA_TYPE,
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".png": "image/png",
}
_SHOWN_INLINE = frozenset({".html", ".webp", ".jpg", ".png"})
"""What a browser shows; everything else it offers to keep."""

BINARY = {"schema": {"type": "string", "format": "binary"}}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Accepted; the job goes on",
        "model": JobSchema,
        "headers": declare_headers(
            Location="The job's address",
            Retry_After="Seconds after which asking there makes sense",
            X_Photosite_Job="The job's id",
        ),
    }
}
FILE_REQUEST = {
    "parameters": [
        {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in (
            ("If-None-Match", "ETags of what the client has already"),
            ("Range", "The part that is wanted, `bytes=FIRST-LAST`"),
            ("If-Range", "The ETag that the part must belong to; else the answer is the whole file"),
        )
    ]
}
"""What a request for a file may say, in OpenAPI's words; the answer is made of it in `answer_with_file`."""


def declare_file(description: str, *media_types: str) -> dict[int | str, dict[str, Any]]:
    """What a route's `responses` say about the answers of `answer_with_file`; no media types: all that there are."""
    declared = media_types or (*_MEDIA_TYPES.values(), OTHER_MEDIA_TYPE)
    content: dict[str, Any] = {name: {} if name == "application/json" else BINARY for name in declared}
    headers = declare_headers(ETag="Digest of the file", Cache_Control="Who may keep it, and for how long")
    return {
        200: {"description": description, "content": content, "headers": headers},
        206: {
            "description": "A part of it",
            "content": {**content, "multipart/byteranges": BINARY},
            "headers": headers,
        },
        304: {"description": "The client has it already", "headers": headers},
        **declare_problems(400, 401, 404, 416, 422, 503),
    }


async def read_job(job_id: str, tenant: str, services: Services) -> Job:
    """A tenant's job.

    Raises:
        JobNotFoundError: There is none, or it is another tenant's.
    """
    return await run_in_threadpool(services.jobs.get_owned, tenant, job_id)


def show_accepted(job: Job) -> Response:
    """202: the job goes on."""
    headers = {"Location": f"/jobs/{job.id}", "Retry-After": str(RETRY_AFTER_S), "X-Photosite-Job": job.id}
    return JSONResponse(job.to_schema().model_dump(mode="json"), status_code=202, headers=headers)


async def answer_with_result(job: Job, request: Request, services: Services, name: str | None = None) -> Response:
    """A finished job's file, or the error that it ended with.

    Args:
        job: The job.
        request: The client's: it may want a part of the file, or have it already.
        services: The service's parts.
        name: Which of the job's other files; None: its result.

    Raises:
        ResultNotReadyError: It is not finished.
        JobConflictError: It was cancelled.
        NotFoundError: It has no such file.
        ResultExpiredError: Its files are gone.
    """
    headers = {"X-Photosite-Job": job.id}
    if job.state == "failed":
        return problem_of_failed(job, headers)
    if job.state == "cancelled":
        raise JobConflictError("the job was cancelled; there is no result")
    if not job.finished:
        raise ResultNotReadyError(f"the job is {job.state}; its result is not ready")
    file = job.result if name is None else job.files.get(name)
    if file is None:
        raise NotFoundError(f"the job has no file {name}" if name else "this kind of job has no result to download")
    if job.model:
        headers["X-Photosite-Model"] = job.model
    if job.kind == "denoise":
        headers["X-Photosite-Noise-Source"] = str((job.report or {}).get("noise_source", ""))
    return await answer_with_file(file, job.tenant, request, services, headers)


async def answer_with_file(
    file: FileSchema, tenant: str, request: Request, services: Services, headers: Mapping[str, str]
) -> Response:
    """A tenant's file, a part of it, or 304 where the client has it already.

    Raises:
        ResultExpiredError: It is gone.
    """
    headers = {"Cache-Control": "private, no-cache", **headers, "ETag": f'"{file.sha256}"'}
    if matches_etag(request.headers.get("if-none-match", ""), file.sha256):
        return Response(status_code=304, headers=headers)
    path = await run_in_threadpool(services.blobs.local_path, BlobKey(tenant, file.sha256))
    suffix = file.name[file.name.rfind(".") :].lower()
    media_type = _MEDIA_TYPES.get(suffix, OTHER_MEDIA_TYPE)
    shown = "inline" if suffix in _SHOWN_INLINE else "attachment"
    if suffix == ".html":
        headers["Content-Security-Policy"] = REPORT_POLICY
    return FileResponse(
        path, media_type=media_type, filename=file.name, headers=headers, content_disposition_type=shown
    )


def matches_etag(if_none_match: str, sha256: str) -> bool:
    """Whether a client has the content already (RFC 9110, section 13.1.2: weak comparison).

    >>> matches_etag('W/"abc", "def"', "abc")
    True
    """
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or f'"{sha256}"' in tags
