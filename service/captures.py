"""Captures: a tenant's own noisy raws, kept once by content until they are deleted.

In the flow: upload → blob → **capture** → describing job (camera, noise, thumbnail) → fine-tuning jobs.

A capture's id is the beginning of its content's SHA-256: what is sent twice is one capture. Keys in Redis:
`ps:capture:{tenant}:{id}` the record, one JSON value; `ps:captures:{tenant}` ids by `created_at`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict
from redis.exceptions import WatchError

from service.errors import NotFoundError
from service.job_records import Job, hold, job_key, let_go, new_job_id, read_all, write
from service.jobs import JobStore
from service.listing import Page, read_page
from service.redis_access import redis_errors
from service.schemas import CaptureSchema, CaptureState, DescribeParameters, ErrorSchema, FileSchema
from service.storage import BlobKey

ID_LENGTH = 32


class Capture(BaseModel):
    """One capture, as its record has it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    tenant: str
    file: FileSchema
    created_at: float
    """Seconds since 1970 by the Redis server's clock."""
    state: CaptureState = "pending"
    facts: dict[str, Any] | None = None
    """Camera, ISO, size, noise …, once a worker has looked at it."""
    thumbnail: FileSchema | None = None
    error: ErrorSchema | None = None
    """Why it cannot be used."""
    job: str | None = None
    """The job that looks at it."""

    @property
    def blobs(self) -> list[BlobKey]:
        """The blobs that it holds."""
        return [BlobKey(self.tenant, file.sha256) for file in (self.file, self.thumbnail) if file]

    @property
    def holder(self) -> str:
        """What it is called among those who hold a blob."""
        return f"capture:{self.id}"

    @classmethod
    def begin(cls, tenant: str, file: FileSchema, now: float) -> Self:
        """A capture that nobody has looked at yet."""
        return cls(id=file.sha256[:ID_LENGTH], tenant=tenant, file=file, created_at=now)

    def to_schema(self) -> CaptureSchema:
        """As its owner sees it."""
        links = {"self": f"/captures/{self.id}"}
        if self.thumbnail:
            links["thumbnail"] = f"/captures/{self.id}/thumbnail"
        facts = self.facts or {}
        return CaptureSchema(
            id=self.id,
            name=self.file.name,
            bytes=self.file.bytes,
            sha256=self.file.sha256,
            created_at=datetime.fromtimestamp(self.created_at, UTC),
            state=self.state,
            camera=facts.get("camera"),
            iso=facts.get("iso"),
            size=facts.get("size"),
            cfa_pattern=facts.get("cfa_pattern"),
            noise=facts.get("noise"),
            facts=self.facts,
            error=self.error,
            links=links,
        )


class CaptureStore:
    """All captures.

    Every method raises BrokerUnavailableError when Redis cannot be reached.
    """

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._redis = jobs.redis

    def create(self, tenant: str, file: FileSchema) -> tuple[Capture, Job | None]:
        """Write a new record, and that of the job that is to look at the capture.

        Args:
            tenant: Whose it is.
            file: Its blob, which is there already.

        Returns:
            The capture and its job, whose message is to be published right after; an earlier capture of the same
            content, and no job, if there is one.
        """
        with redis_errors(), self._redis.pipeline() as pipeline:
            while True:
                capture = Capture.begin(tenant, file, self._jobs.now())
                pipeline.watch(_record(tenant, capture.id))  # type: ignore[no-untyped-call]
                earlier = self._read(tenant, capture.id)
                if earlier:
                    return earlier, None
                job = Job(
                    id=new_job_id(),
                    tenant=tenant,
                    kind="describe",
                    created_at=capture.created_at,
                    published_at=capture.created_at,
                    parameters=DescribeParameters(capture=capture.id),
                    input=file,
                )
                capture = capture.model_copy(update={"job": job.id})
                pipeline.multi()
                _write(pipeline, capture)
                write(pipeline, job)
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                return capture, job

    def get(self, tenant: str, capture_id: str) -> Capture:
        """Read a tenant's record.

        Raises:
            NotFoundError: There is none, or it is another tenant's.
        """
        with redis_errors():
            capture = self._read(tenant, capture_id)
        if capture is None:
            raise NotFoundError(f"there is no capture {capture_id}")
        return capture

    def page(self, tenant: str, *, cursor: str | None, limit: int) -> Page[Capture]:
        """A tenant's captures, newest first.

        Args:
            tenant: Whose.
            cursor: Where an earlier page ended; None to begin.
            limit: How many at most.

        Raises:
            InvalidRequestError: The cursor is none of ours.
        """
        with redis_errors():
            return read_page(self._redis, _index(tenant), partial(self._read_all, tenant), cursor=cursor, limit=limit)

    def all(self, tenant: str) -> list[Capture]:
        """All captures of a tenant, oldest first."""
        with redis_errors():
            ids = cast("list[str]", self._redis.zrange(_index(tenant), 0, -1))
            return [capture for capture in self._read_all(tenant, ids) if capture]

    def change(self, job: Job, capture_id: str, **changes: Any) -> Capture | None:
        """Write what our attempt at a job has found out about a capture; None if it was deleted meanwhile.

        Raises:
            LeaseLostError: The job is no longer ours.
        """
        record = _record(job.tenant, capture_id)
        with redis_errors(), self._redis.pipeline() as pipeline:
            while True:
                pipeline.watch(record, job_key(job.id))  # type: ignore[no-untyped-call]
                self._jobs.get_ours(job)
                capture = self._read(job.tenant, capture_id)
                if capture is None:
                    return None
                changed = capture.model_copy(update=changes)
                pipeline.multi()
                _write(pipeline, changed)
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                return changed

    def delete(self, tenant: str, capture_id: str) -> Capture:
        """Erase a record; what nobody else holds of its blobs is deleted by the sweep.

        Raises:
            NotFoundError: There is none, or it is another tenant's.
        """
        capture = self.get(tenant, capture_id)
        with redis_errors(), self._redis.pipeline() as pipeline:
            now = self._jobs.now()
            pipeline.delete(_record(tenant, capture_id))
            pipeline.zrem(_index(tenant), capture_id)
            for blob in capture.blobs:
                let_go(pipeline, blob, capture.holder, now)
            pipeline.execute()
        return capture

    def _read(self, tenant: str, capture_id: str) -> Capture | None:
        return self._read_all(tenant, [capture_id])[0]

    def _read_all(self, tenant: str, capture_ids: Sequence[str]) -> list[Capture | None]:
        """Records in one round trip, and one more for those whose job may have ended without them."""
        if not capture_ids:
            return []
        texts = cast("list[str | None]", self._redis.mget([_record(tenant, each) for each in capture_ids]))
        captures = [None if text is None else Capture.model_validate_json(text) for text in texts]
        jobs = [str(each.job) for each in captures if each and each.state == "pending" and each.job]
        found = dict(zip(jobs, read_all(self._redis, jobs), strict=True))
        return [each and (_with_end_of(found[each.job], each) if each.job in found else each) for each in captures]


def _with_end_of(job: Job | None, capture: Capture) -> Capture:
    """A pending capture; unusable if the job that was to look at it failed or was cancelled: nobody will."""
    if job and job.state not in {"failed", "cancelled"}:
        return capture
    error = (job and job.error) or ErrorSchema(code="conflict", message="it was cancelled before it was looked at")
    return capture.model_copy(update={"state": "unusable", "error": error})


def _write(pipeline: Any, capture: Capture) -> None:
    pipeline.set(_record(capture.tenant, capture.id), capture.model_dump_json())
    pipeline.zadd(_index(capture.tenant), {capture.id: capture.created_at})
    for blob in capture.blobs:
        hold(pipeline, blob, capture.holder)


def _record(tenant: str, capture_id: str) -> str:
    return f"ps:capture:{tenant}:{capture_id}"


def _index(tenant: str) -> str:
    return f"ps:captures:{tenant}"
