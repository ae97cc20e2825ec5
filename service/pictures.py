"""Pictures of raws for the screen: asked for, made by a worker, kept beside the blob that they show.

In the flow: request for a preview → **ticket** → queue → worker renders → blob → **picture** → answer.

A picture is named by the digest of all that it depends on, so that it is made once and never changes. It is held for
as long as the blob that it shows, up to `MAX_PICTURES` of one blob, those looked at last. What is wanted and not there
stands on a ticket, which expires: nothing of it must survive a crash, who still wants the picture asks again. So it is
no job, and in no list of its owner's. Keys in Redis: `ps:render:{tenant}/{digest}` a ticket, a hash;
`ps:renders:{tenant}` the digests of a tenant's open tickets by their time; for those of pictures see `job_records.py`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, cast

from pydantic import BaseModel, ConfigDict
from redis.exceptions import WatchError

from service.errors import LeaseLostError, QuotaExceededError, WorkerLostError, error_of_code
from service.job_records import blob_key, hold, let_go, looked_key, picture_holder, pictures_key
from service.redis_access import redis_errors, server_time
from service.schemas import ErrorSchema, FileSchema
from service.storage import BlobKey
from training.raw.cells import SensorKind  # noqa: TC001  (pydantic needs it)

if TYPE_CHECKING:
    from redis import Redis

    from training.errors import PhotositeError

RENDERER_VERSION = 2
"""To be raised when the same request would give another picture."""
TICKET_S = 120
"""Seconds that a ticket stands; also how long it is remembered that a picture cannot be made."""
MAX_ATTEMPTS = 2
"""A picture that ends its worker's process is not tried for ever."""
MAX_TICKETS = 64
"""Pictures that a tenant may be waiting for."""
MAX_PICTURES = 256
"""Pictures that are kept of one blob."""

Crop = tuple[int, int, int, int]
"""x, y, width, height."""


class Treatment(BaseModel):
    """How a crop is denoised to be looked at."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    models: dict[SensorKind, str]
    """NAME@VERSION by the kind of sensor, which is known when the raw is decoded."""
    weights: str
    """Digests of their weights: a version that was deleted and made anew is another."""
    strength: float


class PictureRequest(BaseModel):
    """All that a picture depends on."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    source: str
    """SHA-256 of the raw whose rendering it gets: the one from the camera."""
    shown: str
    """SHA-256 of the raw that is to be seen."""
    what: Literal["picture", "facts"] = "picture"
    """Facts: what the file and its pixels say, as JSON, instead of a picture."""
    size: int = 0
    """Pixels of the longer side."""
    crop: Crop | None = None
    """In pixels of the whole picture at full size, turned; none: the whole."""
    treatment: Treatment | None = None
    """None: as it is."""

    @property
    def digest(self) -> str:
        """What names the picture."""
        return hashlib.sha256(f"{RENDERER_VERSION} {self.model_dump_json()}".encode()).hexdigest()


class Ticket(NamedTuple):
    """A picture that is wanted; its text is all that a message carries."""

    tenant: str
    digest: str

    def __str__(self) -> str:
        """TENANT/DIGEST."""
        return f"{self.tenant}/{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Undo `str`."""
        tenant, _, digest = text.partition("/")
        return cls(tenant, digest)


class PictureStore:
    """All pictures, and the tickets of those that are wanted.

    Every method raises BrokerUnavailableError when Redis cannot be reached.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def find(self, tenant: str, request: PictureRequest) -> FileSchema | None:
        """The picture's file; None if it has not been made."""
        shown = BlobKey(tenant, request.shown)
        with redis_errors():
            kept = cast("str | None", self._redis.hget(pictures_key(shown), request.digest))
            if kept is None:
                return None
            self._redis.zadd(looked_key(shown), {request.digest: server_time(self._redis)}, xx=True)
        return FileSchema.model_validate_json(kept)

    def ask(self, tenant: str, request: PictureRequest) -> Ticket | None:
        """Open a ticket.

        Returns:
            The ticket, whose message is to be published right after; None if it is open already.

        Raises:
            PhotositeError: What the picture failed with a moment ago.
            QuotaExceededError: The tenant waits for too many.
        """
        ticket = Ticket(tenant, request.digest)
        with redis_errors():
            failed = self.failure(ticket)
            if failed:
                raise failed
            now = server_time(self._redis)
            self._redis.zremrangebyscore(_open(tenant), "-inf", now - TICKET_S)
            if not self._redis.hsetnx(_record(ticket), "request", request.model_dump_json()):
                return None
            if self._redis.zcard(_open(tenant)) >= MAX_TICKETS:
                self._redis.delete(_record(ticket))
                raise QuotaExceededError(f"{MAX_TICKETS} pictures are being made for you already", retry_after_s=1)
            with self._redis.pipeline() as pipeline:
                pipeline.expire(_record(ticket), TICKET_S)
                pipeline.zadd(_open(tenant), {ticket.digest: now})
                pipeline.expire(_open(tenant), TICKET_S)
                pipeline.execute()
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Take a ticket back."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.delete(_record(ticket))
            pipeline.zrem(_open(ticket.tenant), ticket.digest)
            pipeline.execute()

    def failure(self, ticket: Ticket) -> PhotositeError | None:
        """Why the picture cannot be made; None if nothing is known against it."""
        with redis_errors():
            kept = cast("str | None", self._redis.hget(_record(ticket), "error"))
        if kept is None:
            return None
        error = ErrorSchema.model_validate_json(kept)
        return error_of_code(error.code, error.message)

    def take(self, ticket: Ticket) -> PictureRequest | None:
        """Begin to make a picture; None if nobody wants it any more, or it cannot be made."""
        with redis_errors():
            kept = cast("str | None", self._redis.hget(_record(ticket), "request"))
            if kept is None or self.failure(ticket):
                return None
            if self._redis.hincrby(_record(ticket), "attempts", 1) > MAX_ATTEMPTS:
                self.fail(ticket, WorkerLostError("the process that rendered it ended, again and again"))
                return None
        return PictureRequest.model_validate_json(kept)

    def give(self, ticket: Ticket, request: PictureRequest, file: FileSchema) -> None:
        """Keep a picture that was made, for as long as what it shows.

        Raises:
            LeaseLostError: What it shows was erased meanwhile; the sweep deletes the picture, which nobody holds.
        """
        shown, picture = BlobKey(ticket.tenant, request.shown), BlobKey(ticket.tenant, file.sha256)
        with redis_errors(), self._redis.pipeline() as pipeline:
            while True:
                pipeline.watch(blob_key(shown), pictures_key(shown))  # type: ignore[no-untyped-call]
                if not self._redis.exists(blob_key(shown)):
                    raise LeaseLostError(f"the blob {shown} is not held any more")
                oldest = self._oldest(shown)
                now = server_time(self._redis)
                pipeline.multi()
                pipeline.hset(pictures_key(shown), ticket.digest, file.model_dump_json())
                pipeline.zadd(looked_key(shown), {ticket.digest: now})
                hold(pipeline, picture, picture_holder(ticket.digest))
                for digest, sha256 in oldest.items():
                    pipeline.hdel(pictures_key(shown), digest)
                    pipeline.zrem(looked_key(shown), digest)
                    let_go(pipeline, BlobKey(ticket.tenant, sha256), picture_holder(digest), now)
                pipeline.delete(_record(ticket))
                pipeline.zrem(_open(ticket.tenant), ticket.digest)
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                return

    def fail(self, ticket: Ticket, error: PhotositeError) -> None:
        """Note on a ticket why its picture cannot be made."""
        remembered = ErrorSchema(code=error.code, message=error.message)
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.hset(_record(ticket), "error", remembered.model_dump_json())
            pipeline.expire(_record(ticket), TICKET_S)
            pipeline.zrem(_open(ticket.tenant), ticket.digest)
            pipeline.execute()

    def erase_tickets(self, tenant: str) -> None:
        """Erase all of a tenant's tickets."""
        with redis_errors():
            keys: list[Any] = list(self._redis.scan_iter(match=_record(Ticket(tenant, "*")), count=1000))
            self._redis.delete(_open(tenant), *keys)

    def _oldest(self, shown: BlobKey) -> dict[str, str]:
        """SHA-256 of each picture that has to make room for one more, by its digest."""
        surplus = self._redis.hlen(pictures_key(shown)) + 1 - MAX_PICTURES
        if surplus <= 0:
            return {}
        digests = cast("list[str]", self._redis.zrange(looked_key(shown), 0, surplus - 1))
        kept = cast("list[str | None]", self._redis.hmget(pictures_key(shown), digests))
        pairs = zip(digests, kept, strict=True)
        return {digest: FileSchema.model_validate_json(file).sha256 for digest, file in pairs if file}


def _record(ticket: Ticket) -> str:
    return f"ps:render:{ticket}"


def _open(tenant: str) -> str:
    return f"ps:renders:{tenant}"
