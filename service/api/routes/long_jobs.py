"""`POST /jobs/finetune` and `POST /jobs/validate`: work of minutes and hours."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from service.api.bodies import JsonRoute, read_json
from service.api.capture_forms import MAX_FILES, CaptureForm, is_form, receive_form
from service.api.checks import check_bayer_model
from service.api.dependencies import Caller, CallerDependency
from service.api.errors import declare_problems, invalid_request
from service.api.results import ACCEPTED, BINARY, DNG_MEDIA_TYPE, OTHER_MEDIA_TYPE, show_accepted
from service.api.submission import IdempotencyHeader, accept, check_webhook, keep_capture
from service.datasets import dataset_names
from service.errors import InvalidRequestError
from service.job_records import QUEUE_BY_KIND, Job, new_job_id
from service.models import check_new_model_name
from service.schemas import FileSchema, FinetuneRequest, ValidateRequest

_SCHEMA = FinetuneRequest.model_json_schema()
_FILES = {"type": "array", "items": BINARY["schema"], "maxItems": MAX_FILES}
FINETUNE_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{FinetuneRequest.__name__}"}},
        "multipart/form-data": {
            "schema": {**_SCHEMA, "required": ["name"], "properties": {**_SCHEMA["properties"], "file": _FILES}},
            "encoding": {"file": {"contentType": f"{DNG_MEDIA_TYPE}, {OTHER_MEDIA_TYPE}"}},
        },
    },
}

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=JsonRoute)


@router.post(
    "/finetune",
    status_code=202,
    openapi_extra={"requestBody": FINETUNE_BODY},
    responses={**ACCEPTED, **declare_problems(401, 404, 408, 409, 413, 415, 422, 429, 503)},
)
async def finetune(request: Request, caller: CallerDependency, idempotency_key: IdempotencyHeader = None) -> Response:
    """Adapt a model to a camera from noisy captures alone.

    The captures are named by their ids; or they come along, as fields `file` of a form whose other fields are those of
    the JSON body. Part of every capture is held out; afterwards base and candidate are judged on it without clean
    references. The new model is published either way, and becomes the default only if it is better.
    """
    await run_in_threadpool(caller.services.admission.check_job, caller.tenant, QUEUE_BY_KIND["finetune"])
    await run_in_threadpool(caller.services.admission.check_storage, caller.tenant)
    if not is_form(request):
        body = _parse(await read_json(request))
        return await run_in_threadpool(_begin_with_ids, body, caller, idempotency_key)
    async with receive_form(request, caller.tenant, caller.services) as form:
        return await run_in_threadpool(_begin_with_files, form, caller, idempotency_key)


def _parse(wishes: Any) -> FinetuneRequest:
    try:
        return FinetuneRequest.model_validate(wishes)
    except ValidationError as error:
        raise invalid_request(error.errors(), "body") from error


def _begin_with_files(form: CaptureForm, caller: Caller, idempotency_key: str | None) -> Response:
    """Look at the wishes with stand-ins for the files first: nothing is kept of a request that makes no sense."""
    named = form.fields.pop("captures", [])
    repeated = [name for name, values in form.fields.items() if len(values) > 1]
    if repeated:
        raise InvalidRequestError(f"body.{repeated[0]}: it comes more than once")
    wishes: dict[str, Any] = {name: values[0] for name, values in form.fields.items()}
    stand_ins = [f"{index:032x}" for index, _ in enumerate(form.uploads)]
    body = _parse({**wishes, "captures": [*named, *stand_ins]})
    webhook = _check(body, caller)
    kept = [keep_capture(upload, caller.tenant, caller.services)[0].id for upload in form.uploads]
    captures = tuple(dict.fromkeys([*named, *kept]))  # the same file twice is one capture
    return _begin(body.model_copy(update={"captures": captures}), webhook, caller, idempotency_key)


def _check(body: FinetuneRequest, caller: Caller) -> str | None:
    """Refuse names that cannot be meant; gives the webhook's address in its canonical spelling.

    Raises:
        ConflictError: The name belongs to a model of the operator's.
        InvalidRequestError: It asks for too much time, there is no such base, or the webhook's address cannot be
            called.
    """
    most = caller.services.settings.max_finetune_minutes
    if body.minutes is not None and body.minutes > most:
        raise InvalidRequestError(f"body.minutes: at most {most:g} are given to a fine-tuning here")
    check_new_model_name(caller.services.settings, body.name)
    check_bayer_model(body.base, "body.base", caller.tenant, caller.services)
    return check_webhook(body.webhook, "body.webhook", caller.services.settings)


def _begin_with_ids(body: FinetuneRequest, caller: Caller, idempotency_key: str | None) -> Response:
    return _begin(body, _check(body, caller), caller, idempotency_key)


def _begin(body: FinetuneRequest, webhook: str | None, caller: Caller, idempotency_key: str | None) -> Response:
    job = Job(
        id=new_job_id(),
        tenant=caller.tenant,
        kind="finetune",
        batch=body.batch,
        webhook=webhook,
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


@router.post(
    "/validate", status_code=202, responses={**ACCEPTED, **declare_problems(401, 408, 409, 413, 415, 422, 429, 503)}
)
def validate(body: ValidateRequest, caller: CallerDependency, idempotency_key: IdempotencyHeader = None) -> Response:
    """Measure a model as the SIDD benchmark does, on a data set that the server has."""
    caller.services.admission.check_job(caller.tenant, QUEUE_BY_KIND["validate"])
    check_bayer_model(body.model, "body.model", caller.tenant, caller.services)
    known = dataset_names(caller.services.settings)
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
