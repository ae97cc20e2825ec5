"""`POST /jobs/finetune` and `POST /jobs/validate`: work of minutes and hours."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response

from service.api.checks import check_model
from service.api.dependencies import Caller, CallerDependency
from service.api.errors import declare_problems
from service.api.results import show_accepted
from service.api.submission import IdempotencyHeader, accept, check_webhook
from service.errors import InvalidRequestError
from service.job_records import QUEUE_BY_KIND, Job, new_job_id
from service.models import check_new_model_name
from service.schemas import MINI_DATASET, FileSchema, FinetuneRequest, JobSchema, ValidateRequest

ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"description": "Accepted; the job goes on", "model": JobSchema}}

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("/finetune", status_code=202, responses={**ACCEPTED, **declare_problems(401, 404, 409, 422, 429, 503)})
def finetune(body: FinetuneRequest, caller: CallerDependency, idempotency_key: IdempotencyHeader = None) -> Response:
    """Adapt a model to a camera from noisy captures alone.

    Part of every capture is held out; afterwards base and candidate are judged on it without clean references. The new
    model is published either way, and becomes the default only if it is better.
    """
    caller.services.admission.check_job(caller.tenant, QUEUE_BY_KIND["finetune"])
    caller.services.admission.check_storage(caller.tenant)
    check_new_model_name(caller.services.settings, body.name)
    check_model(body.base, "body.base", caller.tenant, caller.services)
    job = Job(
        id=new_job_id(),
        tenant=caller.tenant,
        kind="finetune",
        batch=body.batch,
        webhook=check_webhook(body.webhook, "body.webhook", caller.services.settings),
        parameters=body.parameters,
        inputs=_captures(body, caller),
    )
    return show_accepted(accept(job, caller.services, idempotency_key))


def _captures(body: FinetuneRequest, caller: Caller) -> tuple[FileSchema, ...]:
    """The files of the captures.

    Raises:
        NotFoundError: There is no such capture.
        InvalidRequestError: One cannot be used, or comes twice.
    """
    found = [caller.services.captures.get(caller.tenant, capture_id) for capture_id in body.captures]
    if len({capture.id for capture in found}) < len(found):
        raise InvalidRequestError("body.captures: one of them comes twice")
    for capture in found:
        if capture.error:
            raise InvalidRequestError(f"body.captures: {capture.id} ({capture.file.name}): {capture.error.message}")
    return tuple(capture.file for capture in found)


def _placed_datasets(folder: Path) -> list[str]:
    """Folders that the operator has placed; whether a data set is in them finds out who reads it."""
    return sorted(path.name for path in folder.glob("*") if path.is_dir())


@router.post("/validate", status_code=202, responses={**ACCEPTED, **declare_problems(401, 409, 422, 429, 503)})
def validate(body: ValidateRequest, caller: CallerDependency, idempotency_key: IdempotencyHeader = None) -> Response:
    """Measure a model as the SIDD benchmark does, on a data set that the server has."""
    caller.services.admission.check_job(caller.tenant, QUEUE_BY_KIND["validate"])
    check_model(body.model, "body.model", caller.tenant, caller.services)
    known = [MINI_DATASET, *_placed_datasets(caller.services.settings.datasets_dir)]
    if body.dataset not in known:
        raise InvalidRequestError(f"body.dataset: there is no {body.dataset!r}; there are {', '.join(known)}")
    job = Job(
        id=new_job_id(),
        tenant=caller.tenant,
        kind="validate",
        batch=body.batch,
        webhook=check_webhook(body.webhook, "body.webhook", caller.services.settings),
        parameters=body.parameters,
    )
    return show_accepted(accept(job, caller.services, idempotency_key))
