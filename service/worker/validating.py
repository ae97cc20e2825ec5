"""A validation job: a model judged as the SIDD benchmark does, on a data set that lies on the server.

In the flow: claim → **open data set → judge, making way for pictures → write report → store → publish** → result.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from service.datasets import dataset_path
from service.worker.denoising import noise_model
from training.datasets.validation_sets import open_validation
from training.submission import Submission
from training.validate import ValidateOptions, validate
from training.validation_report import JSON_NAME, describe, write_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.job_records import Job
    from service.schemas import ValidateParameters
    from service.worker.lease import Lease
    from service.worker.workshop import Workshop
    from training.datasets.sidd_blocks import BlockSet
    from training.engines.base import Engine
    from training.validate import Validation


def validate_job(job: Job, workshop: Workshop, lease: Lease) -> Job:
    """Measure a model; the report and what belongs to it become the job's files.

    Raises:
        PhotositeError: Whatever is at fault: the model, the data set, the storage; LeaseLostError if the job is not
            ours.
    """
    parameters = cast("ValidateParameters", job.parameters)
    lease.advance("load", 0)
    reference, engine = workshop.models.get(parameters.model, job.tenant)
    dataset = dataset_path(workshop.settings, parameters.dataset)
    options = ValidateOptions(noise=noise_model(parameters.noise))
    sets = open_validation(dataset, cache=workshop.settings.data_dir / "cache" / parameters.dataset)

    def advance(stage: str, share: float) -> None:
        workshop.turns.make_way(partial(lease.advance, stage, share))

    with workshop.blobs.scratch() as folder:
        results = tuple(_judge(engine, blocks, options, folder, advance) for blocks in sets)
        report = describe(engine, parameters.dataset, options, results)
        lease.advance("store", 0)
        write_report(folder, report, results)
        names = [path.name for path in sorted(folder.iterdir())]
        kept = {name: workshop.blobs.keep(folder / name, job.tenant).named(name) for name in names}
    return workshop.jobs.succeed(
        job,
        result=kept[JSON_NAME],
        files={name: file for name, file in kept.items() if name != JSON_NAME},
        model=str(reference),
        report=report,
    )


def _judge(
    engine: Engine, blocks: BlockSet, options: ValidateOptions, folder: Path, advance: Callable[[str, float], None]
) -> Validation:
    """Judge the model on one block set; the benchmark's is also written for submission."""
    progress = partial(advance, blocks.name)
    if blocks.clean is not None:
        return validate(engine, blocks, options, progress=progress)
    submission = Submission(*blocks.shape[:2])
    result = validate(engine, blocks, options, submission.add, progress)
    submission.write(folder, engine.manifest.reference, result.seconds_per_benchmark_megapixel)
    return result
