"""The job record: one Redis hash per job, and the only truth about it.

In the flow: upload → blob → **job** → queue → worker … → result.

::

    queued ──claim──► running ──succeed──► succeeded
      ▲  │               │ │ └────fail───► failed
      │  └────cancel─────┼─┴───cancel────► cancelled
      └──lease lapsed────┘

Every change is compare-and-set: the record is read under WATCH, and written only if nobody else wrote meanwhile. A
running job belongs to one attempt, as long as its lease is renewed; what an older attempt still writes is refused. All
times are the Redis server's own, so that clocks of different machines do not matter.

Keys: `ps:job:{id}` the record; `ps:queued` ids by the time of their last message; `ps:running` ids by `lease_until`;
`ps:blob:{sha256}` ids of the jobs that refer to a blob; `ps:loose` blobs by the time since which maybe none does.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import BaseModel, ConfigDict
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry

from service.errors import (
    BrokerUnavailableError,
    JobConflictError,
    JobNotFoundError,
    LeaseLostError,
    QueueFullError,
    WorkerLostError,
)
from service.schemas import FINISHED_STATES, DenoiseParameters, ErrorSchema, FileSchema, JobSchema, JobState
from service.settings import Settings
from training.errors import PhotositeError

if TYPE_CHECKING:
    from redis.client import Pipeline

QUEUED_KEY = "ps:queued"
RUNNING_KEY = "ps:running"
LOOSE_KEY = "ps:loose"


class Job(BaseModel):
    """One job, as its record has it; times are seconds since 1970 by the Redis server's clock."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    queue: str = "denoise"
    """Which queue its message goes to."""
    state: JobState = "queued"
    attempt: int = 0
    """Times it has been started; the number of the attempt that owns it while it runs."""
    created_at: float = 0
    published_at: float = 0
    """When its last message was sent."""
    started_at: float | None = None
    """When its present or last attempt began."""
    finished_at: float | None = None
    lease_until: float | None = None
    """Until when it belongs to its attempt; none unless it runs."""
    stage: str = ""
    progress: float = 0
    """Done share of the stage, 0 … 1."""
    parameters: DenoiseParameters
    model: str | None = None
    """NAME@VERSION that was used."""
    input: FileSchema
    result: FileSchema | None = None
    error: ErrorSchema | None = None
    report: dict[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINISHED_STATES

    def to_hash(self) -> dict[str, str]:
        """The fields of the record, each as JSON; fields without a value are left out."""
        return {name: json.dumps(value) for name, value in self.model_dump(mode="json", exclude_none=True).items()}

    @classmethod
    def from_hash(cls, fields: dict[str, str]) -> Self:
        """Undo `to_hash`."""
        return cls.model_validate({name: json.loads(value) for name, value in fields.items()})

    def to_schema(self) -> JobSchema:
        """As its owner sees it."""
        links = {"self": f"/jobs/{self.id}", "events": f"/jobs/{self.id}/events"}
        if self.state == "succeeded":
            links["result"] = f"/jobs/{self.id}/result"
        times = {
            name: None if value is None else datetime.fromtimestamp(value, UTC)
            for name, value in self.model_dump(include={"created_at", "started_at", "finished_at"}).items()
        }
        shown = self.model_dump(include=set(JobSchema.model_fields) - {"links"} - set(times))
        return JobSchema.model_validate({**shown, **times, "links": links})


def new_job_id() -> str:
    """An id that nobody can guess."""
    return secrets.token_hex(16)


def job_key(job_id: str) -> str:
    """The Redis key of a job's record."""
    return f"ps:job:{job_id}"


def connect_redis(settings: Settings) -> Redis:
    """A client that gives up within seconds; nothing is sent before its first use."""
    return Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_connect_timeout=2,
        socket_timeout=5,
        health_check_interval=25,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
    )


def blob_key(sha256: str) -> str:
    """The Redis key of the jobs that refer to a blob."""
    return f"ps:blob:{sha256}"


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise BrokerUnavailableError("the job store cannot be reached", detail=str(error)) from error


Decision = Callable[[Job, float], dict[str, Any] | None]
"""Given a record and the time: the fields to change, or None to leave it alone; may raise."""


class JobStore:
    """All job records.

    Every method raises BrokerUnavailableError when Redis cannot be reached, and JobNotFoundError for an unknown id.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    def check(self) -> None:
        """Ask Redis for a sign of life."""
        with _redis_errors():
            self._redis.ping()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def check_capacity(self) -> None:
        """Raise QueueFullError if no more jobs are taken."""
        if self.count_queued() >= self._settings.max_queued_jobs:
            raise QueueFullError(f"{self._settings.max_queued_jobs} jobs wait already; try again later")

    def create(self, job: Job) -> Job:
        """Write a new record, its times set; a message is to be published right after."""
        with _redis_errors(), self._redis.pipeline() as pipeline:
            now = self._now()
            created = job.model_copy(update={"created_at": now, "published_at": now})
            _write(pipeline, created)
            pipeline.execute()
        return created

    def get(self, job_id: str) -> Job:
        """Read a record."""
        with _redis_errors():
            return _parse(job_id, self._redis.hgetall(job_key(job_id)))

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
                "lease_until": now + self._settings.lease_s,
                "stage": "",
                "progress": 0,
            }

        job = self._change(job_id, decide)
        return job if job and job.state == "running" else None

    def renew(self, job: Job, stage: str, progress: float) -> Job:
        """Extend our lease and show how far the work is.

        Raises:
            LeaseLostError: The job is no longer ours.
        """

        def decide(current: Job, now: float) -> dict[str, Any]:
            _check_ours(current, job)
            return {"lease_until": now + self._settings.lease_s, "stage": stage, "progress": progress}

        return self._change_ours(job, decide)

    def check_ours(self, job: Job) -> None:
        """Raise LeaseLostError if the job was cancelled or given to another attempt; cheap."""
        with _redis_errors():
            state, attempt = self._redis.hmget(job_key(job.id), ["state", "attempt"])
        if (state, attempt) != (json.dumps("running"), json.dumps(job.attempt)):
            raise LeaseLostError(f"job {job.id} is no longer attempt {job.attempt}'s")

    def succeed(self, job: Job, *, result: FileSchema, model: str, report: dict[str, Any]) -> Job:
        """Publish our attempt's result.

        Raises:
            LeaseLostError: The job is no longer ours; the result counts for nothing.
        """

        def decide(current: Job, now: float) -> dict[str, Any]:
            _check_ours(current, job)
            done = {"state": "succeeded", "stage": "done", "progress": 1, "finished_at": now, "lease_until": None}
            return {**done, "result": result, "model": model, "report": report}

        return self._change_ours(job, decide)

    def fail(self, job: Job, error: PhotositeError) -> Job:
        """Publish that our attempt failed for good.

        Raises:
            LeaseLostError: The job is no longer ours.
        """

        def decide(current: Job, now: float) -> dict[str, Any]:
            _check_ours(current, job)
            return _failure(current, now, error)

        return self._change_ours(job, decide)

    def release(self, job: Job, error: PhotositeError) -> Job:
        """Give our attempt up for another one later; without attempts left the job fails with `error`.

        Raises:
            LeaseLostError: The job is no longer ours.
        """

        def decide(current: Job, now: float) -> dict[str, Any]:
            _check_ours(current, job)
            return self._retry(current, now, error)

        return self._change_ours(job, decide)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; a worker that runs it stops at its next tile.

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

    def requeue_lapsed(self) -> list[Job]:
        """Put running jobs whose lease has lapsed back into the queue, or fail them after their last attempt.

        Returns:
            Those that are queued again; each needs a message.
        """

        def decide(job: Job, now: float) -> dict[str, Any] | None:
            return self._retry(job, now, _lost(job)) if job.state == "running" and _lapsed(job, now) else None

        with _redis_errors():
            lapsed = self._redis.zrange(RUNNING_KEY, "-inf", self._now(), byscore=True)
        return self._change_all(lapsed, decide)

    def renew_messages(self) -> list[Job]:
        """Take queued jobs whose last message is old enough to count as lost.

        Returns:
            Those for which a new message is due; no other process gets the same ones.
        """

        def decide(job: Job, now: float) -> dict[str, Any] | None:
            old = job.published_at <= now - self._settings.republish_after_s
            return {"published_at": now} if job.state == "queued" and old else None

        with _redis_errors():
            latest = self._now() - self._settings.republish_after_s
            old = self._redis.zrange(QUEUED_KEY, "-inf", latest, byscore=True)
        return self._change_all(old, decide)

    def count_queued(self) -> int:
        """Jobs that wait."""
        with _redis_errors():
            return self._redis.zcard(QUEUED_KEY)

    def count_running(self) -> int:
        """Jobs that run."""
        with _redis_errors():
            return self._redis.zcard(RUNNING_KEY)

    def announce_blob(self, sha256: str) -> None:
        """Note a blob that is about to appear: should no job come to refer to it, the sweep deletes it."""
        with _redis_errors():
            self._redis.zadd(LOOSE_KEY, {sha256: self._now()})

    def loose_blobs(self) -> dict[str, float]:
        """Blobs that may be unused, and since when: long enough for a request to have made its record."""
        with _redis_errors():
            latest = self._now() - self._settings.blob_grace_s
            loose: list[Any] = self._redis.zrange(LOOSE_KEY, "-inf", latest, byscore=True, withscores=True)
        return dict(loose)

    def is_unused(self, sha256: str, since: float) -> bool:
        """Whether no job refers to a blob, and none has been announced that may."""
        with _redis_errors():
            return self._redis.zscore(LOOSE_KEY, sha256) == since and not self._redis.exists(blob_key(sha256))

    def forget_loose(self, sha256: str) -> None:
        """Note that a blob is in use or gone."""
        with _redis_errors():
            self._redis.zrem(LOOSE_KEY, sha256)

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def _retry(self, job: Job, now: float, error: PhotositeError) -> dict[str, Any]:
        if job.attempt >= self._settings.max_attempts:
            return _failure(job, now, error)
        return {"state": "queued", "published_at": now, "lease_until": None, "stage": "", "progress": 0}

    def _change(self, job_id: str, decide: Decision) -> Job | None:
        """Compare and set; None where `decide` left the record alone."""
        key = job_key(job_id)
        with _redis_errors(), self._redis.pipeline() as pipeline:
            while True:
                pipeline.watch(key)  # type: ignore[no-untyped-call]
                job = _parse(job_id, self._redis.hgetall(key))
                changes = decide(job, self._now())
                if changes is None:
                    return None
                changed = job.model_copy(update=changes)
                pipeline.multi()
                _write(pipeline, changed)
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                return changed

    def _change_ours(self, job: Job, decide: Callable[[Job, float], dict[str, Any]]) -> Job:
        return cast("Job", self._change(job.id, decide))

    def _change_all(self, job_ids: list[Any], decide: Decision) -> list[Job]:
        changed = [self._change(str(job_id), decide) for job_id in job_ids]
        return [job for job in changed if job and job.state == "queued"]


def _parse(job_id: str, fields: dict[Any, Any]) -> Job:
    if not fields:
        raise JobNotFoundError(f"there is no job {job_id}")
    return Job.from_hash(fields)


def _write(pipeline: "Pipeline", job: Job) -> None:
    """Queue the commands that write a record and keep both indexes in step with it."""
    fields: dict[Any, Any] = job.to_hash()
    pipeline.delete(job_key(job.id))
    pipeline.hset(job_key(job.id), mapping=fields)
    pipeline.zrem(QUEUED_KEY, job.id)
    pipeline.zrem(RUNNING_KEY, job.id)
    if job.state == "queued":
        pipeline.zadd(QUEUED_KEY, {job.id: job.published_at})
    if job.lease_until is not None:
        pipeline.zadd(RUNNING_KEY, {job.id: job.lease_until})
    _refer_to_blobs(pipeline, job)


def _refer_to_blobs(pipeline: "Pipeline", job: Job) -> None:
    """A job holds its upload until it fails or is cancelled, and its result."""
    if job.state in {"failed", "cancelled"}:
        pipeline.srem(blob_key(job.input.sha256), job.id)
        pipeline.zadd(LOOSE_KEY, {job.input.sha256: job.finished_at or 0})
    else:
        pipeline.sadd(blob_key(job.input.sha256), job.id)
    if job.result:
        pipeline.sadd(blob_key(job.result.sha256), job.id)


def _lapsed(job: Job, now: float) -> bool:
    return job.lease_until is None or job.lease_until < now


def _lost(job: Job) -> WorkerLostError:
    return WorkerLostError(f"the process that worked on it ended, {job.attempt} times in a row")


def _failure(job: Job, now: float, error: PhotositeError) -> dict[str, Any]:
    remembered = ErrorSchema(code=error.code, message=error.message)
    return {"state": "failed", "finished_at": now, "lease_until": None, "stage": job.stage, "error": remembered}


def _check_ours(current: Job, job: Job) -> None:
    if current.state != "running" or current.attempt != job.attempt:
        raise LeaseLostError(f"job {job.id} is no longer attempt {job.attempt}'s")
