"""The sweep: puts right what a process left behind when it died.

In the flow: beside it; every API process sweeps every few seconds, any number of them at the same time.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from service.queue import TASK_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.job_records import Job
    from service.jobs import JobStore
    from service.queue import JobQueue
    from service.storage import BlobKey, BlobStore

logger = logging.getLogger(__name__)


def sweep(jobs: JobStore, queue: JobQueue, blobs: BlobStore, observe_lapse: Callable[[Job], None]) -> None:
    """Send jobs again whose worker died or whose message was lost; delete what is too old, and what nobody needs."""
    resend_jobs(jobs, queue, observe_lapse)
    forget_old_jobs(jobs)
    remove_loose_blobs(jobs, blobs)


def resend_jobs(jobs: JobStore, queue: JobQueue, observe_lapse: Callable[[Job], None] | None = None) -> list[Job]:
    """Send messages for jobs whose lease has lapsed, and for queued ones whose message was lost.

    Args:
        jobs: The records.
        queue: Where messages go.
        observe_lapse: Told of each job whose lease has lapsed.

    Returns:
        Those jobs.
    """
    again = jobs.requeue_lapsed()
    for job in again:
        if observe_lapse:
            observe_lapse(job)
    for name in TASK_NAMES:
        # Fewer messages than waiting jobs: so many were lost, or lie with workers that have not begun yet. Otherwise
        # old ones merely wait for their turn.
        missing = jobs.count_queued(name) - sum(job.queue == name for job in again) - queue.count_messages(name)
        if missing > 0:
            again += jobs.renew_messages(name, missing)
    for job in again:
        logger.warning("job %s: sent again after %d attempts", job.id, job.attempt)
        queue.publish_soon(job)
    return again


def forget_old_jobs(jobs: JobStore) -> None:
    """Erase jobs that finished longer ago than results are kept."""
    forgotten = jobs.forget_old()
    if forgotten:
        logger.info("%d old jobs erased", len(forgotten))


def remove_loose_blobs(jobs: JobStore, blobs: BlobStore) -> None:
    """Delete blobs that nothing refers to any more, and those of requests that never came to make their record."""
    remove_unused_blobs(jobs, blobs, jobs.ledger.loose())


def remove_unused_blobs(jobs: JobStore, blobs: BlobStore, loose: dict[BlobKey, float]) -> None:
    """Delete those of the given blobs that nothing refers to, and that were not announced again since."""
    for key, since in loose.items():
        if jobs.ledger.is_unused(key, since):
            blobs.remove(key, partial(jobs.ledger.is_unused, key, since))
        jobs.ledger.forget(key, since)
