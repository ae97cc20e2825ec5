"""From a request that is in order to a job that will be done: the same for every kind of job.

In the flow: … → keep → **record → publish** → wait → answer.
"""

import hashlib
from typing import Annotated

from fastapi import Header

from service.api.dependencies import Services
from service.api.uploads import Upload
from service.captures import Capture
from service.erasure import erase_records
from service.errors import AuthenticationError, InvalidRequestError
from service.job_records import Job
from service.outbound import check_url
from service.settings import Settings

IdempotencyHeader = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A key of the client's own: the same request with the same key is done once",
    ),
]


def check_webhook(webhook: str | None, where: str, settings: Settings) -> str | None:
    """The address that is to be told of a job's end, in its canonical spelling; None for none.

    Args:
        webhook: The address as it came.
        where: What a refusal calls it, "query.webhook".
        settings: Whether there are webhooks, and where they may go.

    Raises:
        InvalidRequestError: It must not be called, or this service tells nobody.
    """
    if webhook is None:
        return None
    if settings.webhook_secret is None:
        raise InvalidRequestError(f"{where}: this service sends none; its operator sets PHOTOSITE_WEBHOOK_SECRET")
    try:
        return check_url(webhook, allow_private=settings.webhook_allow_private)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{where}: {error.message}", detail=error.detail) from error


def accept(job: Job, services: Services, idempotency_key: str | None) -> Job:
    """Write a job's record and send its message: from here on it is ours to do, whatever happens.

    Args:
        job: The job.
        services: The service's parts.
        idempotency_key: The client's key for this request, None for none.

    Returns:
        The job; or the one that an earlier request with the same key made.

    Raises:
        InvalidRequestError: The key was used for another request.
        AuthenticationError: The tenant was deleted while the request was on its way.
        QueueFullError, QuotaExceededError: Others came while its upload did, and now too many wait.
    """
    if not (idempotency_key and services.jobs.find_accepted(job.tenant, idempotency_key)):
        services.admission.check_job(job.tenant, job.queue)
    idempotency = (idempotency_key, fingerprint(job)) if idempotency_key else None
    created = services.jobs.create(job, idempotency)
    check_not_deleted(job.tenant, services)
    if created.id == job.id:
        services.queue.publish_soon(created)
    return created


def keep_capture(upload: Upload, tenant: str, services: Services) -> tuple[Capture, bool]:
    """Make a capture of a raw that has come completely, and have a worker look at it.

    Returns:
        The capture, and whether it is a new one.

    Raises:
        StorageUnavailableError: It cannot be kept.
        AuthenticationError: The tenant was deleted meanwhile.
    """
    blob = upload.writer.commit()
    capture, job = services.captures.create(tenant, blob.named(upload.name))
    services.metrics.upload_bytes.observe(blob.bytes)
    check_not_deleted(tenant, services)
    if job:
        services.queue.publish_soon(job)
    return capture, job is not None


def check_not_deleted(tenant: str, services: Services) -> None:
    """Undo what a request has written if its tenant was deleted meanwhile.

    To be asked when the records are there: whoever deletes a tenant strikes it off before looking for records, so that
    one of the two finds them.

    Raises:
        AuthenticationError: It was.
    """
    if not services.tenants.exists(tenant):
        erase_records(services.estate, tenant)
        raise AuthenticationError("the API key is not known here any more")


def find_accepted(job: Job, services: Services, idempotency_key: str | None) -> Job | None:
    """The job that an earlier request like this one has made, where only that request knew the input.

    Args:
        job: What this request wants; its input does not matter.
        services: The service's parts.
        idempotency_key: The client's key for this request, None for none.
    """
    accepted = services.jobs.find_accepted(job.tenant, idempotency_key) if idempotency_key else None
    if accepted is None:
        return None
    earlier, known = accepted
    return earlier if fingerprint(job.model_copy(update={"input": earlier.input})) == known else None


def fingerprint(job: Job) -> str:
    """A digest of all that a request says: two requests are the same where theirs are.

    Source: draft-ietf-httpapi-idempotency-key-header-07, section 2.4.
    """
    said = job.model_dump_json(include={"tenant", "kind", "batch", "webhook", "parameters", "input"})
    return hashlib.sha256(said.encode()).hexdigest()
