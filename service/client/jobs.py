"""Jobs: handed in, followed, ended, and what they have made."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import httpx
from httpx_sse import EventSource, SSEError

from service.client.calls import Calls
from service.client.connection import parse_retry_after, validate
from service.client.transfers import FileBody, opened, receive, send_resumably
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
from service.schemas import BatchSchema, DenoiseParameters, FileSchema, JobListSchema, JobSchema
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from service.client.transfers import OnBytes
    from service.schemas import FinetuneParameters, JobKind, JobState, ValidateParameters

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


class JobCalls(Calls):
    """What `PhotositeClient` does with jobs."""

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

    def finetune(self, parameters: FinetuneParameters) -> JobSchema:
        """Have a model adapted to a camera from captures that were handed in before.

        Raises:
            NotFoundError: There is no such capture.
            InvalidRequestError: One cannot be used, or there is no such base.
        """
        return self._begin("/jobs/finetune", parameters)

    def validate(self, parameters: ValidateParameters) -> JobSchema:
        """Have a model measured on a data set that the server has.

        Raises:
            InvalidRequestError: There is no such model or data set.
        """
        return self._begin("/jobs/validate", parameters)

    def _begin(self, path: str, parameters: FinetuneParameters | ValidateParameters) -> JobSchema:
        """Begin a job; once, however often the request has to be sent."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        body = parameters.model_dump(mode="json", exclude_defaults=True)
        return self._connection.fetch(JobSchema, "POST", path, json=body, headers=headers)

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

    def batch(self, name: str) -> BatchSchema:
        """How far jobs are that were handed in under one name.

        Raises:
            NotFoundError: There are none.
        """
        return self._connection.fetch(BatchSchema, "GET", f"/batches/{name}")

    def cancel_batch(self, name: str) -> BatchSchema:
        """Cancel those of a batch's jobs that are not finished.

        Raises:
            NotFoundError: There are none.
        """
        return self._connection.fetch(BatchSchema, "DELETE", f"/batches/{name}")

    def cancel(self, job_id: str) -> JobSchema:
        """Cancel a job; if it is being worked on, that stops at the next tile or training step.

        Raises:
            JobConflictError: It has succeeded or failed already.
            JobNotFoundError: There is no such job.
        """
        return self._connection.fetch(JobSchema, "DELETE", f"/jobs/{job_id}")

    def erase(self, job_id: str) -> None:
        """Erase a job and its files; one that is not finished is cancelled first.

        Raises:
            JobNotFoundError: There is no such job.
        """
        self._connection.fetch(JobSchema, "DELETE", f"/jobs/{job_id}", params={"erase": "true"})

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


def _result_of(job: JobSchema) -> FileSchema:
    """The result of a job that has one; raises what became of it instead."""
    if job.result:
        return job.result
    if job.error:
        raise error_of_code(job.error.code, job.error.message)
    if job.state == "cancelled":
        raise JobConflictError("the job was cancelled; there is no result")
    raise ResultNotReadyError(f"the job is {job.state}; its result is not ready")
