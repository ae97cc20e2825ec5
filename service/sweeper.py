"""The sweep: puts right what a process left behind when it died.

In the flow: beside it; every API process sweeps every few seconds, any number of them at the same time.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from service.queue import TASK_NAMES

if TYPE_CHECKING:
    from service.jobs import Job, JobStore
    from service.queue import JobQueue
    from service.storage import BlobStore

logger = logging.getLogger(__name__)


def sweep(jobs: JobStore, queue: JobQueue, blobs: BlobStore) -> None:
    """Send jobs again whose worker died or whose message was lost; delete blobs that no job refers to."""
    resend_jobs(jobs, queue)
    remove_loose_blobs(jobs, blobs)


def resend_jobs(jobs: JobStore, queue: JobQueue) -> list[Job]:
    """Send messages for jobs whose lease has lapsed, and for queued ones whose message was lost.

    Returns:
        Those jobs.
    """
    again = jobs.requeue_lapsed()
    # Fewer messages than waiting jobs: some were lost. Otherwise old ones merely wait for their turn.
    if sum(queue.count_messages(name) for name in TASK_NAMES) < jobs.count_queued() - len(again):
        again += jobs.renew_messages()
    for job in again:
        logger.warning("job %s: sent again after %d attempts", job.id, job.attempt)
        queue.publish_soon(job)
    return again


def remove_loose_blobs(jobs: JobStore, blobs: BlobStore) -> None:
    """Delete blobs of jobs that failed or were cancelled, and of requests that never came to make their record."""
    for sha256, since in jobs.loose_blobs().items():
        if jobs.is_unused(sha256, since):
            blobs.remove(sha256, partial(jobs.is_unused, sha256, since))
        jobs.forget_loose(sha256)
