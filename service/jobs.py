"""The job record: one Redis hash per job, and the only truth about it.

In the flow: upload → blob → **job** → queue → worker … → result.

::

    queued ──claim──► running ──succeed──► succeeded
      ▲  │               │ │ └────fail───► failed
      │  └────cancel─────┼─┴───cancel────► cancelled
      └──lease lapsed────┘

Every change is compare-and-set: the record is read under WATCH, and written only if nobody else wrote meanwhile. A
running job belongs to one attempt, as long as its lease is renewed; what an older attempt still writes is refused. All
times are the Redis server's own, so that clocks of different machines do not matter. Where the records lie, and what
is kept in step with them, says `job_records.py`.
"""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from redis import Redis
from redis.exceptions import WatchError

from service.blob_ledger import BlobLedger
from service.errors import (
    InvalidRequestError,
    JobConflictError,
    JobNotFoundError,
    LeaseLostError,
    NewerRecordError,
    WorkerLostError,
)
from service.job_records import (
    FINISHED_KEY,
    RUNNING_KEY,
    Job,
    batch_key,
    erase,
    idempotency_key,
    job_key,
    list_key,
    queued_key,
    read,
    read_all,
    waiting_key,
    write,
    write_progress,
)
from service.lines import jobs_ahead, next_job
from service.listing import Page, read_page
from service.redis_access import patiently, redis_errors, server_time
from service.schemas import ErrorSchema, FileSchema, QueuePlaceSchema
from service.settings import Settings
from service.traces import current_traceparent
from training.errors import PhotositeError

if TYPE_CHECKING:
    from redis.client import Pipeline

DAY_S = 24 * 3600.0

logger = logging.getLogger(__name__)


Decision = Callable[[Job, float], dict[str, Any] | None]
"""Given a record and the time: the fields to change, or None to leave it alone; may raise."""
Write = Callable[["Pipeline", Job], None]


class JobStore:
    """All job records.

    Args:
        redis: The connection.
        settings: The service's settings.
        patience_s: Seconds for which what settles work that is done waits for a Redis that is away.

    Every method raises BrokerUnavailableError when Redis cannot be reached, and JobNotFoundError for an unknown id.
    """

    def __init__(self, redis: Redis, settings: Settings, patience_s: float = 0) -> None:
        self._redis = redis
        self._settings = settings
        self._patience_s = patience_s
        self.ledger = BlobLedger(redis, settings, patience_s)

    @property
    def redis(self) -> Redis:
        """The connection, for what else lies in the same Redis."""
        return self._redis

    def check(self) -> None:
        """Ask Redis for a sign of life."""
        with redis_errors():
            self._redis.ping()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    # ---- beginning ---------------------------------------------------------------------------------------------

    def create(self, job: Job, idempotency: tuple[str, str] | None = None) -> Job:
        """Write a new record, its times set; a message is to be published right after.

        Args:
            job: The job.
            idempotency: The client's own key for this request, and a digest of all that the request says.

        Returns:
            The job; or the one that an earlier request with the same key made.

        Raises:
            InvalidRequestError: The key was used for another request.
        """
        with redis_errors(), self._redis.pipeline() as pipeline:
            while True:
                if idempotency:
                    pipeline.watch(idempotency_key(job.tenant, idempotency[0]))  # type: ignore[no-untyped-call]
                    earlier = self._earlier(job.tenant, *idempotency)
                    if earlier:
                        return earlier
                now = self.now()
                times = {"created_at": now, "published_at": now}
                created = job.model_copy(update={**times, "traceparent": current_traceparent()})
                pipeline.multi()
                write(pipeline, created)
                if idempotency:
                    key, fingerprint = idempotency
                    kept_s = int(self._settings.idempotency_s)
                    pipeline.set(idempotency_key(job.tenant, key), f"{fingerprint} {job.id}", ex=kept_s)
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                logger.info("job %s: accepted", created.id)  # the line that joins a request's lines to its job's
                return created

    def find_accepted(self, tenant: str, key: str) -> tuple[Job, str] | None:
        """The job that an earlier request with a client's key has made, and that request's digest; None for none."""
        with redis_errors():
            kept = cast("str | None", self._redis.get(idempotency_key(tenant, key)))
            if kept is None:
                return None
            fingerprint, job_id = kept.split(" ")
            job = read(self._redis, job_id)
            return (job, fingerprint) if job else None

    def _earlier(self, tenant: str, key: str, fingerprint: str) -> Job | None:
        accepted = self.find_accepted(tenant, key)
        if accepted is None:
            return None
        job, known = accepted
        if known != fingerprint:
            raise InvalidRequestError("Idempotency-Key: it was used for another request before")
        return job

    def get(self, job_id: str) -> Job:
        """Read a record."""
        with redis_errors():
            return self._read(job_id)

    def exists(self, job_id: str) -> bool:
        """Whether there is such a record."""
        with redis_errors():
            return bool(self._redis.exists(job_key(job_id)))

    def get_owned(self, tenant: str, job_id: str) -> Job:
        """Read a record of a tenant's; another's does not exist."""
        job = self.get(job_id)
        if job.tenant != tenant:
            raise _not_found(job_id)
        return job

    # ---- work --------------------------------------------------------------------------------------------------

    def claim(self, job_id: str) -> Job | None:
        """Begin an attempt: a queued job, or a running one whose lease has lapsed, becomes ours.

        Returns:
            The running job, or None if there is nothing to do: finished, running elsewhere, or out of attempts.
        """

        def decide(job: Job, now: float) -> dict[str, Any] | None:
            if job.finished or (job.state == "running" and not _lapsed(job, now)):
                return None
            if job.attempt >= self._settings.max_attempts:
                return _failure(job, now, _lost(job))
            return {
                "state": "running",
                "attempt": job.attempt + 1,
                "started_at": now,
                "rests_until": None,
                "lease_until": now + self._settings.lease_s,
                "stage": "",
                "progress": 0,
            }

        job = self._change(job_id, decide)
        return job if job and job.state == "running" else None

    def claim_next(self, queue: str, announced: str) -> Job | None:
        """Begin an attempt at the job of a queue whose turn it is.

        Args:
            queue: Which queue.
            announced: The job that the worker's message is about; it may be another's turn, which then has a message
                of its own that is left for this one.

        Returns:
            The running job, or None if there is nothing to do.
        """
        passed_over: list[str] = []
        while True:
            with redis_errors():
                job_id = next_job(self._redis, queue, announced, passed_over)
            with suppress(JobNotFoundError, NewerRecordError):  # erased meanwhile; or a newer worker's
                job = self.claim(job_id or announced)  # nobody waits: its lease may have lapsed
                if job is not None:
                    return job
            if job_id is None:
                return None
            passed_over.append(job_id)

    def renew(self, job: Job, stage: str, progress: float, figures: dict[str, Any] | None = None) -> Job:
        """Extend our lease and show how far the work is.

        Raises:
            LeaseLostError: The job is no longer ours.
        """

        def decide(current: Job, now: float) -> dict[str, Any]:
            _check_ours(current, job)
            shown = {"stage": stage, "progress": progress, "figures": figures or {}}
            return {"lease_until": now + self._settings.lease_s, **shown}

        return self._change_ours(job, decide, write_progress)

    def check_ours(self, job: Job) -> None:
        """Raise LeaseLostError if the job was cancelled or given to another attempt; cheap."""
        with redis_errors():
            state, attempt = self._redis.hmget(job_key(job.id), ["state", "attempt"])
        if (state, attempt) != ('"running"', str(job.attempt)):
            raise LeaseLostError(f"job {job.id} is no longer attempt {job.attempt}'s")

    def get_ours(self, job: Job) -> Job:
        """Read our attempt's record.

        Raises:
            LeaseLostError: The job is no longer ours.
        """
        try:
            current = patiently(lambda: self.get(job.id), self._patience_s)
        except JobNotFoundError as error:  # erased while it ran
            raise LeaseLostError(error.message) from error
        _check_ours(current, job)
        return current

    def reserve_model(self, job: Job, model: str) -> Job:
        """Write down which version our attempt is about to publish, before it appears.

        Raises:
            LeaseLostError: The job is no longer ours.
        """

        def decide(current: Job, _now: float) -> dict[str, Any]:
            _check_ours(current, job)
            return {"model": model}

        return patiently(lambda: self._change_ours(job, decide), self._patience_s)

    # ---- ends --------------------------------------------------------------------------------------------------

    def succeed(
        self,
        job: Job,
        *,
        report: dict[str, Any],
        result: FileSchema | None = None,
        model: str | None = None,
        files: dict[str, FileSchema] | None = None,
    ) -> Job:
        """Publish our attempt's result.

        Raises:
            LeaseLostError: The job is no longer ours; the result counts for nothing.
        """

        def decide(current: Job, now: float) -> dict[str, Any]:
            _check_ours(current, job)
            done = {"state": "succeeded", "stage": "done", "progress": 1, "finished_at": now, "lease_until": None}
            return {**done, "result": result, "files": files or {}, "model": model, "report": report}

        return patiently(lambda: self._change_ours(job, decide), self._patience_s)

    def fail(self, job: Job, error: PhotositeError) -> Job:
        """Publish that our attempt failed for good.

        Raises:
            LeaseLostError: The job is no longer ours.
        """

        def decide(current: Job, now: float) -> dict[str, Any]:
            _check_ours(current, job)
            return _failure(current, now, error)

        return patiently(lambda: self._change_ours(job, decide), self._patience_s)

    def release(self, job: Job, error: PhotositeError) -> Job:
        """Give our attempt up for another one in a while; without attempts left the job fails with `error`.

        Raises:
            LeaseLostError: The job is no longer ours.
        """

        def decide(current: Job, now: float) -> dict[str, Any]:
            _check_ours(current, job)
            return self._retry(current, now, error, rests_until=now + self._settings.republish_after_s)

        return patiently(lambda: self._change_ours(job, decide), self._patience_s)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; a worker that runs it stops at its next tile or training step.

        Raises:
            JobConflictError: It has succeeded or failed already.
        """

        def decide(job: Job, now: float) -> dict[str, Any] | None:
            if job.state in {"succeeded", "failed"}:
                raise JobConflictError(f"the job has {job.state} already")
            if job.state == "cancelled":
                return None
            return {"state": "cancelled", "finished_at": now, "lease_until": None}

        return self._change(job_id, decide) or self.get(job_id)

    def cancel_if_unfinished(self, job_id: str) -> None:
        """Cancel a job that may finish or be erased meanwhile."""
        with suppress(JobConflictError, JobNotFoundError):
            self.cancel(job_id)

    # ---- what the sweep puts right -----------------------------------------------------------------------------

    def requeue_lapsed(self) -> list[Job]:
        """Put running jobs whose lease has lapsed back into the queue, or fail them after their last attempt.

        Returns:
            Those that are queued again; each needs a message.
        """

        def decide(job: Job, now: float) -> dict[str, Any] | None:
            return self._retry(job, now, _lost(job)) if job.state == "running" and _lapsed(job, now) else None

        with redis_errors():
            lapsed = self._redis.zrange(RUNNING_KEY, "-inf", self.now(), byscore=True)
        return self._change_all(lapsed, decide)

    def renew_messages(self, queue: str, at_most: int) -> list[Job]:
        """Take a queue's waiting jobs whose last message is old enough to count as lost, the oldest first.

        Args:
            queue: Which queue.
            at_most: How many.

        Returns:
            Those for which a new message is due; no other process gets the same ones.
        """

        def decide(job: Job, now: float) -> dict[str, Any] | None:
            old = job.published_at <= now - self._settings.republish_after_s
            return {"published_at": now} if job.state == "queued" and old else None

        with redis_errors():
            latest = self.now() - self._settings.republish_after_s
            old = self._redis.zrange(queued_key(queue), "-inf", latest, byscore=True, offset=0, num=at_most)
        return self._change_all(old, decide)

    def forget_old(self, at_most: int = 100) -> list[Job]:
        """Erase the records of jobs that finished longer ago than results are kept; their blobs become loose.

        Returns:
            Those jobs; more may be left.
        """
        with redis_errors():
            now = self.now()
            latest = now - self._settings.retention_days * DAY_S
            old = self._redis.zrange(FINISHED_KEY, "-inf", latest, byscore=True, offset=0, num=at_most)
            return [job for job_id in old if (job := self.forget(str(job_id)))]

    def forget(self, job_id: str) -> Job | None:
        """Erase a finished job's record; None if there is none."""
        key = job_key(job_id)
        with redis_errors(), self._redis.pipeline() as pipeline:
            while True:
                pipeline.watch(key)  # type: ignore[no-untyped-call]
                job = read(self._redis, job_id)
                if job is None:
                    return None
                if not job.finished:
                    raise JobConflictError(f"the job is {job.state}")
                pipeline.multi()
                erase(pipeline, job, self.now())
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                return job

    # ---- looking -----------------------------------------------------------------------------------------------

    def page(
        self, tenant: str, *, batch: str | None, cursor: str | None, limit: int, keep: Callable[[Job], bool]
    ) -> Page[Job]:
        """A tenant's jobs, newest first.

        Args:
            tenant: Whose.
            batch: Only those of this batch; None for all.
            cursor: Where an earlier page ended; None to begin.
            limit: How many at most.
            keep: Which ones.

        Raises:
            InvalidRequestError: The cursor is none of ours.
        """
        with redis_errors():
            key = list_key(tenant) if batch is None else batch_key(tenant, batch)
            return read_page(self._redis, key, partial(read_all, self._redis), cursor=cursor, limit=limit, keep=keep)

    def batch(self, tenant: str, batch: str) -> list[Job]:
        """All jobs of a batch, oldest first."""
        with redis_errors():
            ids = cast("list[str]", self._redis.zrange(batch_key(tenant, batch), 0, -1))
            records = read_all(self._redis, ids)
        return [job for job in records if job]

    def unfinished(self, tenant: str) -> list[Job]:
        """A tenant's jobs that wait or run."""
        with redis_errors(), self._redis.pipeline() as pipeline:  # one transaction: a job may go from one to the other
            pipeline.zrange(waiting_key(tenant), 0, -1)
            pipeline.zrange(RUNNING_KEY, 0, -1)
            waiting, running = pipeline.execute()
            records = read_all(self._redis, [*waiting, *running])
        return [job for job in records if job and job.tenant == tenant and not job.finished]

    def count_queued(self, queue: str) -> int:
        """Jobs that wait in a queue."""
        with redis_errors():
            return self._redis.zcard(queued_key(queue))

    def place(self, job: Job) -> QueuePlaceSchema | None:
        """Where a job stands that waits; None of one that does not."""
        if job.state != "queued":
            return None
        with redis_errors():
            ahead = jobs_ahead(self._redis, job.queue, job.tenant, job.id)
            running = self._redis.zcard(RUNNING_KEY)
        return None if ahead is None else QueuePlaceSchema(ahead=ahead, running=running)  # None: it has just begun

    def oldest_wait_s(self, queue: str) -> float:
        """Seconds since the last message of the job of a queue that waits longest; 0 where none waits."""
        with redis_errors():
            oldest = self._redis.zrange(queued_key(queue), 0, 0, withscores=True)
            return max(0.0, self.now() - float(oldest[0][1])) if oldest else 0.0

    def count_of(self, tenant: str) -> int:
        """All jobs of a tenant whose records are kept."""
        with redis_errors():
            return self._redis.zcard(list_key(tenant))

    def count_running(self) -> Counter[str]:
        """Jobs that run, by the queue that they came from."""
        with redis_errors():
            records = read_all(self._redis, cast("list[str]", self._redis.zrange(RUNNING_KEY, 0, -1)))
        return Counter(job.queue for job in records if job)

    # ---- parts -------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since 1970 by the server's clock."""
        return server_time(self._redis)

    def _read(self, job_id: str) -> Job:
        job = read(self._redis, job_id)
        if job is None:
            raise _not_found(job_id)
        return job

    def _retry(
        self, job: Job, now: float, error: PhotositeError, *, rests_until: float | None = None
    ) -> dict[str, Any]:
        if job.attempt >= self._settings.max_attempts:
            return _failure(job, now, error)
        again = {"state": "queued", "published_at": now, "lease_until": None, "stage": "", "progress": 0}
        return {**again, "rests_until": rests_until}

    def _change(self, job_id: str, decide: Decision, write: Write = write) -> Job | None:
        """Compare and set; None where `decide` left the record alone."""
        key = job_key(job_id)
        with redis_errors(), self._redis.pipeline() as pipeline:
            while True:
                pipeline.watch(key)  # type: ignore[no-untyped-call]
                job = self._read(job_id)
                changes = decide(job, self.now())
                if changes is None:
                    return None
                changed = job.model_copy(update={**changes, "revision": job.revision + 1})
                pipeline.multi()
                write(pipeline, changed)
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                return changed

    def _change_ours(self, job: Job, decide: Callable[[Job, float], dict[str, Any]], write: Write = write) -> Job:
        try:
            return cast("Job", self._change(job.id, decide, write))
        except JobNotFoundError as error:  # erased while it ran
            raise LeaseLostError(error.message) from error

    def _change_all(self, job_ids: list[Any], decide: Decision) -> list[Job]:
        """Change those that are still there; what only a newer version understands is left to that."""
        changed = []
        for job_id in job_ids:
            with suppress(JobNotFoundError, NewerRecordError):
                changed.append(self._change(str(job_id), decide))
        return [job for job in changed if job and job.state == "queued"]


def _not_found(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(f"there is no job {job_id}")


def _lapsed(job: Job, now: float) -> bool:
    return job.lease_until is None or job.lease_until < now


def _lost(job: Job) -> WorkerLostError:
    return WorkerLostError(f"the process that worked on it ended, {job.attempt} times in a row")


def _failure(job: Job, now: float, error: PhotositeError) -> dict[str, Any]:
    remembered = ErrorSchema(code=error.code, message=error.message)
    ended = {"state": "failed", "finished_at": now, "lease_until": None, "stage": job.stage}
    return {**ended, "model": None, "error": remembered}


def _check_ours(current: Job, job: Job) -> None:
    if current.state != "running" or current.attempt != job.attempt:
        raise LeaseLostError(f"job {job.id} is no longer attempt {job.attempt}'s")
