"""Resumable uploads: what has come of a file so far, on this host's disk, until it is complete and used.

In the flow: pieces → **part** → (complete) → blob → job.

An upload is a folder, `TENANT/ID/`, with
    `part`          what has come; its size is the offset, there is no counter that could say anything else
    `upload.json`   what was said when it was begun; written last and deleted first: without it there is no upload
    `unverified`    while a piece with a checksum comes: the offset that counts until that is checked

Whoever changes an upload holds a lock on its part (flock), which the system takes from a process that dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol, Self

from service.errors import NotFoundError, QuotaExceededError, UploadBusyError, UploadConflictError
from service.storage import move, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.storage import Blob, BlobStore

MAX_UPLOADS_PER_TENANT = 1000
_PART = "part"
_RECORD = "upload.json"
_UNVERIFIED = "unverified"


class Ledger(Protocol):
    """Who counts what a tenant has stored."""

    def reserve_upload(self, tenant: str, upload_id: str, size: int) -> None:
        """Count an upload with all the bytes that it is going to have."""

    def release_upload(self, tenant: str, upload_id: str) -> None:
        """Undo `reserve_upload`; harmless if that was done already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadRecord:
    """What was said of an upload when it was begun."""

    id: str
    tenant: str
    name: str
    """The file's name, made safe."""
    length: int
    """Bytes that it is going to have."""
    metadata: str
    """The client's own words on it, as it sent them."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the record of an upload.

        Raises:
            NotFoundError: There is none.
        """
        try:
            return cls(**json.loads((folder / _RECORD).read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise _not_found(folder.name) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadState:
    """How far an upload is."""

    record: UploadRecord
    offset: int
    """Bytes that are here, durably."""
    expires_at: float
    """When it is deleted if nothing more comes; seconds since 1970 by this host's clock."""


class ResumableUploads:
    """All resumable uploads of this host.

    Every method raises StorageUnavailableError where the disk fails.

    Args:
        root: Their folder; best on the blobs' own disk, since a complete upload becomes one without being copied then.
        ledger: Told of every upload's size.
        expiry_s: Seconds of idleness after which an upload is deleted.
    """

    def __init__(self, root: Path, ledger: Ledger, expiry_s: float) -> None:
        self._root = root
        self._ledger = ledger
        self._expiry_s = expiry_s

    def create(self, tenant: str, *, name: str, length: int, metadata: str = "") -> UploadState:
        """Begin an upload.

        Raises:
            QuotaExceededError: The tenant has begun too many.
        """
        record = UploadRecord(id=secrets.token_hex(16), tenant=tenant, name=name, length=length, metadata=metadata)
        folder = self._folder(tenant, record.id)
        with storage_errors():
            if len(list(folder.parent.glob("*"))) >= MAX_UPLOADS_PER_TENANT:
                raise QuotaExceededError("too many uploads were begun; complete or delete some", retry_after_s=600)
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(folder / _PART, "")
            self._write(folder / _RECORD, json.dumps(asdict(record)))
        self._ledger.reserve_upload(tenant, record.id, length)  # last: what nobody reserved is no harm, the sweep comes
        return self.state(tenant, record.id)

    def state(self, tenant: str, upload_id: str) -> UploadState:
        """How far an upload is; what that says has come will still be there after a crash.

        Raises:
            NotFoundError: There is none, or it is another tenant's.
        """
        folder = self._folder(tenant, upload_id)
        record = UploadRecord.load(folder)
        with _upload_errors(upload_id), (folder / _PART).open("rb") as part:
            os.fsync(part.fileno())
            status = os.fstat(part.fileno())
            unverified = _read_unverified(folder)
        offset = status.st_size if unverified is None else min(status.st_size, unverified)
        return UploadState(record=record, offset=offset, expires_at=status.st_mtime + self._expiry_s)

    def open(self, tenant: str, upload_id: str) -> OpenUpload:
        """Take an upload, to change or to use it; to be closed.

        Raises:
            NotFoundError: There is none, or it is another tenant's.
            UploadBusyError: Somebody else has taken it.
        """
        return OpenUpload(self._folder(tenant, upload_id))

    def remove(self, upload: OpenUpload) -> None:
        """Delete an upload that was taken."""
        record = upload.record
        self._ledger.release_upload(record.tenant, record.id)  # first: what is left after a crash expires
        upload.remove()

    def remove_all(self, tenant: str) -> int:
        """Delete all of a tenant's uploads, also those that something is still being added to; returns how many."""
        folder = self._root / tenant
        ids = [path.name for path in folder.glob("*")]
        for upload_id in ids:
            self._ledger.release_upload(tenant, upload_id)
        _remove_folder(folder)
        return len(ids)

    def remove_expired(self) -> int:
        """Delete uploads that were left alone for too long; returns how many there were."""
        removed = 0
        with storage_errors():
            for half_written in self._root.glob("*.tmp"):
                with suppress(FileNotFoundError):
                    if _is_older(half_written, self._expiry_s):
                        half_written.unlink()
            for folder in self._root.glob("*/*"):
                with suppress(FileNotFoundError, NotFoundError, UploadBusyError):
                    removed += self._remove_if_expired(folder)
        return removed

    def _remove_if_expired(self, folder: Path) -> bool:
        if not (folder / _RECORD).is_file():  # half made, or half deleted
            return _is_older(folder, self._expiry_s) and _remove_folder(folder)
        if not _is_older(folder / _PART, self._expiry_s):
            return False
        with OpenUpload(folder) as upload:
            if not _is_older(folder / _PART, self._expiry_s):
                return False  # something came just now
            self.remove(upload)
        return True

    def _folder(self, tenant: str, upload_id: str) -> Path:
        return self._root / tenant / upload_id

    def _write(self, target: Path, text: str) -> None:
        """Write a small file, durably: all of it, or none."""
        aside = self._root / f"{secrets.token_hex(16)}.tmp"
        with aside.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        move(aside, target)


class OpenUpload:
    """An upload that is ours alone, until it is closed.

    Attributes:
        record: What was said of it.
        path: The file with what has come.
        offset: Bytes that have come.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / _PART
        with _upload_errors(folder.name):
            self._file = self.path.open("r+b", buffering=0)
        try:
            self._lock()
            self.record = UploadRecord.load(folder)  # it may have been deleted before we had the lock
            with storage_errors():
                self.discard_unverified()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Append."""
        with storage_errors():
            view = memoryview(data)
            while view:
                written = self._file.write(view)
                self.offset += written
                view = view[written:]

    def hold_back(self) -> None:
        """What comes from here on counts for nothing before `accept`, not even after a crash."""
        aside = self._folder / f"{_UNVERIFIED}.tmp"
        with storage_errors(), aside.open("w", encoding="utf-8") as file:
            file.write(str(self.offset))
            file.flush()
            os.fsync(file.fileno())
            move(aside, self._folder / _UNVERIFIED)

    def accept(self) -> None:
        """What came since `hold_back` counts."""
        with storage_errors():
            os.fsync(self._file.fileno())
            (self._folder / _UNVERIFIED).unlink()

    def discard_unverified(self) -> None:
        """Cut off what came since a `hold_back` that nobody has accepted."""
        unverified = _read_unverified(self._folder)
        if unverified is not None:
            self._file.truncate(unverified)
            os.fsync(self._file.fileno())
            (self._folder / _UNVERIFIED).unlink()
        self.offset = self._file.seek(0, os.SEEK_END)

    def check_complete(self) -> None:
        """Raise UploadConflictError if something is missing."""
        if self.offset != self.record.length:
            missing = self.record.length - self.offset
            raise UploadConflictError(f"the upload {self.record.id} is not complete: {missing} bytes are missing")

    def remove(self) -> None:
        """Delete it."""
        with storage_errors():
            (self._folder / _RECORD).unlink()
            _remove_folder(self._folder)

    def close(self) -> None:
        """Make what has come durable, and let go."""
        try:
            with storage_errors():
                if not self._file.closed:
                    self.discard_unverified()
                    os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadBusyError(f"another request works on the upload {self._folder.name}") from error


class CompleteUpload:
    """A complete upload as a file that can be looked at, and then kept as a blob.

    The upload itself stays until it is removed: should the request fail after all, nothing has to be sent again.
    """

    def __init__(self, upload: OpenUpload, blobs: BlobStore) -> None:
        upload.check_complete()
        self._upload = upload
        self._blobs = blobs
        self.path = upload.path

    def commit(self) -> Blob:
        """Make its content a blob of its tenant's."""
        with self._blobs.scratch() as folder:
            copy = folder / "upload"
            with storage_errors():
                _link_or_copy(self.path, copy)
            return self._blobs.keep(copy, self._upload.record.tenant)


def _link_or_copy(path: Path, copy: Path) -> None:
    """A second name for a file that is not written any more; where the file system knows none, a copy."""
    try:
        copy.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, copy)


@contextmanager
def _upload_errors(upload_id: str) -> Iterator[None]:
    """The system's errors as ours, where a file that is missing means that the upload is."""
    with storage_errors():
        try:
            yield
        except FileNotFoundError as error:
            raise _not_found(upload_id) from error


def _not_found(upload_id: str) -> NotFoundError:
    return NotFoundError(f"there is no upload {upload_id}; one that is left alone too long is deleted")


def _read_unverified(folder: Path) -> int | None:
    with suppress(FileNotFoundError):
        return int((folder / _UNVERIFIED).read_text(encoding="utf-8"))
    return None


def _is_older(path: Path, age_s: float) -> bool:
    return path.stat().st_mtime < time.time() - age_s


def _remove_folder(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return True
