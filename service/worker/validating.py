"""A validation job: a model judged as the SIDD benchmark does, on a data set that lies on the server.

In the flow: claim → **open data set → judge, making way for pictures → write report → store → publish** → result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from service.schemas import FileSchema, ValidateParameters
from training.datasets.validation_sets import MINI, open_validation
from training.submission import Submission
from training.validate import ValidateOptions, validate
from training.validation_report import HTML_NAME, JSON_NAME, describe, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from service.job_records import Job
    from service.worker.lease import Lease
    from service.worker.pipeline import Workshop
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
    dataset = MINI if parameters.dataset == MINI else str(workshop.settings.datasets_dir / parameters.dataset)
    sets = open_validation(dataset, cache=workshop.settings.data_dir / "cache" / parameters.dataset)
    with workshop.blobs.scratch() as folder:
        results = tuple(_judge(engine, blocks, folder, workshop, lease) for blocks in sets)
        report = describe(engine, parameters.dataset, ValidateOptions(), results)
        lease.advance("store", 0)
        write_report(folder, report, results)
        names = [path.name for path in sorted(folder.iterdir()) if path.suffix != ".png"]
        kept = {name: _keep(folder / name, job, workshop) for name in names}
    return workshop.jobs.succeed(
        job,
        result=kept[JSON_NAME],
        files={name: file for name, file in kept.items() if name != JSON_NAME},
        model=str(reference),
        report=report,
    )


def _judge(engine: Engine, blocks: BlockSet, folder: Path, workshop: Workshop, lease: Lease) -> Validation:
    """Judge the model on one block set; the benchmark's is also written for submission."""

    def advance(share: float) -> None:
        lease.advance(blocks.name, share)
        workshop.turns.make_way(lambda: lease.advance(blocks.name, share))

    if blocks.clean is not None:
        return validate(engine, blocks, ValidateOptions(), progress=advance)
    submission = Submission(*blocks.shape[:2])
    result = validate(engine, blocks, ValidateOptions(), submission.add, advance)
    submission.write(folder, engine.manifest.reference, result.seconds_per_benchmark_megapixel)
    return result


def _keep(path: Path, job: Job, workshop: Workshop) -> FileSchema:
    blob = workshop.blobs.keep(path, job.tenant)
    return FileSchema(name=path.name, bytes=blob.bytes, sha256=blob.key.sha256)
