"""The client: what the service offers over HTTP, as typed methods.

In the flow: file → **submit → follow → download** → denoised file. `denoise` is all three.

::

    jobs.py      submit, finetune, validate, follow, wait, download, cancel, jobs, batch
    captures.py  add_capture, captures, delete_capture        models.py  models, set_default_model, delete_model
    connection.py  requests, tried again where that is safe   transfers.py  files on the line

Errors are those of `service/errors.py` and `training/errors.py`, as if the work had been done in this process. Whoever
imports this package loads neither torch nor FastAPI nor Celery.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

from service.client.captures import CaptureCalls
from service.client.connection import Connection
from service.client.jobs import DEFAULT_PARAMETERS, JobCalls
from service.client.models import ModelCalls
from service.schemas import DenoiseParameters, HealthSchema, JobSchema
from training.errors import PhotositeError

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from service.client.jobs import OnJob
    from service.client.transfers import OnBytes


class PhotositeClient(JobCalls, CaptureCalls, ModelCalls):
    """A Photosite server.

    Use it as a context manager, or close it. One client serves one thread.

    Args:
        url: The server's address, as http://127.0.0.1:8000.
        api_key: Key that is sent along, where the server wants one.
        timeout_s: Seconds without a byte after which a request counts as broken.
        patience_s: Seconds of trying again before an outage counts as final.
        transport: What carries the requests; none: the network.

    Every method raises ServerUnreachableError when the server does not answer, and the server's own error when it
    refuses: QueueFullError, InvalidRequestError and their kin.

    Raises:
        ConfigError: Address or key make no sense.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = 30,
        patience_s: float = 60,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        connection = Connection(url, api_key, timeout_s=timeout_s, patience_s=patience_s, transport=transport)
        super().__init__(connection, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._connection.close()

    def denoise(
        self,
        source: Path,
        target: Path,
        parameters: DenoiseParameters = DEFAULT_PARAMETERS,
        *,
        on_sent: OnBytes | None = None,
        on_job: OnJob | None = None,
        on_received: OnBytes | None = None,
    ) -> JobSchema:
        """Have a file denoised: submit, wait, download. An interrupt (Ctrl-C) while waiting cancels the job.

        Args:
            source: A DNG.
            target: Where the denoised DNG goes; written whole or not at all; may be `source`.
            parameters: How it is to be denoised.
            on_sent: Told of the upload.
            on_job: Told of the job.
            on_received: Told of the download.

        Returns:
            The finished job, with the denoiser's report.

        Raises:
            PhotositeError: What the job failed with: RawError, if the file is at fault.
            OSError: The target cannot be written.
        """
        job = self.submit(source, parameters, on_sent=on_sent)
        try:
            job = self.wait(job.id, on_job=on_job)
        except KeyboardInterrupt:
            with suppress(PhotositeError):
                self._connection.fetch(JobSchema, "DELETE", f"/jobs/{job.id}", retry=False)
            raise
        self.download(job.id, target, on_received=on_received)
        return job

    def health(self) -> HealthSchema:
        """Whether the server can take work; asked once, whatever the client's patience.

        Raises:
            ServiceError: It cannot.
        """
        return self._connection.fetch(HealthSchema, "GET", "/health/ready", retry=False)
