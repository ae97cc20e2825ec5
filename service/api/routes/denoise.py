"""`POST /denoise`: a raw comes in, its denoised self goes out, at once if it can be done while the client waits.

In the flow: **receive → check → keep → record → publish → wait → answer**.
"""

import asyncio
import time
from contextlib import suppress
from typing import Annotated, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from service.api.checks import check_model, check_raw
from service.api.dependencies import CallerDependency, Services
from service.api.errors import declare_problems
from service.api.preferences import Preference, PreferHeader, parse_prefer
from service.api.results import ACCEPTED, DNG_MEDIA_TYPE, answer_with_result, declare_file, read_job, show_accepted
from service.api.submission import IdempotencyHeader, accept, check_webhook, find_accepted
from service.api.uploads import FILE_BODY, Upload, obtain_upload
from service.errors import BrokerUnavailableError, NotFoundError
from service.job_records import Job, new_job_id
from service.lines import PRIORITY_BATCH, PRIORITY_INTERACTIVE, PRIORITY_NORMAL
from service.schemas import DenoiseParameters, DenoiseQuery
from training.errors import PhotositeError

FIRST_POLL_S = 0.02
LAST_POLL_S = 0.25

router = APIRouter(tags=["denoise"])


@router.post(
    "/denoise",
    response_class=FileResponse,
    openapi_extra={"requestBody": FILE_BODY},
    responses={
        **declare_file("The denoised DNG", DNG_MEDIA_TYPE),
        **ACCEPTED,
        **declare_problems(401, 404, 408, 409, 413, 415, 422, 423, 429, 503),
    },
)
async def denoise(
    request: Request,
    query: Annotated[DenoiseQuery, Query()],
    caller: CallerDependency,
    prefer: PreferHeader = "",
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Denoise one raw file.

    Send it as the field `file` of a form, as the body itself, or as a complete upload that `upload` names. The answer
    is the denoised DNG if it is done within the time of `Prefer: wait=SECONDS`, else 202 with the job's address in
    `Location`.
    """
    services = caller.services
    preference = parse_prefer(prefer, services.settings)
    priority = _priority(preference, query.batch)
    begun = Job(
        id=new_job_id(),
        tenant=caller.tenant,
        batch=query.batch,
        webhook=check_webhook(query.webhook, "query.webhook", services.settings),
        priority=priority,
        parameters=query.parameters,
    )
    try:
        job = await _accept(request, begun, services, query.upload, idempotency_key)
    except PhotositeError as error:
        services.metrics.rejected.labels(error.code).inc()
        raise
    finished = await wait_until_finished(job, services, preference.wait_s)
    response = await answer_with_result(finished, request, services) if finished else show_accepted(job)
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    return response


def _priority(preference: Preference, batch: str | None) -> int:
    """Who waits for an answer comes first, who hands in many last."""
    if batch is not None:
        return PRIORITY_BATCH
    return PRIORITY_INTERACTIVE if preference.wait_s else PRIORITY_NORMAL


async def _accept(
    request: Request, begun: Job, services: Services, upload_id: str | None, idempotency_key: str | None
) -> Job:
    """Everything up to the point from which the job is ours to do, whatever happens."""
    await run_in_threadpool(services.admission.check_job, begun.tenant, begun.queue)  # before a single byte is stored
    try:
        async with obtain_upload(request, begun.tenant, services, upload_id) as upload:
            await run_in_threadpool(_check, upload, begun, services)
            blob = await run_in_threadpool(upload.writer.commit)
            job = begun.model_copy(update={"input": blob.named(upload.name)})
            job = await run_in_threadpool(accept, job, services, idempotency_key)
    except NotFoundError:  # a request that was answered has used its upload up
        earlier = await run_in_threadpool(find_accepted, begun, services, idempotency_key)
        if earlier is None:
            raise
        return earlier
    services.metrics.upload_bytes.observe(blob.bytes)
    return job


def _check(upload: Upload, begun: Job, services: Services) -> None:
    """Refuse what is certain to fail, before it is kept.

    Raises:
        RawError: The file is at fault.
        InvalidRequestError: There is no such model.
    """
    parameters = cast("DenoiseParameters", begun.parameters)
    check_raw(upload.writer.path, force=parameters.force)
    check_model(parameters.model, "query.model", begun.tenant, services)


async def wait_until_finished(job: Job, services: Services, wait_s: float) -> Job | None:
    """The finished job, or None if it takes longer."""
    deadline, poll_s = time.monotonic() + wait_s, FIRST_POLL_S
    while (left_s := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(poll_s, left_s))
        poll_s = min(poll_s * 1.5, LAST_POLL_S)
        with suppress(BrokerUnavailableError):  # the job is accepted and will be done: no reason to say otherwise
            current = await read_job(job.id, job.tenant, services)
            if current.finished:
                return current
    return None
