"""Blobs are there completely or not at all: one suite for local folders and buckets; at its end, the choice."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from s3_server import BUCKET, REGION, running_s3

from service import storage
from service.errors import ResultExpiredError, StorageUnavailableError
from service.settings import Settings
from service.storage import Blob, BlobKey, LocalBlobStore, make_blob_store
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.storage import BlobStore

TENANT = "studio"
DATA = b"a raw file" * 1000
KEY = BlobKey(TENANT, hashlib.sha256(DATA).hexdigest())


def files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


@dataclass
class Place:
    """Where blobs are kept, looked at from outside."""

    settings: Settings
    announced: list[Blob]

    def open(self) -> BlobStore:
        """The store."""
        return make_blob_store(self.settings, self.announced.append)

    def kept(self) -> set[str]:
        """All that is visible, as TENANT/SHA256."""
        folder = self.settings.blobs_dir / "tenants"
        return {f"{path.relative_to(folder).parts[0]}/{path.name}" for path in files(folder)}

    def remains(self) -> list[str]:
        """What should not be there once nothing is being written."""
        return [path.name for path in files(self.settings.blobs_dir / "unfinished")]


class Bucket(Place):
    """The same for a bucket."""

    def open(self) -> BlobStore:
        """The store."""
        store = super().open()
        self.client = store._client  # type: ignore[attr-defined]
        return store

    def objects(self) -> set[str]:
        """All names in the bucket, without the prefix."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {entry["Key"].removeprefix("blobs/v1/") for entry in found}

    def kept(self) -> set[str]:
        """All that is visible, as TENANT/SHA256."""
        return {name.removeprefix("tenants/") for name in self.objects() if name.startswith("tenants/")}

    def remains(self) -> list[str]:
        """What should not be there once nothing is being written."""
        aside = [name for name in self.objects() if not name.startswith("tenants/")]
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        here = files(self.settings.data_dir / "blob-cache" / "unfinished")
        return [*aside, *(upload["Key"] for upload in uploads), *(path.name for path in here)]


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    """A server that speaks S3's protocol."""
    with running_s3() as address:
        yield address


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A local folder and a bucket in turn, both empty."""
    if request.param == "local":
        yield Place(Settings(data_dir=tmp_path), [])
        return
    address = request.getfixturevalue("s3_address")
    settings = Settings(
        data_dir=tmp_path, blobs_url=f"s3://{BUCKET}/blobs/v1", s3_endpoint_url=address, s3_region=REGION
    )
    bucket = Bucket(settings, [])
    bucket.open()
    for name in bucket.objects():
        bucket.client.delete_object(Bucket=BUCKET, Key=f"blobs/v1/{name}")
    yield bucket
    bucket.client.close()


@pytest.fixture
def store(place: Place) -> BlobStore:
    return place.open()


def put(store: BlobStore, data: bytes = DATA, tenant: str = TENANT) -> Blob:
    """Store a blob in two writes."""
    with store.writer(tenant) as writer:
        writer.write(data[:7])
        writer.write(data[7:])
        return writer.commit()


def test_a_blob_is_named_by_its_owner_and_content(store: BlobStore, place: Place) -> None:
    assert put(store) == Blob(KEY, len(DATA))
    assert store.local_path(KEY).read_bytes() == DATA
    assert place.kept() == {str(KEY)}
    assert place.remains() == []


def test_an_empty_blob_is_one_too(store: BlobStore) -> None:
    blob = put(store, b"")
    assert blob == Blob(BlobKey(TENANT, hashlib.sha256(b"").hexdigest()), 0)
    assert store.local_path(blob.key).read_bytes() == b""


def test_the_same_content_is_kept_once_per_tenant(store: BlobStore, place: Place) -> None:
    put(store)
    put(store)
    assert place.kept() == {str(KEY)}
    put(store, tenant="other")
    assert place.kept() == {str(KEY), f"other/{KEY.sha256}"}


def test_another_tenants_blob_is_out_of_reach(store: BlobStore) -> None:
    put(store)
    with pytest.raises(ResultExpiredError):
        store.local_path(BlobKey("other", KEY.sha256))
    store.remove(BlobKey("other", KEY.sha256), lambda: True)
    assert store.local_path(KEY).read_bytes() == DATA


def test_a_blob_is_announced_before_it_appears(place: Place) -> None:
    seen: list[tuple[Blob, set[str]]] = []
    place.open()
    store = make_blob_store(place.settings, lambda blob: seen.append((blob, place.kept())))
    put(store)
    with store.scratch() as folder:
        (folder / "result").write_bytes(b"result")
        kept = store.keep(folder / "result", TENANT)
    assert seen == [(Blob(KEY, len(DATA)), set()), (kept, {str(KEY)})]


def test_what_is_not_announced_does_not_appear(place: Place) -> None:
    def refuse(_blob: Blob) -> None:
        raise StorageUnavailableError("no")

    place.open()
    with pytest.raises(StorageUnavailableError):
        put(make_blob_store(place.settings, refuse))
    assert (place.kept(), place.remains()) == (set(), [])


def test_what_is_not_committed_leaves_nothing(store: BlobStore, place: Place) -> None:
    with store.writer(TENANT) as writer:
        writer.write(DATA)
        assert (writer.path.read_bytes(), writer.size) == (DATA, len(DATA))
    assert (place.kept(), place.remains(), place.announced) == (set(), [], [])


def test_an_interrupted_writer_leaves_nothing(store: BlobStore, place: Place) -> None:
    def write_and_stop() -> None:
        with store.writer(TENANT) as writer:
            writer.write(DATA)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert (place.kept(), place.remains()) == (set(), [])


def test_a_scratch_folder_is_gone_afterwards_and_what_was_kept_stays(store: BlobStore, place: Place) -> None:
    with store.scratch() as folder:
        (folder / "result").write_bytes(DATA)
        (folder / "other").write_bytes(b"other")
        assert store.keep(folder / "result", TENANT) == Blob(KEY, len(DATA))
    assert (place.kept(), place.remains(), place.announced) == ({str(KEY)}, [], [Blob(KEY, len(DATA))])
    assert store.local_path(KEY).read_bytes() == DATA


def test_an_unknown_blob_is_expired(store: BlobStore, place: Place) -> None:
    with pytest.raises(ResultExpiredError):
        store.local_path(KEY)
    assert place.remains() == []


def test_an_unused_blob_can_be_removed(store: BlobStore, place: Place) -> None:
    put(store)
    store.remove(KEY, lambda: True)
    assert (place.kept(), place.remains()) == (set(), [])
    with pytest.raises(ResultExpiredError):
        store.local_path(KEY)
    store.remove(KEY, lambda: True)  # harmless the second time


def test_a_blob_is_out_of_reach_when_the_question_is_asked(store: BlobStore, place: Place) -> None:
    put(store)
    seen: list[set[str]] = []

    def look() -> bool:
        seen.append(place.kept())
        return True

    store.remove(KEY, look)
    assert seen == [set()]


def test_a_blob_that_comes_into_use_while_it_is_removed_stays(store: BlobStore, place: Place) -> None:
    put(store)
    store.remove(KEY, lambda: False)
    assert store.local_path(KEY).read_bytes() == DATA
    assert place.remains() == []


def test_a_blob_that_is_stored_again_while_it_is_removed_stays(store: BlobStore, place: Place) -> None:
    put(store)

    def store_again_after_the_question() -> bool:
        put(store)
        return True

    store.remove(KEY, store_again_after_the_question)
    assert store.local_path(KEY).read_bytes() == DATA
    assert place.remains() == []


def test_a_check_leaves_nothing(store: BlobStore, place: Place) -> None:
    store.check()
    store.check()
    assert (place.kept(), place.remains(), place.announced) == (set(), [], [])


def test_a_folder_that_cannot_be_made_is_an_error_of_storage(place: Place) -> None:
    store = place.open()
    (place.settings.data_dir / ("blob-cache" if place.settings.blobs_url else "blobs")).write_bytes(b"in the way")
    for ask in (store.check, lambda: put(store)):
        with pytest.raises(StorageUnavailableError):
            ask()


def test_only_old_remains_count_as_abandoned(store: BlobStore, place: Place) -> None:
    put(store)
    unfinished = place.settings.data_dir / ("blob-cache" if place.settings.blobs_url else "blobs") / "unfinished"
    old, new = unfinished / "old", unfinished / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "part").write_bytes(b"part")
    os.utime(old, (time.time() - 100, time.time() - 100))
    assert store.remove_abandoned(50) == 1
    assert (old.exists(), new.exists(), store.local_path(KEY).exists()) == (False, True, True)


def test_what_a_dead_process_left_is_deleted_and_what_a_live_one_writes_is_not(store: BlobStore, place: Place) -> None:
    unfinished = place.settings.data_dir / ("blob-cache" if place.settings.blobs_url else "blobs") / "unfinished"
    with store.scratch() as folder, store.writer(TENANT) as writer:
        (folder / "part").write_bytes(b"part")
        for name in ("file", "folder.lock"):
            (unfinished / name).write_bytes(b"")
        (unfinished / "folder").mkdir()
        for path in unfinished.iterdir():
            os.utime(path, (time.time() - 100, time.time() - 100))
        (unfinished / "new").write_bytes(b"")
        assert store.remove_unlocked(50) == 3
        assert {path.name for path in unfinished.iterdir()} == {
            folder.name, f"{folder.name}.lock", writer.path.name, "new",
        }  # fmt: skip
    assert [path.name for path in unfinished.iterdir()] == ["new"]


def test_a_blob_that_is_being_removed_does_not_look_abandoned(store: BlobStore, place: Place) -> None:
    put(store)
    for path in place.settings.data_dir.rglob("*"):
        os.utime(path, (time.time() - 1e6, time.time() - 1e6))

    def sweep_comes() -> bool:
        store.remove_unlocked(50)
        return False

    store.remove(KEY, sweep_comes)
    assert store.local_path(KEY).read_bytes() == DATA


# ---- the choice -----------------------------------------------------------------------------------------------


def test_without_a_bucket_blobs_lie_in_the_data_folder(tmp_path: Path) -> None:
    store = make_blob_store(Settings(data_dir=tmp_path), lambda _blob: None)
    assert isinstance(store, LocalBlobStore)
    put(store)
    assert [path.read_bytes() for path in files(tmp_path / "blobs")] == [DATA]


def test_a_bucket_needs_a_package_which_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "service.s3", raising=False)
    monkeypatch.setitem(sys.modules, "boto3.exceptions", None)
    settings = Settings(data_dir=tmp_path, blobs_url="s3://bucket")
    with pytest.raises(ConfigError, match=r"PHOTOSITE_BLOBS_URL.*photosite\[s3\]"):
        make_blob_store(settings, lambda _blob: None)


def test_the_last_blob_takes_its_tenants_folder_with_it(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs", lambda _blob: None)
    put(store)
    put(store, b"another")
    store.remove(KEY, lambda: True)
    assert (tmp_path / "blobs" / "tenants" / "studio").is_dir()
    store.remove(BlobKey("studio", hashlib.sha256(b"another").hexdigest()), lambda: True)
    assert list(tmp_path.rglob("*studio*")) == []
    assert put(store).key == KEY


def test_a_blob_is_stored_although_its_folder_is_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalBlobStore(tmp_path, lambda _blob: None)
    make_folder, times = storage._make_folder, []

    def make_and_lose(folder: Path) -> None:
        make_folder(folder)
        if folder.name == KEY.sha256[2:4] and len(times) < 3:
            times.append(folder)
            folder.rmdir()

    monkeypatch.setattr(storage, "_make_folder", make_and_lose)
    put(store)
    assert (len(times), store.local_path(KEY).read_bytes()) == (3, DATA)


def lose_folder(root: Path) -> None:
    """What is not mounted any more: something else lies there."""
    (root / "unfinished").rename(root / "aside")
    (root / "unfinished").touch()


def test_a_folder_that_goes_away_is_the_storages_fault(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path, lambda _blob: None)
    with pytest.raises(StorageUnavailableError), store.writer("studio") as writer:  # noqa: PT012  (all of it goes wrong)
        writer.write(DATA)
        lose_folder(tmp_path)
        writer.commit()


def test_what_a_job_was_at_is_told_although_its_folder_goes_away(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path, lambda _blob: None)
    with pytest.raises(ConfigError, match="what the job says"), store.scratch():  # noqa: PT012  (the same)
        lose_folder(tmp_path)
        raise ConfigError("what the job says")
