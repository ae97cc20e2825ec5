"""Blobs: uploads and results, stored once per tenant by their content's SHA-256 and never changed.

In the flow: upload → **blob** → job → … → write_dng → **blob** → result.

Tenants do not share blobs: the time of an upload, or a quota, would tell one what another has. A blob is written aside,
fsynced and renamed: it is there completely or not at all, also after a power cut. Who refers to it says the job store;
it is told of a blob *before* that appears, so that none is ever forgotten on the disk.
"""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from service.errors import ResultExpiredError, StorageUnavailableError
from service.locks import is_locked, lock
from service.schemas import FileSchema
from training.errors import ConfigError

if TYPE_CHECKING:
    from service.settings import Settings


class BlobKey(NamedTuple):
    """What names a blob: whose it is, and its content's digest.

    >>> BlobKey.parse(str(BlobKey("studio", "0" * 64))).tenant
    'studio'
    """

    tenant: str
    sha256: str

    def __str__(self) -> str:
        """TENANT/SHA256."""
        return f"{self.tenant}/{self.sha256}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Undo `str`."""
        tenant, _, sha256 = text.partition("/")
        return cls(tenant, sha256)


class Blob(NamedTuple):
    """A blob that is kept: its name, and its size."""

    key: BlobKey
    bytes: int

    def named(self, name: str) -> FileSchema:
        """As a file of this name, for a record or an answer."""
        return FileSchema(name=name, bytes=self.bytes, sha256=self.key.sha256)


MOVE_ATTEMPTS = 10

Announce = Callable[[Blob], None]
"""Told of a blob just before it appears."""


class BlobWriter(Protocol):
    """A blob in the making; leaving its `with` block without `commit` leaves nothing behind."""

    path: Path
    """The file that is being written; what was written can be read from it before `commit`."""
    size: int
    """Bytes written so far."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, data: bytes) -> None:
        """Append."""

    def commit(self) -> Blob:
        """Make it durable; afterwards it is there under its digest."""


class BlobStore(Protocol):
    """Where blobs lie."""

    def writer(self, tenant: str) -> BlobWriter:
        """Begin a new blob of a tenant's."""

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for files in the making, gone afterwards."""

    def keep(self, path: Path, tenant: str) -> Blob:
        """Make a file from a `scratch` folder a tenant's blob; it is moved, not copied, where that can be done."""

    def local_path(self, key: BlobKey) -> Path:
        """A file with the blob's content, to be read only.

        Raises:
            ResultExpiredError: There is no such blob (any more).
        """

    def remove(self, key: BlobKey, still_unused: Callable[[], bool]) -> None:
        """Delete a blob that nobody uses.

        Args:
            key: Its name; harmless if it is not there.
            still_unused: Asked once the blob is out of reach: whoever stores the same content meanwhile either
                announced it before that, and it is put back, or stores it anew afterwards.
        """

    def check(self) -> None:
        """Raise StorageUnavailableError if blobs cannot be written."""

    def remove_unlocked(self, older_than_s: float) -> int:
        """Delete what a process on this machine left unfinished when it died; returns how many there were."""

    def remove_abandoned(self, older_than_s: float) -> int:
        """Delete what was begun so long ago that its process must have died; returns how many there were."""


@contextmanager
def storage_errors() -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError("the data folder cannot be read or written", detail=str(error)) from error


def _sync_folder(folder: Path) -> None:
    """A rename is durable only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents, each one durable in its own parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


class LocalBlobWriter:
    """Writes a file in `unfinished/`, hashing on the way."""

    def __init__(self, root: Path, tenant: str, announce: Announce) -> None:
        self._root = root
        self._tenant = tenant
        self._announce = announce
        self._digest = hashlib.sha256()
        self.size = 0
        with storage_errors():
            _make_folder(_unfinished(root))
            self.path = _unfinished(root) / secrets.token_hex(16)
            self._file = self.path.open("xb", buffering=0)  # unbuffered: readers of `path` see what was written
            lock(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        with suppress(OSError):  # the sweep deletes what cannot be deleted now
            self.path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append."""
        with storage_errors():
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        self._digest.update(data)
        self.size += len(data)

    def commit(self) -> Blob:
        """Make it durable; afterwards it is there under its digest."""
        blob = Blob(BlobKey(self._tenant, self._digest.hexdigest()), self.size)
        self._announce(blob)
        with storage_errors():
            os.fsync(self._file.fileno())
            move(self.path, blob_path(self._root, blob.key))
        return blob


def move(path: Path, target: Path) -> None:
    """Rename a file, durably; its folder is made if need be."""
    attempts = MOVE_ATTEMPTS
    while attempts:
        attempts -= 1
        try:
            _make_folder(target.parent)
            path.replace(target)
            break
        except FileNotFoundError:  # somebody else found a folder on the way empty, and removed it
            if not attempts:
                raise
    _sync_folder(target.parent)


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder if it is empty, then its parent if that is, up to the root: not even a tenant's name stays."""
    with suppress(OSError):  # not empty
        while folder != root:
            with suppress(FileNotFoundError):
                folder.rmdir()
            folder = folder.parent


def _unfinished(root: Path) -> Path:
    return root / "unfinished"


def _guard(folder: Path) -> Path:
    """The file whose lock says that a scratch folder is in use: folders themselves cannot be locked everywhere."""
    return folder.with_suffix(".lock")


def blob_path(root: Path, key: BlobKey) -> Path:
    """Where a blob's file lies in a folder of blobs."""
    return root / "tenants" / key.tenant / key.sha256[:2] / key.sha256[2:4] / key.sha256


class LocalBlobStore:
    """Blobs in a local folder, `tenants/NAME/ab/cd/abcd…`; those in the making in `unfinished/`.

    Args:
        root: The folder; made when first needed.
        announce: Told of a blob just before it appears.
    """

    def __init__(self, root: Path, announce: Announce) -> None:
        self._root = root
        self._announce = announce

    def writer(self, tenant: str) -> BlobWriter:
        """Begin a new blob of a tenant's."""
        return LocalBlobWriter(self._root, tenant, self._announce)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for files in the making, gone afterwards; on the blobs' own disk, so that `keep` need not copy."""
        with storage_errors():
            _make_folder(_unfinished(self._root))
            folder = _unfinished(self._root) / secrets.token_hex(16)
            guard = _guard(folder).open("xb")
        try:
            lock(guard)
            with storage_errors():
                folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # the sweep deletes what cannot be deleted now
                _guard(folder).unlink(missing_ok=True)
            guard.close()

    def keep(self, path: Path, tenant: str) -> Blob:
        """Make a file from a `scratch` folder a tenant's blob, by moving it."""
        with storage_errors(), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            blob = Blob(BlobKey(tenant, digest), os.fstat(file.fileno()).st_size)
            os.fsync(file.fileno())
            self._announce(blob)
            move(path, blob_path(self._root, blob.key))
        return blob

    def local_path(self, key: BlobKey) -> Path:
        """The blob's file, to be read only.

        Raises:
            ResultExpiredError: There is no such blob (any more).
        """
        path = blob_path(self._root, key)
        if not path.is_file():
            raise ResultExpiredError("the file is not kept any more", detail=str(path))
        return path

    def remove(self, key: BlobKey, still_unused: Callable[[], bool]) -> None:
        """Delete a blob that nobody uses: see `BlobStore.remove`."""
        path, aside = blob_path(self._root, key), _unfinished(self._root) / secrets.token_hex(16)
        with storage_errors():
            if path.is_file():
                os.utime(path)  # or a sweep could take it for something that was abandoned long ago
                path.replace(aside)
                if still_unused():
                    aside.unlink()
                else:
                    move(aside, path)
            _remove_empty(path.parent, self._root)

    def check(self) -> None:
        """Raise StorageUnavailableError if blobs cannot be written."""
        with self.writer("") as writer:
            writer.write(b"\0")

    def remove_unlocked(self, older_than_s: float) -> int:
        """Delete what a process left unfinished when it died; returns how many there were.

        Args:
            older_than_s: Younger ones may not be locked yet, in seconds.
        """
        return self._remove_unfinished(older_than_s, lambda path: is_locked(_guard(path) if path.is_dir() else path))

    def remove_abandoned(self, older_than_s: float) -> int:
        """Delete what was begun so long ago that its process must have died; returns how many there were."""
        return self._remove_unfinished(older_than_s, lambda _path: False)

    def _remove_unfinished(self, older_than_s: float, in_use: Callable[[Path], bool]) -> int:
        removed = 0
        with storage_errors():
            for path in _unfinished(self._root).glob("*"):
                with suppress(FileNotFoundError):  # its owner, or another sweep, was faster
                    if path.stat().st_mtime >= time.time() - older_than_s or in_use(path):
                        continue
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    removed += 1
        return removed


def make_blob_store(settings: "Settings", announce: Announce) -> BlobStore:
    """The store that the settings choose.

    Args:
        settings: The service's settings.
        announce: Told of a blob just before it appears.

    Raises:
        ConfigError: It needs a package that is not installed.
    """
    if settings.blobs_url is None:
        return LocalBlobStore(settings.blobs_dir, announce)
    try:
        from service.s3 import S3BlobStore, connect  # noqa: PLC0415  (boto3 is an extra)
    except ModuleNotFoundError as error:
        raise ConfigError(
            "PHOTOSITE_BLOBS_URL: a bucket needs the package boto3: pip install 'photosite[s3]'", detail=str(error)
        ) from error
    bucket, _, prefix = settings.blobs_url.removeprefix("s3://").partition("/")
    return S3BlobStore(
        connect(settings),
        bucket=bucket,
        prefix=f"{prefix}/" if prefix else "",
        folder=settings.data_dir / "blob-cache",
        cache_bytes=settings.s3_cache_bytes,
        announce=announce,
    )
