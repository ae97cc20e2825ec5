"""The client: what the service offers over HTTP, as typed methods.

In the flow: file → **submit → follow → download** → denoised file. `denoise` is all three.

Errors are those of `service/errors.py` and `training/errors.py`, as if the work had been done in this process. Whoever
imports this module loads neither torch nor FastAPI nor Celery.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Self
from urllib.parse import quote

import httpx
from httpx_sse import EventSource, SSEError

from service.connection import Connection, parse_retry_after, validate
from service.errors import (
    JobConflictError,
    JobNotFoundError,
    NotFoundError,
    ResultDamagedError,
    ResultExpiredError,
    ResultNotReadyError,
    ServiceError,
    error_of_code,
)
from service.schemas import (
    DenoiseParameters,
    FileSchema,
    HealthSchema,
    JobListSchema,
    JobSchema,
    ModelDetailSchema,
    ModelListSchema,
    ModelSchema,
)
from service.transfers import FileBody, opened, receive, send_resumably
from training.errors import PhotositeError
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from service.schemas import JobKind, JobState
    from service.transfers import OnBytes

    OnJob = Callable[[JobSchema], None]
    """Called with a job whenever it has changed: its state, its stage, the stage's share done."""

POLL_S = 1.0
PAGE_JOBS = "200"
"""Jobs of a listing that are fetched at a time."""
RESUMABLE_BYTES = 64 * 1024 * 1024
"""Files from this size on are uploaded so that they need not be sent again from their start."""
EVENT_SILENCE_S = 45.0
"""Events without a sign of life for so long are broken: the server sends one every 15 s."""
DEFAULT_PARAMETERS = DenoiseParameters()


class PhotositeClient:
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
        self._connection = Connection(url, api_key, timeout_s=timeout_s, patience_s=patience_s, transport=transport)
        self._timeout_s = timeout_s

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

    def submit(
        self,
        source: Path | str | BinaryIO,
        parameters: DenoiseParameters = DEFAULT_PARAMETERS,
        *,
        name: str | None = None,
        wait_s: int = 0,
        on_sent: OnBytes | None = None,
    ) -> JobSchema:
        """Hand a file in; it is streamed, never whole in memory. A large one goes on where the line broke.

        Args:
            source: A DNG, as a path or as an open binary file, which is sent from where it stands.
            parameters: How it is to be denoised.
            name: What it is called, and the result after it; none: as the path or file says.
            wait_s: Seconds that the server may take its answer back until the job is done.
            on_sent: Told of the upload.

        Returns:
            The job: queued, running, or done if that took less than `wait_s`.

        Raises:
            RawError: The file is at fault.
        """
        options: dict[str, Any] = {
            "read_timeout_s": self._timeout_s + wait_s,
            "params": parameters.model_dump(mode="json", exclude_defaults=True),
            "headers": {"Prefer": f"wait={wait_s}" if wait_s else "respond-async"},
        }
        job_id: str | None = None
        with opened(source) as file:
            body = FileBody(file, on_sent)
            if body.bytes is not None and body.bytes >= RESUMABLE_BYTES:
                with suppress(NotFoundError):  # there are no uploads, or not on the host that was asked: the usual way
                    job_id = self._submit_upload(send_resumably(self._connection, body, name), options)
            if job_id is None:
                options["headers"] |= body.headers(name)
                job_id = self._submit(body=body, **options)
        return self.job(job_id)

    def _submit_upload(self, upload_id: str, options: dict[str, Any]) -> str:
        """Hand in what was uploaded; once, however often the request has to be sent."""
        params = {**options["params"], "upload": upload_id}
        headers = {**options["headers"], "Idempotency-Key": secrets.token_hex(16)}
        return self._submit(**{**options, "params": params, "headers": headers})

    def _submit(self, **options: Any) -> str:
        """Send the request; gives the job's id."""
        with self._connection.open("POST", "/denoise", **options) as response:
            # Only its head: the bytes of a job that is done already stay there until `download`.
            job_id: str | None = response.headers.get("x-photosite-job")
        if job_id is None:
            raise ServiceError("the server's answer names no job; is it a Photosite server?")
        return job_id

    def job(self, job_id: str) -> JobSchema:
        """A job as it is now.

        Raises:
            JobNotFoundError: There is no such job.
        """
        return self._connection.fetch(JobSchema, "GET", f"/jobs/{job_id}")

    def jobs(
        self,
        *,
        state: JobState | Sequence[JobState] = (),
        kind: JobKind | Sequence[JobKind] = (),
        batch: str | None = None,
    ) -> Iterator[JobSchema]:
        """One's own jobs, newest first; fetched a page at a time, while they are gone through.

        Args:
            state: Only those in this state, or in one of these.
            kind: Only those of this kind, or of one of these.
            batch: Only those of this batch.
        """
        wanted = {"state": _listed(state), "kind": _listed(kind), "batch": _listed(batch or ()), "limit": [PAGE_JOBS]}
        while True:
            page = self._connection.fetch(JobListSchema, "GET", "/jobs", params=wanted)
            yield from page.jobs
            if page.next_cursor is None:
                return
            wanted["cursor"] = [page.next_cursor]

    def cancel(self, job_id: str) -> JobSchema:
        """Cancel a job; if it is being worked on, that stops at the next tile.

        Raises:
            JobConflictError: It has succeeded or failed already.
            JobNotFoundError: There is no such job.
        """
        return self._connection.fetch(JobSchema, "DELETE", f"/jobs/{job_id}")

    def models(self) -> list[ModelSchema]:
        """All versions of all models that one may use, by name, oldest version first."""
        return self._connection.fetch(ModelListSchema, "GET", "/models").models

    def model(self, name: str) -> ModelDetailSchema:
        """One model and its whole manifest.

        Args:
            name: NAME for its newest version, or NAME@VERSION.

        Raises:
            NotFoundError: There is none.
        """
        return self._connection.fetch(ModelDetailSchema, "GET", _model_path(name))

    def set_default_model(self, name: str) -> ModelSchema:
        """Use a model wherever a request of one's own names none.

        Args:
            name: NAME for whichever version is the newest, or NAME@VERSION.

        Raises:
            NotFoundError: There is none.
        """
        return self._connection.fetch(ModelSchema, "PUT", f"{_model_path(name)}/default")

    def delete_model(self, name: str) -> None:
        """Delete a model of one's own.

        Args:
            name: NAME for all its versions, or NAME@VERSION.

        Raises:
            NotFoundError: There is none.
            PermissionDeniedError: It is not one's own.
            ConflictError: It is the default, or a job that is not finished needs it.
        """
        with self._connection.open("DELETE", _model_path(name), whole=True):
            pass

    def health(self) -> HealthSchema:
        """Whether the server can take work; asked once, whatever the client's patience.

        Raises:
            ServiceError: It cannot.
        """
        return self._connection.fetch(HealthSchema, "GET", "/health/ready", retry=False)

    def wait(self, job_id: str, *, timeout_s: float | None = None, on_job: OnJob | None = None) -> JobSchema:
        """Wait until a job is finished, however it ends; as `follow`, of which this is the last word.

        Raises:
            JobNotFoundError: There is no such job.
            ResultNotReadyError: It takes longer than `timeout_s`.
        """
        for job in self.follow(job_id, timeout_s=timeout_s):
            if on_job:
                on_job(job)
        return job

    def follow(self, job_id: str, *, timeout_s: float | None = None) -> Iterator[JobSchema]:
        """A job as it is now, and whenever it has changed, until it is finished.

        By server-sent events, again after a break; by asking every second where none come through, or where the wait
        is not to take longer than `timeout_s` (a stream that is silent cannot be left in time).

        Raises:
            JobNotFoundError: There is no such job.
            ResultNotReadyError: It takes longer than `timeout_s`.
        """
        last: JobSchema | None = None
        by_events = timeout_s is None
        started = time.monotonic()
        while last is None or not last.finished:
            if last and timeout_s is not None and time.monotonic() - started >= timeout_s:
                raise ResultNotReadyError(f"the job is {last.state}; it is not done after {timeout_s:g} s")
            seen = False
            for job in self._events(job_id) if by_events else self._poll(job_id):
                seen = True
                if job != last:
                    last = job
                    yield job
            by_events = by_events and seen

    def download(self, job_id: str, target: Path, *, on_received: OnBytes | None = None) -> Path:
        """Fetch a result; a download that breaks is gone on with where it broke.

        Args:
            job_id: A job that has succeeded.
            target: Where the file goes; checked and written whole, or not at all.
            on_received: Told of the download.

        Returns:
            The target.

        Raises:
            PhotositeError: What became of the job instead; ResultExpiredError; ResultDamagedError.
            OSError: The target cannot be written.
        """
        promised = _result_of(self.job(job_id))
        with replacing(target) as file:
            try:
                sha256 = receive(self._connection, f"/jobs/{job_id}/result", promised, file, on_received)
            except JobNotFoundError as error:
                raise ResultExpiredError(error.message) from error
            if sha256 != promised.sha256:
                raise ResultDamagedError(f"the result of job {job_id} arrived damaged", detail=f"SHA-256 {sha256}")
        return target

    def _events(self, job_id: str) -> Iterator[JobSchema]:
        """A job's events until it is finished or they break; none where they do not come through at all."""
        job: JobSchema | None = None
        try:
            with self._connection.open(
                "GET",
                f"/jobs/{job_id}/events",
                headers={"Accept": "text/event-stream"},
                read_timeout_s=EVENT_SILENCE_S,
            ) as response:
                for event in EventSource(response).iter_sse():
                    if event.event == "job":
                        yield (job := validate(JobSchema, event.data))
        except (httpx.TransportError, SSEError):
            pass  # broken, or no events: whoever follows goes on
        except ServiceError as error:
            if error.retryable:  # it was tried for long enough
                raise
        if job and not job.finished:
            time.sleep(POLL_S)

    def _poll(self, job_id: str) -> Iterator[JobSchema]:
        """A job as it is now, and a pause."""
        with self._connection.open("GET", f"/jobs/{job_id}", whole=True) as response:
            job = validate(JobSchema, response.content)
        yield job
        if not job.finished:
            pause_s = parse_retry_after(response.headers.get("retry-after", ""))
            time.sleep(POLL_S if pause_s is None else pause_s)


def _listed(wanted: str | Sequence[str]) -> list[str]:
    return [wanted] if isinstance(wanted, str) else list(wanted)


def _model_path(name: str) -> str:
    return f"/models/{quote(name, safe='@')}"


def _result_of(job: JobSchema) -> FileSchema:
    """The result of a job that has one; raises what became of it instead."""
    if job.result:
        return job.result
    if job.error:
        raise error_of_code(job.error.code, job.error.message)
    if job.state == "cancelled":
        raise JobConflictError("the job was cancelled; there is no result")
    raise ResultNotReadyError(f"the job is {job.state}; its result is not ready")
