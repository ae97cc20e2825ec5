"""A fine-tuning job: a model adapted to a camera from noisy captures, judged, and published.

In the flow: claim → **fetch captures → train, making way for pictures → judge → publish the version** → result.

The run lies in the data folder under the job's id and attempt: one that died is gone on with, bit for bit, under the
next attempt's name, so that nothing of what a frozen attempt still writes once it thaws gets there. The new version's
number is written into the job before the version appears, so that no job ever makes two.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from service.errors import LeaseLostError
from service.storage import BlobKey
from training.errors import ConfigError, ModelError
from training.finetuning.options import FinetuneOptions
from training.finetuning.pipeline import finetune
from training.finetuning.release import publish_finetuned
from training.finetuning.report import REPORT_NAME
from training.registry import DEFAULT_NAME, Registry, remove_models, set_default

if TYPE_CHECKING:
    from pathlib import Path

    from service.job_records import Job
    from service.schemas import FinetuneParameters
    from service.worker.lease import Lease
    from service.worker.workshop import Workshop
    from training.registry import ModelRef

NICENESS = 10
"""On a processor, a picture's tiles go before the training step that is being computed."""


def finetune_job(job: Job, workshop: Workshop, lease: Lease) -> Job:
    """Adapt a model; the new version is published either way, and becomes the default if it is better and wished.

    Raises:
        PhotositeError: Whatever is at fault: the captures, the model, the storage; LeaseLostError if the job is not
            ours.
    """
    parameters = cast("FinetuneParameters", job.parameters)
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    try:
        return _finetune(job, parameters, workshop, lease)
    except LeaseLostError:
        if not workshop.jobs.exists(job.id):
            retract(job, workshop)
        raise


def _finetune(job: Job, parameters: FinetuneParameters, workshop: Workshop, lease: Lease) -> Job:
    run = _take_over(job, workshop)
    captures = _fetch(job, run, workshop, lease)
    base = workshop.models.registry(job.tenant).resolve(parameters.base)

    def advance(stage: str, share: float, figures: dict[str, Any]) -> None:
        paused_s = workshop.turns.make_way(partial(lease.advance, stage, share, figures))
        workshop.metrics.observe_training(figures.get("loss"), paused_s)

    report = finetune(captures, base, run, _options(parameters), device=workshop.settings.device, progress=advance)
    lease.advance("publish", 0)
    reference = _publish(workshop.jobs.get_ours(job), run, workshop)
    if report.better and parameters.make_default:
        set_default(workshop.settings.tenant_models_dir(job.tenant), str(reference))
    names = [REPORT_NAME, *(name for drawn in report.pictures for name in drawn["files"].values())]
    kept = {name: workshop.blobs.keep(run / name, job.tenant).named(name) for name in names}
    done = workshop.jobs.succeed(
        job, result=kept.pop(REPORT_NAME), files=kept, model=str(reference), report=report.to_json()
    )
    shutil.rmtree(run, ignore_errors=True)
    return done


def _take_over(job: Job, workshop: Workshop) -> Path:
    """The run's folder for our attempt: a new one, or the one that the attempt before has left."""
    run = workshop.settings.runs_dir / f"{job.id}.{job.attempt}"
    for earlier in range(job.attempt - 1, 0, -1):
        with suppress(FileNotFoundError):
            (workshop.settings.runs_dir / f"{job.id}.{earlier}").rename(run)
            return run
    run.mkdir(parents=True, exist_ok=True)
    return run


def retract(job: Job, workshop: Workshop) -> None:
    """Take back what a job published that was erased meanwhile, with its tenant maybe: nobody knows of it any more."""
    folder = workshop.settings.tenant_models_dir(job.tenant)
    made = [reference for reference in Registry([folder]).references() if _made_by(reference) == job.id]
    remove_models(made)
    with suppress(ModelError):
        if Registry([folder]).default_name() in {str(reference) for reference in made}:
            (folder / DEFAULT_NAME).unlink()
    with suppress(OSError):  # a tenant that is still there has something in them
        folder.rmdir()
        folder.parent.rmdir()


def _made_by(reference: ModelRef) -> str | None:
    try:
        return cast("str | None", reference.manifest().training.get("made_by"))
    except ModelError:  # a damaged manifest tells nothing
        return None


def _fetch(job: Job, run: Path, workshop: Workshop, lease: Lease) -> list[Path]:
    """The captures under names that reports can show, as links to their blobs."""
    folder = run / "captures"
    folder.mkdir(exist_ok=True)
    paths = []
    for index, file in enumerate(job.inputs):
        lease.advance("fetch", index / len(job.inputs))
        path = folder / f"{index + 1:03d} {file.name}"
        path.unlink(missing_ok=True)
        path.symlink_to(workshop.blobs.local_path(BlobKey(job.tenant, file.sha256)))
        paths.append(path)
    return paths


def _options(parameters: FinetuneParameters) -> FinetuneOptions:
    return FinetuneOptions(objective=parameters.objective, steps=parameters.steps, minutes=parameters.minutes)


def _publish(job: Job, run: Path, workshop: Workshop) -> ModelRef:
    """The job's version of the model: published now, or by an attempt that died right afterwards.

    Raises:
        LeaseLostError: The job is no longer ours.
    """
    name = cast("FinetuneParameters", job.parameters).name
    folder, known = workshop.settings.tenant_models_dir(job.tenant), workshop.models.registry(job.tenant)
    while True:
        if job.model is None:
            job = workshop.jobs.reserve_model(job, f"{name}@{known.next_version(name)}")
        reserved = str(job.model)
        version = reserved.partition("@")[2]
        earlier = [reference for reference in known.references() if str(reference) == reserved]
        if earlier and _made_by(earlier[0]) == job.id:
            return earlier[0]
        if not earlier:
            try:
                return publish_finetuned(run, folder, name, version, known=known, made_by=job.id, unfinished_dir=run)
            except ConfigError:
                if reserved not in map(str, known.references()):
                    raise
        job = workshop.jobs.reserve_model(job, f"{name}@{known.next_version(name)}")  # another job was faster
