"""A denoising job: from the uploaded blob to the published result.

In the flow: claim → **fetch → denoise → store → publish** → result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from service.schemas import DenoiseParameters, FileSchema, parse_noise
from service.storage import BlobKey
from training.denoise import DenoiseOptions, denoise_file
from training.noise import NoiseModel
from training.output import OutputOptions

if TYPE_CHECKING:
    from service.job_records import Job
    from service.worker.lease import Lease
    from service.worker.workshop import Workshop
    from training.engines.base import Engine
    from training.raw.cells import SensorKind


def denoise_job(job: Job, workshop: Workshop, lease: Lease) -> Job:
    """From the uploaded blob to the published result.

    Raises:
        PhotositeError: Whatever is at fault: the file, the model, the storage; LeaseLostError if the job is not ours.
    """
    lease.advance("decode", 0)
    parameters, source = cast("DenoiseParameters", job.parameters), cast("FileSchema", job.input)
    upload = workshop.blobs.local_path(BlobKey(job.tenant, source.sha256))

    def engine_for(sensor: SensorKind) -> Engine:
        return workshop.models.get(parameters.model, job.tenant, sensor)[1]

    with workshop.turns.interactive(), workshop.blobs.scratch() as folder:
        result = folder / "result.dng"
        report = denoise_file(
            upload,
            result,
            engine=engine_for,
            options=denoise_options(parameters),
            output=OutputOptions(preview=parameters.preview),
            name=source.name,
            progress=lease.advance,
        )
        lease.advance("store", 0)
        blob = workshop.blobs.keep(result, job.tenant)
    return workshop.jobs.succeed(
        job,
        result=blob.named(result_name(source.name)),
        model=report.model,
        report=report.to_json(),
    )


def denoise_options(parameters: DenoiseParameters) -> DenoiseOptions:
    """The library's options for a request's parameters."""
    return DenoiseOptions(
        strength=parameters.strength,
        noise=noise_model(parameters.noise),
        precision=parameters.precision,
        force=parameters.force,
    )


def noise_model(text: str | None) -> NoiseModel | None:
    """The library's noise model for a request's."""
    if text is None:
        return None
    shot_noise, read_noise = parse_noise(text)
    return NoiseModel.uniform(shot_noise=shot_noise, read_noise=read_noise)


def result_name(input_name: str) -> str:
    """What the result is called.

    >>> result_name("IMG_0001.DNG")
    'IMG_0001-denoised.dng'
    """
    return f"{Path(input_name).stem}-denoised.dng"
