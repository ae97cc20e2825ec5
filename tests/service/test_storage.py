"""Blobs are there completely or not at all."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from service.errors import ResultExpiredError, StorageUnavailableError
from service.storage import Blob, BlobKey, LocalBlobStore

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"a raw file" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
KEY = BlobKey("studio", DIGEST)


def files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def announced() -> list[Blob]:
    return []


@pytest.fixture
def store(tmp_path: Path, announced: list[Blob]) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs", announced.append)


def put(store: LocalBlobStore, data: bytes = DATA) -> Blob:
    """Store a blob in two writes."""
    with store.writer("studio") as writer:
        writer.write(data[:7])
        writer.write(data[7:])
        return writer.commit()


def test_a_blob_is_named_by_its_content(store: LocalBlobStore) -> None:
    assert put(store) == Blob(KEY, len(DATA))
    assert store.local_path(KEY).read_bytes() == DATA


def test_the_same_content_is_kept_once(store: LocalBlobStore, tmp_path: Path) -> None:
    put(store)
    put(store)
    assert len(files(tmp_path)) == 1


def test_the_same_content_of_two_tenants_is_kept_twice(store: LocalBlobStore, tmp_path: Path) -> None:
    put(store)
    with pytest.raises(ResultExpiredError):
        store.local_path(BlobKey("lab", DIGEST))
    with store.writer("lab") as writer:
        writer.write(DATA)
        assert writer.commit() == Blob(BlobKey("lab", DIGEST), len(DATA))
    store.remove(KEY, lambda: True)
    assert [path.read_bytes() for path in files(tmp_path)] == [DATA]


def test_a_blob_is_announced_before_it_appears(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    store = LocalBlobStore(tmp_path, lambda blob: seen.append((str(blob.key), len(files(tmp_path / "tenants")))))
    put(store)
    assert seen == [(f"studio/{DIGEST}", 0)]
    assert len(files(tmp_path / "tenants")) == 1


def test_what_is_not_committed_leaves_nothing(store: LocalBlobStore, tmp_path: Path, announced: list[Blob]) -> None:
    with store.writer("studio") as writer:
        writer.write(DATA)
        assert writer.path.read_bytes() == DATA
    assert files(tmp_path) == []
    assert announced == []


def test_an_interrupted_writer_leaves_nothing(store: LocalBlobStore, tmp_path: Path) -> None:
    def write_and_stop() -> None:
        with store.writer("studio") as writer:
            writer.write(DATA)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert files(tmp_path) == []


def test_a_scratch_folder_is_gone_afterwards_and_what_was_kept_stays(store: LocalBlobStore, tmp_path: Path) -> None:
    with store.scratch() as folder:
        (folder / "result").write_bytes(DATA)
        (folder / "other").write_bytes(b"other")
        assert store.keep(folder / "result", "studio") == Blob(KEY, len(DATA))
    assert [path.read_bytes() for path in files(tmp_path)] == [DATA]


def test_an_unknown_blob_is_expired(store: LocalBlobStore) -> None:
    with pytest.raises(ResultExpiredError):
        store.local_path(KEY)


def test_an_unused_blob_can_be_removed(store: LocalBlobStore, tmp_path: Path) -> None:
    put(store)
    store.remove(KEY, lambda: True)
    assert files(tmp_path) == []
    store.remove(KEY, lambda: True)  # harmless the second time


def test_a_blob_that_comes_into_use_while_it_is_removed_stays(store: LocalBlobStore) -> None:
    put(store)
    store.remove(KEY, lambda: False)
    assert store.local_path(KEY).read_bytes() == DATA


def test_a_blob_that_is_stored_again_while_it_is_removed_stays(store: LocalBlobStore) -> None:
    put(store)

    def store_again_after_the_question() -> bool:
        put(store)
        return True

    store.remove(KEY, store_again_after_the_question)
    assert store.local_path(KEY).read_bytes() == DATA


def test_only_old_remains_count_as_abandoned(store: LocalBlobStore, tmp_path: Path) -> None:
    put(store)
    old, new = tmp_path / "blobs" / "unfinished" / "old", tmp_path / "blobs" / "unfinished" / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "part").write_bytes(b"part")
    os.utime(old, (time.time() - 100, time.time() - 100))
    assert store.remove_abandoned(50) == 1
    assert (old.exists(), new.exists(), store.local_path(KEY).exists()) == (False, True, True)


def test_a_folder_that_cannot_be_made_is_an_error_of_storage(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"in the way")
    with pytest.raises(StorageUnavailableError):
        LocalBlobStore(tmp_path / "blobs", lambda _blob: None).check()
