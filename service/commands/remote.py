"""`photosite denoise --server`: the same command, the work done by a service. Imports no torch."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from service.client import PhotositeClient
from service.schemas import DenoiseParameters
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.commands.batch import BatchItem
    from service.commands.denoise import Denoise
    from service.schemas import JobSchema
    from service.settings import Settings
    from training.denoise import DenoiseOptions, Progress
    from training.output import Preview


@contextmanager
def denoise_remotely(settings: Settings, parameters: DenoiseParameters) -> Iterator[Denoise]:
    """Denoise on the server that the settings name.

    Raises:
        ConfigError: Address or key make no sense.
    """
    api_key = settings.api_key.get_secret_value() if settings.api_key else None
    with PhotositeClient(settings.server or "", api_key) as client:

        def denoise(item: BatchItem, progress: Progress) -> dict[str, Any]:
            job = client.denoise(
                item.file,
                item.target,
                parameters,
                on_sent=lambda sent, total: progress("upload", sent / total if total else 0),
                on_job=lambda job: progress(*_stage_of(job)),
                on_received=lambda received, total: progress("download", received / total if total else 0),
            )
            return job.report or {}

        yield denoise


def request_parameters(model: str | None, options: DenoiseOptions, preview: Preview = "keep") -> DenoiseParameters:
    """The library's options as a request has them: what the worker undoes with `denoise_options`.

    Raises:
        ConfigError: No model can have such a name.
    """
    noise = None
    if options.noise is not None:
        noise = f"{options.noise.shot_noise[0]!r},{options.noise.read_noise[0]!r}"
    try:
        return DenoiseParameters(
            model=model,
            strength=options.strength,
            noise=noise,
            precision=options.precision,
            preview=preview,
            force=options.force,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"--{problem['loc'][0]}: got {problem['input']!r}: {problem['msg']}") from error


def _stage_of(job: JobSchema) -> tuple[str, float]:
    return ("queued", 0.0) if job.state == "queued" else (job.stage, job.progress)
