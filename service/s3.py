"""Blobs in a bucket of Amazon S3, or of anything that speaks its protocol.

In the flow: upload → **blob** → job → … → write_dng → **blob** → result; chosen by `PHOTOSITE_BLOBS_URL`.

A blob is written and hashed in a local folder and goes to the bucket on `commit`, in parts where it is large; an object
appears there completely or not at all. Who reads one gets a local copy, which is kept for the next time: names are
digests, so that a copy can never be out of date. The only file that imports boto3.

Objects: `PREFIX/tenants/NAME/SHA256` the blobs; `PREFIX/aside/…` those that are being deleted; `PREFIX/checks/…`.

Source: Amazon S3 API reference, version 2006-03-01; its consistency model (a read sees every write that was answered).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from service.blob_cache import BlobCache
from service.errors import ResultExpiredError, StorageUnavailableError
from service.storage import LocalBlobStore, LocalBlobWriter, storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from service.settings import Settings
    from service.storage import Announce, Blob, BlobKey, BlobWriter

MIB = 1024 * 1024
TRANSFER = TransferConfig(multipart_threshold=64 * MIB, multipart_chunksize=16 * MIB, max_concurrency=4)
READ_BYTES = MIB
ATTEMPTS = 3
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 3, 30
CLEANING_INTERVAL_S = 3600.0
_MISSING_CODES = frozenset({"NoSuchKey", "404"})


@contextmanager
def _s3_errors() -> Iterator[None]:
    """The library's errors as ours."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _MISSING_CODES:
            raise ResultExpiredError("the file is not kept any more", detail=str(error)) from error
        raise StorageUnavailableError("the blob store refuses to work", detail=str(error)) from error
    except (BotoCoreError, Boto3Error) as error:
        raise StorageUnavailableError("the blob store cannot be reached", detail=str(error)) from error


def connect(settings: Settings) -> Any:
    """A client that gives up within a minute; nothing is sent before its first use.

    Credentials come from where boto3 looks for them: its environment variables, its files, the machine's role.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        max_pool_connections=32,
        # Other makers' servers have one address for all buckets, and know only the checksums that must be there.
        s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with _s3_errors():
        return Session().client(
            "s3", endpoint_url=settings.s3_endpoint_url, region_name=settings.s3_region, config=config
        )


class S3BlobStore:
    """Blobs in a bucket.

    Args:
        client: boto3's client.
        bucket: The bucket; it must exist.
        prefix: What all names of objects begin with, empty or ending in "/".
        folder: Local folder of what is being written, and of copies.
        cache_bytes: What the copies may take.
        announce: Told of a blob just before it appears.
    """

    def __init__(
        self, client: Any, *, bucket: str, prefix: str, folder: Path, cache_bytes: int, announce: Announce
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._folder = folder
        self._cache = BlobCache(folder, cache_bytes)
        self._announce = announce
        self._check_name = f"{prefix}checks/{secrets.token_hex(16)}"
        self._cleaned_at = -CLEANING_INTERVAL_S

    def writer(self, tenant: str) -> BlobWriter:
        """Begin a new blob of a tenant's."""
        # A local writer announces a file before it moves it into its folder: here, the cache. That is when it goes out.
        writer = LocalBlobWriter(self._folder, tenant, lambda blob: self._publish(blob, writer.path))
        return writer

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for files in the making, gone afterwards."""
        return self._local(_announce_nothing).scratch()

    def keep(self, path: Path, tenant: str) -> Blob:
        """Make a file from a `scratch` folder a tenant's blob; it is moved into the cache."""
        return self._local(lambda blob: self._publish(blob, path)).keep(path, tenant)

    def local_path(self, key: BlobKey) -> Path:
        """A copy of the blob, to be read only.

        Raises:
            ResultExpiredError: There is no such blob (any more).
        """
        path = self._cache.find(key)
        if path and self._exists(key):
            return path
        self._cache.remove(key)
        with self.scratch() as folder:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._download(key, folder / "blob")
                except StorageUnavailableError:
                    if attempt == ATTEMPTS:
                        raise
                else:
                    break
            return self._cache.add(folder / "blob", key)

    def remove(self, key: BlobKey, still_unused: Callable[[], bool]) -> None:
        """Delete a blob that nobody uses: see `BlobStore.remove`."""
        name, aside = self._name(key), f"{self._prefix}aside/{secrets.token_hex(16)}"
        self._cache.remove(key)
        try:
            self._copy(name, aside)
        except ResultExpiredError:
            return
        self._delete(name)
        if not still_unused():
            self._copy(aside, name)
        self._delete(aside)

    def check(self) -> None:
        """Raise StorageUnavailableError if blobs cannot be written or read, here or in the bucket."""
        self._local(_announce_nothing).check()
        content = secrets.token_bytes(16)
        with _s3_errors():
            self._client.put_object(Bucket=self._bucket, Key=self._check_name, Body=content)
            answer = self._client.get_object(Bucket=self._bucket, Key=self._check_name)
            with closing(answer["Body"]) as body:
                read = body.read(2 * len(content))
        self._delete(self._check_name)
        if read != content:
            raise StorageUnavailableError("the blob store gives back something else than it was given")

    def remove_unlocked(self, older_than_s: float) -> int:
        """Delete what a process on this machine left unfinished when it died; returns how many there were."""
        return self._local(_announce_nothing).remove_unlocked(older_than_s)

    def remove_abandoned(self, older_than_s: float) -> int:
        """Delete what was begun so long ago that its process must have died, here, and now and then in the bucket.

        Returns:
            How many there were.
        """
        removed = self._local(_announce_nothing).remove_abandoned(older_than_s)
        if time.monotonic() - self._cleaned_at < CLEANING_INTERVAL_S:
            return removed
        self._cleaned_at = time.monotonic()
        self._cache.make_room(0)
        oldest = datetime.now(UTC) - timedelta(seconds=older_than_s)
        return removed + self._remove_objects_aside(oldest) + self._abort_uploads(oldest)

    def _local(self, announce: Announce) -> LocalBlobStore:
        return LocalBlobStore(self._folder, announce)

    def _publish(self, blob: Blob, path: Path) -> None:
        """Announce a blob and let it appear in the bucket; afterwards its file goes into the cache."""
        self._announce(blob)
        self._cache.make_room(blob.bytes)
        with _s3_errors(), storage_errors():
            self._client.upload_file(str(path), self._bucket, self._name(blob.key), Config=TRANSFER)

    def _download(self, key: BlobKey, path: Path) -> None:
        digest = hashlib.sha256()
        with _s3_errors(), storage_errors(), path.open("wb") as file:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            with closing(answer["Body"]) as body:
                while data := body.read(READ_BYTES):
                    digest.update(data)
                    file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a copy that a power cut left half would be served for the blob
        if digest.hexdigest() != key.sha256:
            raise StorageUnavailableError("the blob store gave back something else than it was given", detail=str(key))

    def _name(self, key: BlobKey) -> str:
        return f"{self._prefix}tenants/{key}"

    def _exists(self, key: BlobKey) -> bool:
        try:
            with _s3_errors():
                self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        except ResultExpiredError:
            return False
        return True

    def _copy(self, name: str, target: str) -> None:
        """Copy an object within the bucket."""
        with _s3_errors():
            self._client.copy({"Bucket": self._bucket, "Key": name}, self._bucket, target, Config=TRANSFER)

    def _delete(self, name: str) -> None:
        with _s3_errors():
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def _remove_objects_aside(self, oldest: datetime) -> int:
        with _s3_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}aside/"
            )
            old = [
                found["Key"] for page in pages for found in page.get("Contents", []) if found["LastModified"] < oldest
            ]
        for name in old:
            self._delete(name)
        return len(old)

    def _abort_uploads(self, oldest: datetime) -> int:
        """Parts of uploads that were never completed are invisible, but cost their room."""
        with _s3_errors():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}tenants/"
            )
            old = [found for page in pages for found in page.get("Uploads", []) if found["Initiated"] < oldest]
            for upload in old:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(old)


def _announce_nothing(_blob: Blob) -> None:
    """For what stays on this machine."""
