"""The end of a tenant: everything that it owns, and how each kind of thing is erased.

In the flow: `photosite tenants delete` → **erasure** → job records, blobs, folders.

Works beside a running service. The tenant is struck off the list first: from then on no key of its opens, and what a
request that was on its way still makes is erased by that request itself (`service/api/submission.py`). It may be
interrupted and begun again; the name can be used anew when all is gone.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from redis.exceptions import ResponseError

from service.captures import CaptureStore
from service.deliveries import DeliveryStore
from service.errors import NotFoundError, StorageUnavailableError
from service.job_records import LOCAL_TENANT, QUEUE_BY_KIND, batch_key, list_key, waiting_key
from service.jobs import JobStore
from service.lines import turns_key
from service.models import own_models
from service.pictures import PictureStore
from service.redis_access import redis_errors
from service.resumable import ResumableUploads
from service.storage import make_blob_store
from service.sweeper import remove_unused_blobs
from service.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from service.settings import Settings
    from service.storage import BlobStore

COMPACTION_TIMEOUT_S = 120
POLL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Estate:
    """Where what tenants own lies."""

    settings: Settings
    tenants: Tenants
    jobs: JobStore
    uploads: ResumableUploads
    blobs: BlobStore


def open_estate(settings: Settings, redis: Redis) -> Estate:
    """What all tenants own, by the settings."""
    jobs = JobStore(redis, settings)
    blobs = make_blob_store(settings, jobs.ledger.announce)
    uploads = ResumableUploads(settings.uploads_dir, jobs.ledger, settings.upload_expiry_s)
    return Estate(settings=settings, tenants=Tenants(redis), jobs=jobs, uploads=uploads, blobs=blobs)


def erase_tenant(estate: Estate, tenant: str) -> dict[str, int]:
    """Erase a tenant and everything that it owns.

    Returns:
        How many of each kind of thing there were.

    Raises:
        NotFoundError: There is no such tenant.
        BrokerUnavailableError, StorageUnavailableError: Something is left; to be begun again.
    """
    if tenant not in {*estate.tenants.names(), *estate.tenants.leaving(), LOCAL_TENANT}:
        raise NotFoundError(f"there is no tenant {tenant}")
    counts = {"keys": estate.tenants.close(tenant)}
    counts |= {what: erase(estate, tenant) for what, erase in OWNED.items()}
    estate.tenants.forget(tenant)
    compact(estate.jobs.redis)
    return counts


def erase_records(estate: Estate, tenant: str) -> None:
    """Erase what a request writes: records of captures and jobs, and what comes of them."""
    for erase in (erase_captures, erase_jobs, erase_webhooks):
        erase(estate, tenant)


def erase_jobs(estate: Estate, tenant: str) -> int:
    """Cancel and erase all jobs, with their batches and what Idempotency-Keys stand for."""
    redis = estate.jobs.redis
    with redis_errors():
        ids = cast("list[str]", redis.zrange(list_key(tenant), 0, -1))
    for job_id in ids:
        estate.jobs.cancel_if_unfinished(job_id)  # a worker that runs it finds no record, and stops
        estate.jobs.forget(job_id)
        for run in estate.settings.runs_dir.glob(f"{job_id}.*"):  # what a training had reached
            shutil.rmtree(run, ignore_errors=True)
    with redis_errors():
        redis.delete(list_key(tenant), waiting_key(tenant))
        for queue in QUEUE_BY_KIND.values():
            redis.zrem(turns_key(queue), tenant)
        for pattern in (batch_key(tenant, "*"), f"ps:idempotency:{tenant}:*"):
            for key in redis.scan_iter(match=pattern, count=1000):
                redis.delete(key)
    return len(ids)


def erase_captures(estate: Estate, tenant: str) -> int:
    """Erase all captures."""
    captures = CaptureStore(estate.jobs)
    found = captures.all(tenant)
    for capture in found:
        with suppress(NotFoundError):  # its owner was faster
            captures.delete(tenant, capture.id)
    return len(found)


def erase_webhooks(estate: Estate, tenant: str) -> int:
    """Erase webhooks that are still to be sent; the ends of its last jobs are among them."""
    return DeliveryStore(estate.jobs).erase_all(tenant)


def erase_uploads(estate: Estate, tenant: str) -> int:
    """Delete what has come of files that are uploaded in pieces; those on other hosts expire."""
    return estate.uploads.remove_all(tenant)


def erase_models(estate: Estate, tenant: str) -> int:
    """Delete the tenant's own models and its default; workers that have loaded one are not disturbed."""
    folder = estate.settings.tenant_dir(tenant)
    found = len(own_models(estate.settings, tenant).references())
    try:
        if folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
                folder.rename(Path(aside) / "tenant")  # in one step
    except OSError as error:
        raise StorageUnavailableError("the tenant's folder cannot be removed", detail=str(error)) from error
    return found


def erase_files(estate: Estate, tenant: str) -> int:
    """Delete all blobs: uploads, results, pictures, with the requests for pictures that are being made.

    Whatever held one must have been erased before.
    """
    PictureStore(estate.jobs.redis).erase_tickets(tenant)
    loose = estate.jobs.ledger.release_all(tenant)
    remove_unused_blobs(estate.jobs, estate.blobs, loose)
    return len(loose)


OWNED: dict[str, Callable[[Estate, str], int]] = {
    "captures": erase_captures,
    "jobs": erase_jobs,
    "webhooks": erase_webhooks,  # after the jobs: their end is told
    "uploads": erase_uploads,
    "models": erase_models,
    "files": erase_files,  # the last: the others hold them
}
"""What a tenant can own, and what erases all of one tenant's and counts it."""


def compact(redis: Redis) -> None:
    """Have the server rewrite its append-only file, where it keeps one: what was erased is still in it until then."""
    with redis_errors(), suppress(ResponseError):  # a rented server may forbid it, and sees to its files itself
        if not redis.info("persistence").get("aof_enabled"):
            return
        _wait_for_rewrite(redis)
        redis.bgrewriteaof()
        _wait_for_rewrite(redis)


def _wait_for_rewrite(redis: Redis) -> None:
    deadline = time.monotonic() + COMPACTION_TIMEOUT_S
    while time.monotonic() < deadline:
        state = redis.info("persistence")
        if not (state.get("aof_rewrite_in_progress") or state.get("aof_rewrite_scheduled")):
            return
        time.sleep(POLL_S)
