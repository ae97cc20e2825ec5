"""What a worker does with a job, step by step.

In the flow: queue → **claim → fetch → denoise → store → publish** → result.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from service.errors import BrokerUnavailableError, LeaseLostError
from service.schemas import FileSchema, parse_noise
from service.worker.lease import Lease
from training.denoise import DenoiseOptions, denoise_file
from training.errors import PhotositeError
from training.noise import NoiseModel

if TYPE_CHECKING:
    from service.jobs import Job, JobStore
    from service.monitoring import WorkerMetrics
    from service.schemas import DenoiseParameters
    from service.settings import Settings
    from service.storage import BlobStore
    from training.engines.base import Engine
    from training.registry import ModelRef

logger = logging.getLogger(__name__)


class Models(Protocol):
    """Where engines come from."""

    def get(self, name: str | None) -> tuple[ModelRef, Engine]:
        """The engine of NAME, NAME@VERSION, or None for the default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """What the steps need, made once per worker process."""

    settings: Settings
    jobs: JobStore
    blobs: BlobStore
    models: Models
    metrics: WorkerMetrics


def run_job(job_id: str, workshop: Workshop) -> None:
    """Do a job, if it is still to be done, and settle how it ended."""
    job = workshop.jobs.claim(job_id)
    if job is None:
        logger.info("job %s: nothing to do", job_id)
        return
    started = time.monotonic()
    workshop.metrics.observe_start(job)
    try:
        outcome = _attempt(job, workshop)
    except LeaseLostError:
        outcome = "abandoned"
    workshop.metrics.observe_end(job, outcome, time.monotonic() - started)
    logger.info("job %s: attempt %d %s after %.1f s", job.id, job.attempt, outcome, time.monotonic() - started)


def _attempt(job: Job, workshop: Workshop) -> str:
    """One attempt; returns the state that the job is in afterwards."""
    try:
        with Lease(workshop.jobs, job, workshop.settings) as lease:
            return denoise_job(job, workshop, lease).state
    except LeaseLostError:
        raise
    except PhotositeError as error:
        return _settle(job, workshop, error)
    except Exception as error:  # the task boundary: whatever a file provokes must not leave its job running
        logger.exception("job %s: unexpected error", job.id)
        return _settle(job, workshop, PhotositeError("an unexpected error; the log says more", detail=repr(error)))


def _settle(job: Job, workshop: Workshop, error: PhotositeError) -> str:
    logger.warning("job %s: %s: %s %s", job.id, error.code, error.message, error.detail)
    if isinstance(error, BrokerUnavailableError):
        return "abandoned"  # its state cannot be written now; its lease lapses and the sweep takes it up
    settle = workshop.jobs.release if error.retryable else workshop.jobs.fail
    return settle(job, error).state


def denoise_job(job: Job, workshop: Workshop, lease: Lease) -> Job:
    """From the uploaded blob to the published result.

    Raises:
        PhotositeError: Whatever is at fault: the file, the model, the storage; LeaseLostError if the job is not ours.
    """
    lease.advance("load", 0)
    upload = workshop.blobs.local_path(job.input.sha256)
    ref, engine = workshop.models.get(job.parameters.model)
    options = denoise_options(job.parameters)
    with workshop.blobs.scratch() as folder:
        report = denoise_file(upload, folder / "result.dng", engine=engine, options=options, progress=lease.advance)
        lease.advance("store", 0)
        blob = workshop.blobs.keep(folder / "result.dng")
    return workshop.jobs.succeed(
        job,
        result=FileSchema(name=result_name(job.input.name), bytes=blob.bytes, sha256=blob.sha256),
        model=f"{ref.name}@{ref.version}",
        report=report.to_json(),
    )


def denoise_options(parameters: DenoiseParameters) -> DenoiseOptions:
    """The library's options for a request's parameters."""
    noise = None
    if parameters.noise is not None:
        shot_noise, read_noise = parse_noise(parameters.noise)
        noise = NoiseModel.uniform(shot_noise=shot_noise, read_noise=read_noise)
    return DenoiseOptions(
        strength=parameters.strength, noise=noise, precision=parameters.precision, force=parameters.force
    )


def result_name(input_name: str) -> str:
    """What the result is called.

    >>> result_name("IMG_0001.DNG")
    'IMG_0001-denoised.dng'
    """
    return f"{Path(input_name).stem}-denoised.dng"
