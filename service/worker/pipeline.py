"""What a worker does with a job of any kind: claim it, work on it under a lease, settle how it ended.

In the flow: queue → **claim → work → settle** → result. The work itself: `denoising.py` and its neighbours.
"""

from __future__ import annotations

import errno
import logging
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import (
    BrokerUnavailableError,
    LeaseLostError,
    StorageUnavailableError,
)
from service.logs import log_fields
from service.traces import span
from service.worker.lease import Lease
from service.worker.runs import remove_ended_runs
from training.errors import PhotositeError

if TYPE_CHECKING:
    from service.job_records import Job
    from service.worker.workshop import Workshop

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""What may pass: a full or failing disk."""

logger = logging.getLogger(__name__)


def run_job(queue: str, announced: str, workshop: Workshop) -> None:
    """Do the job of a queue whose turn it is, now that a message says that there is one, and settle how it ended."""
    job = workshop.jobs.claim_next(queue, announced)
    if job is None:
        logger.info("job %s: nothing to do", announced)
        return
    with log_fields(job_id=job.id), span(job.kind, job.traceparent, job_id=job.id):
        _work(job, workshop)


def _work(job: Job, workshop: Workshop) -> None:
    started = time.monotonic()
    workshop.metrics.observe_start(job)
    try:
        outcome = _attempt(job, workshop)
    except LeaseLostError:
        outcome = "abandoned"
    with suppress(BrokerUnavailableError):  # another job's worker does it
        remove_ended_runs(workshop)
    workshop.metrics.observe_end(job, outcome, time.monotonic() - started)
    logger.info("job %s: attempt %d %s after %.1f s", job.id, job.attempt, outcome, time.monotonic() - started)


def _attempt(job: Job, workshop: Workshop) -> str:
    """One attempt; returns the state that the job is in afterwards."""
    observe_stage = partial(workshop.metrics.observe_stage, job)
    try:
        with Lease(workshop.jobs, job, workshop.settings, observe_stage=observe_stage) as lease:
            done = _do(job, workshop, lease)
    except LeaseLostError:
        raise
    except PhotositeError as error:
        return _settle(job, workshop, _storage_at_fault(error, workshop.settings.data_dir) or error)
    except Exception as error:  # the task boundary: whatever a file provokes must not leave its job running
        logger.exception("job %s: unexpected error", job.id)
        unexpected = PhotositeError("an unexpected error; the log says more", detail=repr(error))
        return _settle(job, workshop, _storage_at_fault(error, workshop.settings.data_dir) or unexpected)
    if done.kind == "denoise" and done.report:
        workshop.metrics.observe_denoised(done.report)
    return done.state


def _do(job: Job, workshop: Workshop, lease: Lease) -> Job:
    """From a claimed job to its published result.

    Each kind is imported when its first job comes: a process that only looks at captures never needs torch.

    Raises:
        PhotositeError: Whatever is at fault.
        LeaseLostError: The job is not ours.
    """
    match job.kind:
        case "denoise":
            from service.worker.denoising import denoise_job as work  # noqa: PLC0415
        case "describe":
            from service.worker.describing import describe_job as work  # noqa: PLC0415
        case "finetune":
            from service.worker.finetuning import finetune_job as work  # noqa: PLC0415
        case "validate":
            from service.worker.validating import validate_job as work  # noqa: PLC0415
    return work(job, workshop, lease)


def _storage_at_fault(error: Exception, data_dir: Path) -> StorageUnavailableError | None:
    """The disk's error behind one that the library raised, so that the job is tried again; None if it is none.

    Whatever happens to a file of the data folder is the disk's: while the folder is not mounted, nothing is there.
    """
    cause = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(cause, OSError):
        return None
    is_ours = isinstance(cause.filename, str) and Path(cause.filename).is_relative_to(data_dir)
    if cause.errno in DISK_ERRORS or is_ours:
        return StorageUnavailableError("the data folder cannot be read or written", detail=str(cause))
    return None


def _settle(job: Job, workshop: Workshop, error: PhotositeError) -> str:
    logger.warning("job %s: %s: %s %s", job.id, error.code, error.message, error.detail)
    if isinstance(error, BrokerUnavailableError):
        return "abandoned"  # its state cannot be written now; its lease lapses and the sweep takes it up
    settle = workshop.jobs.release if error.retryable else workshop.jobs.fail
    return settle(job, error).state
