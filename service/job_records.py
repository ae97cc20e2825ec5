"""Where jobs lie in Redis: the record's form, its key, and every index that is kept in step with it.

In the flow: jobs (decides) → **job_records** (writes) → Redis.

Keys, all beginning with `ps:`
    `job:{id}`                    the record, a hash of JSON values
    `queued:{queue}`              ids by the time of their last message
    `waiting:{tenant}`            ids of a tenant's queued jobs by the same
    `line:…`, `turns:…`           whose turn it is: `lines.py`
    `running`                     ids by `lease_until`
    `finished`                    ids by `finished_at`, for retention
    `pace:{queue}`                when its last jobs finished, newest first
    `jobs:{tenant}`               ids by `created_at`, for listing
    `batch:{tenant}:{batch}`      the same of one batch
    `idempotency:{tenant}:{digest}`  what a client's Idempotency-Key stands for: "FINGERPRINT JOB"
    `blob:{tenant}/{sha256}`      who refers to a blob: ids of jobs, of captures, of uploads and of pictures
    `pictures:{tenant}/{sha256}`  what was rendered of a blob: each picture's file by the digest of its request
    `upload:{tenant}:{id}`        which blob the content of a complete upload is, once it was looked at
    `looked:{tenant}/{sha256}`    the same digests by the time of the last look
    `loose`                       blobs by the time since which maybe nobody does
    `sizes:{tenant}`              bytes of each of its blobs, and of each resumable upload as `upload:{id}`
"""

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import NewerRecordError
from service.lines import leave_line, line_up, take_turn
from service.schemas import (
    FINISHED_STATES,
    BatchSchema,
    ErrorSchema,
    FileSchema,
    JobKind,
    JobParameters,
    JobSchema,
    JobState,
)
from service.storage import BlobKey
from service.webhooks import queue_delivery

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

QUEUE_BY_KIND: dict[JobKind, str] = {
    "describe": "preview",
    "denoise": "denoise",
    "finetune": "finetune",
    "validate": "validate",
}
SCHEMA_VERSION = 1
"""Of records. Versions next to each other run side by side: raise it only for what an older worker would do wrongly."""
RUNNING_KEY = "ps:running"
FINISHED_KEY = "ps:finished"
LOOSE_KEY = "ps:loose"
PACE_LENGTH = 32
LOCAL_TENANT = "local"
"""Who uses a service that asks nobody for a key."""


class Job(BaseModel):
    """One job, as its record has it; times are seconds since 1970 by the Redis server's clock."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)  # what a newer version added

    schema_version: int = SCHEMA_VERSION
    """Version of this form; larger where an older version of the service would do the job wrongly."""
    id: str
    tenant: str = LOCAL_TENANT
    """Whose it is."""
    kind: JobKind = "denoise"
    traceparent: str | None = None
    """The span of the request that handed it in, where requests are traced."""
    batch: str | None = None
    """What its owner called the jobs that it belongs to."""
    webhook: str | None = None
    """Where its owner wants to be told of its end."""
    priority: int = 0
    """Within its queue; 0 comes first."""
    state: JobState = "queued"
    revision: int = 0
    """Times it has been changed."""
    attempt: int = 0
    """Times it has been started; the number of the attempt that owns it while it runs."""
    created_at: float = 0
    published_at: float = 0
    """When its last message was sent."""
    rests_until: float | None = None
    """Before which it is not tried again, where an attempt was given up."""
    started_at: float | None = None
    """When its present or last attempt began."""
    finished_at: float | None = None
    lease_until: float | None = None
    """Until when it belongs to its attempt; none unless it runs."""
    stage: str = ""
    progress: float = 0
    """Done share of the stage, 0 … 1."""
    figures: dict[str, Any] = {}
    """Of the work in progress: a training's step and loss, the seconds that are left."""
    parameters: JobParameters
    model: str | None = None
    """NAME@VERSION that was used, or made."""
    input: FileSchema | None = None
    """The upload, for as long as the result is kept."""
    inputs: tuple[FileSchema, ...] = ()
    """Captures that it learns from, until it is finished."""
    result: FileSchema | None = None
    files: dict[str, FileSchema] = {}
    """What else there is to download, by name."""
    error: ErrorSchema | None = None
    report: dict[str, Any] | None = None

    @property
    def queue(self) -> str:
        """Which queue its messages go to."""
        return QUEUE_BY_KIND[self.kind]

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINISHED_STATES

    @property
    def blobs(self) -> set[BlobKey]:
        """All blobs that it needs at one time or another."""
        found = [self.input, *self.inputs, self.result, *self.files.values()]
        return {BlobKey(self.tenant, file.sha256) for file in found if file}

    @property
    def held_blobs(self) -> set[BlobKey]:
        """Those that it needs now."""
        if self.state in {"failed", "cancelled"}:
            return set()
        return self.model_copy(update={"inputs": ()}).blobs if self.finished else self.blobs

    def to_hash(self) -> dict[str, str]:
        """The fields of the record, each as JSON; fields without a value are left out."""
        return {name: json.dumps(value) for name, value in self.model_dump(mode="json", exclude_none=True).items()}

    @classmethod
    def from_hash(cls, fields: dict[str, str]) -> Self:
        """Undo `to_hash`; fields that are not known here are kept, and written back.

        Raises:
            NewerRecordError: It is of a newer form, or asks for something that is not known here.
        """
        if int(fields.get("schema_version", SCHEMA_VERSION)) > SCHEMA_VERSION:
            raise NewerRecordError("the job was handed in to a newer version of the service")
        try:
            return cls.model_validate({name: json.loads(value) for name, value in fields.items()})
        except ValidationError as error:
            raise NewerRecordError("the job asks for what a newer version knows", detail=str(error)) from error

    def to_schema(self) -> JobSchema:
        """As its owner sees it."""
        links = {"self": f"/jobs/{self.id}", "events": f"/jobs/{self.id}/events"}
        if self.result:
            links["result"] = f"/jobs/{self.id}/result"
        links |= {name: f"/jobs/{self.id}/files/{name}" for name in self.files}
        times = {
            name: None if value is None else datetime.fromtimestamp(value, UTC)
            for name, value in self.model_dump(include={"created_at", "started_at", "finished_at"}).items()
        }
        shown = self.model_dump(include=set(JobSchema.model_fields) - {"links"} - set(times))
        return JobSchema.model_validate({**shown, **times, "links": links})


def describe_batch(batch: str, jobs: list[Job]) -> BatchSchema:
    """A batch as its owner sees it."""
    done = sum(1.0 if job.finished else job.progress * (job.state == "running") for job in jobs)
    return BatchSchema(
        id=batch,
        total=len(jobs),
        states=dict(Counter(job.state for job in jobs)),
        progress=done / len(jobs),
        finished=all(job.finished for job in jobs),
        links={"jobs": f"/jobs?batch={batch}"},
    )


def new_job_id() -> str:
    """An id that nobody can guess."""
    return secrets.token_hex(16)


def job_key(job_id: str) -> str:
    """A job's record."""
    return f"ps:job:{job_id}"


def queued_key(queue: str) -> str:
    """The jobs that wait in a queue."""
    return f"ps:queued:{queue}"


def waiting_key(tenant: str) -> str:
    """The jobs of a tenant that wait."""
    return f"ps:waiting:{tenant}"


def pace_key(queue: str) -> str:
    """When a queue's last jobs finished."""
    return f"ps:pace:{queue}"


def list_key(tenant: str) -> str:
    """All jobs of a tenant."""
    return f"ps:jobs:{tenant}"


def batch_key(tenant: str, batch: str) -> str:
    """All jobs of a batch."""
    return f"ps:batch:{tenant}:{batch}"


def idempotency_key(tenant: str, key: str) -> str:
    """What a client's Idempotency-Key stands for."""
    return f"ps:idempotency:{tenant}:{hashlib.sha256(key.encode()).hexdigest()}"


def blob_key(key: BlobKey) -> str:
    """Who refers to a blob."""
    return f"ps:blob:{key}"


def pictures_key(key: BlobKey) -> str:
    """What was rendered of a blob."""
    return f"ps:pictures:{key}"


def looked_key(key: BlobKey) -> str:
    """When it was looked at."""
    return f"ps:looked:{key}"


def picture_holder(digest: str) -> str:
    """What a picture is called among those who hold a blob."""
    return f"picture:{digest}"


def let_go_of_pictures(pipeline: "Pipeline", key: BlobKey, pictures: dict[str, str], now: float) -> None:
    """Queue the commands that forget what was rendered of a blob.

    Args:
        pipeline: Where they go.
        key: The blob.
        pictures: All that is kept at `pictures_key`.
        now: The time.
    """
    for digest, file in pictures.items():
        let_go(pipeline, BlobKey(key.tenant, FileSchema.model_validate_json(file).sha256), picture_holder(digest), now)
    pipeline.delete(pictures_key(key), looked_key(key))


def sizes_key(tenant: str) -> str:
    """Bytes of a tenant's blobs."""
    return f"ps:sizes:{tenant}"


def write(pipeline: "Pipeline", job: Job) -> None:
    """Queue the commands that write a record and keep every index in step with it."""
    fields: dict[Any, Any] = job.to_hash()
    pipeline.delete(job_key(job.id))
    pipeline.hset(job_key(job.id), mapping=fields)
    pipeline.zadd(list_key(job.tenant), {job.id: job.created_at})
    if job.batch:
        pipeline.zadd(batch_key(job.tenant, job.batch), {job.id: job.created_at})
    for key in (queued_key(job.queue), waiting_key(job.tenant), RUNNING_KEY):
        pipeline.zrem(key, job.id)
    leave_line(pipeline, job.queue, job.tenant, job.id)
    if job.state == "queued":
        since = job.rests_until or job.created_at
        line_up(pipeline, job.queue, job.tenant, job.id, priority=job.priority, since=since)
        pipeline.zadd(queued_key(job.queue), {job.id: job.published_at})
        pipeline.zadd(waiting_key(job.tenant), {job.id: job.published_at})
    if job.lease_until is not None:
        pipeline.zadd(RUNNING_KEY, {job.id: job.lease_until})
    if job.state == "running":
        take_turn(pipeline, job.queue, job.tenant, job.started_at or 0)
    if job.finished:
        pipeline.zadd(FINISHED_KEY, {job.id: job.finished_at or 0})
        queue_delivery(pipeline, job, job.finished_at or 0)
    if job.state == "succeeded":
        pipeline.lpush(pace_key(job.queue), str(job.finished_at))
        pipeline.ltrim(pace_key(job.queue), 0, PACE_LENGTH - 1)
    for blob in job.held_blobs:
        hold(pipeline, blob, job.id)
    for blob in job.blobs - job.held_blobs:
        let_go(pipeline, blob, job.id, job.finished_at or 0)


def write_progress(pipeline: "Pipeline", job: Job) -> None:
    """Queue the commands that write what a renewal changes of a running job, and no more: it may be long."""
    fields: dict[Any, Any] = job.to_hash()
    names = ("lease_until", "stage", "progress", "figures", "revision")
    pipeline.hset(job_key(job.id), mapping={name: fields[name] for name in names})
    pipeline.zadd(RUNNING_KEY, {job.id: job.lease_until or 0})


def erase(pipeline: "Pipeline", job: Job, now: float) -> None:
    """Queue the commands that undo `write`."""
    pipeline.delete(job_key(job.id))
    for key in (queued_key(job.queue), waiting_key(job.tenant), list_key(job.tenant), RUNNING_KEY, FINISHED_KEY):
        pipeline.zrem(key, job.id)
    leave_line(pipeline, job.queue, job.tenant, job.id)
    if job.batch:
        pipeline.zrem(batch_key(job.tenant, job.batch), job.id)
    for blob in job.blobs:
        let_go(pipeline, blob, job.id, now)


def hold(pipeline: "Pipeline", blob: BlobKey, holder: str) -> None:
    """Queue the command that keeps a blob for a job or a capture."""
    pipeline.sadd(blob_key(blob), holder)


def let_go(pipeline: "Pipeline", blob: BlobKey, holder: str, now: float) -> None:
    """Queue the commands that undo `hold`; the sweep deletes the blob if nobody else holds it."""
    pipeline.srem(blob_key(blob), holder)
    pipeline.zadd(LOOSE_KEY, {str(blob): now})


def read(redis: "Redis", job_id: str) -> Job | None:
    """Read a record; None if there is none.

    Raises:
        NewerRecordError: Only a newer version understands it.
    """
    fields = cast("dict[str, str]", redis.hgetall(job_key(job_id)))
    return Job.from_hash(fields) if fields else None


def read_all(redis: "Redis", job_ids: Sequence[str]) -> list[Job | None]:
    """Read records in one round trip; None for each that there is none of, or that only a newer version understands."""
    with redis.pipeline(transaction=False) as pipeline:
        for job_id in job_ids:
            pipeline.hgetall(job_key(job_id))
        records = cast("list[dict[str, str]]", pipeline.execute())
    return [_understood(fields) if fields else None for fields in records]


def _understood(fields: dict[str, str]) -> Job | None:
    try:
        return Job.from_hash(fields)
    except NewerRecordError:
        return None
