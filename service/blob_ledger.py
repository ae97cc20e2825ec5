"""The ledger of blobs: which there are, who needs them, what each tenant has stored.

In the flow: upload → **announced** → blob → held by a job or a capture → let go → **loose** → deleted by the sweep.

It is told of a blob before that appears on the disk, so that none is ever forgotten there. Who holds a blob is written
with the records of jobs and captures (`job_records.py`); the keys in Redis are described there.
"""

from contextlib import suppress
from typing import Any, cast

from redis import Redis
from redis.exceptions import WatchError

from service.job_records import (
    LOOSE_KEY,
    blob_key,
    hold,
    let_go,
    let_go_of_pictures,
    looked_key,
    pictures_key,
    sizes_key,
)
from service.redis_access import patiently, redis_errors, server_time
from service.schemas import FileSchema
from service.settings import Settings
from service.storage import Blob, BlobKey

_UPLOAD_PREFIX = "upload:"


class BlobLedger:
    """What is known of all blobs.

    Args:
        redis: The connection.
        settings: The service's settings.
        patience_s: Seconds for which whoever announces a blob waits for a Redis that is away.

    Every method raises BrokerUnavailableError when Redis cannot be reached.
    """

    def __init__(self, redis: Redis, settings: Settings, patience_s: float = 0) -> None:
        self._redis = redis
        self._settings = settings
        self._patience_s = patience_s

    def announce(self, blob: Blob) -> None:
        """Note a blob that is about to appear: should nothing come to refer to it, the sweep deletes it."""
        patiently(lambda: self._announce(blob), self._patience_s)

    def _announce(self, blob: Blob) -> None:
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.zadd(LOOSE_KEY, {str(blob.key): server_time(self._redis)})
            pipeline.hset(sizes_key(blob.key.tenant), blob.key.sha256, blob.bytes)
            pipeline.execute()

    def loose(self) -> dict[BlobKey, float]:
        """Blobs that may be unused, and since when: long enough for a request to have made its record."""
        with redis_errors():
            latest = server_time(self._redis) - self._settings.blob_grace_s
            loose: list[Any] = self._redis.zrange(LOOSE_KEY, "-inf", latest, byscore=True, withscores=True)
        return {BlobKey.parse(name): since for name, since in loose}

    def is_unused(self, key: BlobKey, since: float) -> bool:
        """Whether nothing refers to a blob, and none has been announced that may."""
        with redis_errors():
            return self._redis.zscore(LOOSE_KEY, str(key)) == since and not self._redis.exists(blob_key(key))

    def forget(self, key: BlobKey, since: float) -> None:
        """Note that a blob is in use or gone, with its pictures; one that was announced again meanwhile stays noted."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.watch(LOOSE_KEY, blob_key(key), pictures_key(key))  # type: ignore[no-untyped-call]
            if self._redis.zscore(LOOSE_KEY, str(key)) != since:
                return
            used = self._redis.exists(blob_key(key))
            pictures = cast("dict[str, str]", self._redis.hgetall(pictures_key(key)))
            now = server_time(self._redis)
            pipeline.multi()
            pipeline.zrem(LOOSE_KEY, str(key))
            if not used:
                pipeline.hdel(sizes_key(key.tenant), key.sha256)
                let_go_of_pictures(pipeline, key, pictures, now)
            with suppress(WatchError):  # it is looked at again in the next sweep
                pipeline.execute()

    def release_all(self, tenant: str) -> dict[BlobKey, float]:
        """Let go of all of a tenant's blobs, whoever held them.

        Returns:
            Each of them, and since when nobody needs it: now.
        """
        with redis_errors(), self._redis.pipeline() as pipeline:
            fields = cast("list[str]", self._redis.hkeys(sizes_key(tenant)))
            kept = [f"{tenant}/{sha256}" for sha256 in fields if not sha256.startswith(_UPLOAD_PREFIX)]
            loose = [name for name, _ in self._redis.zscan_iter(LOOSE_KEY, match=f"{tenant}/*", count=1000)]
            now = server_time(self._redis)
            found = {BlobKey.parse(name): now for name in {*kept, *loose}}
            for key in found:
                pipeline.delete(blob_key(key), pictures_key(key), looked_key(key))
                pipeline.zadd(LOOSE_KEY, {str(key): now})
            pipeline.execute()
        return found

    def reserve_upload(self, tenant: str, upload_id: str, size: int) -> None:
        """Count a resumable upload with all the bytes that it is going to have."""
        with redis_errors():
            self._redis.hset(sizes_key(tenant), _upload_field(upload_id), str(size))

    def release_upload(self, tenant: str, upload_id: str) -> None:
        """Count a resumable upload no more, and let go of its blob; harmless if there was nothing of it."""
        file = self.blob_of_upload(tenant, upload_id)
        with redis_errors(), self._redis.pipeline() as pipeline:
            now = server_time(self._redis)
            pipeline.hdel(sizes_key(tenant), _upload_field(upload_id))
            pipeline.delete(_upload_key(tenant, upload_id))
            if file:
                let_go(pipeline, BlobKey(tenant, file.sha256), _upload_field(upload_id), now)
            pipeline.execute()

    def hold_for_upload(self, tenant: str, upload_id: str, file: FileSchema) -> None:
        """Keep a complete upload's content for as long as the upload is there; it is counted as a blob from now on."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.hdel(sizes_key(tenant), _upload_field(upload_id))
            pipeline.set(_upload_key(tenant, upload_id), file.model_dump_json())
            hold(pipeline, BlobKey(tenant, file.sha256), _upload_field(upload_id))
            pipeline.execute()

    def blob_of_upload(self, tenant: str, upload_id: str) -> FileSchema | None:
        """An upload's content, where it is a blob already."""
        with redis_errors():
            kept = cast("str | None", self._redis.get(_upload_key(tenant, upload_id)))
        return FileSchema.model_validate_json(kept) if kept else None

    def stored_bytes(self, tenant: str) -> int:
        """What a tenant's blobs take, and its resumable uploads will."""
        with redis_errors():
            return sum(int(size) for size in cast("list[str]", self._redis.hvals(sizes_key(tenant))))


def _upload_key(tenant: str, upload_id: str) -> str:
    """Which blob an upload's content is."""
    return f"ps:upload:{tenant}:{upload_id}"


def _upload_field(upload_id: str) -> str:
    """What a resumable upload is called among the sizes of blobs, and among those who hold one."""
    return f"{_UPLOAD_PREFIX}{upload_id}"
