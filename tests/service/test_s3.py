"""What is particular to blobs in a bucket: local copies, large objects, and everything that a network can do."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

import pytest
from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from s3_server import BUCKET, REGION, running_s3

from service import s3
from service.blob_cache import BlobCache
from service.errors import ResultExpiredError, StorageUnavailableError
from service.s3 import MIB, S3BlobStore, connect
from service.settings import Settings
from service.storage import BlobKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"a raw file" * 1000
KEY = BlobKey("studio", hashlib.sha256(DATA).hexdigest())


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_s3() as address:
        yield address


@pytest.fixture
def client(address: str, tmp_path: Path) -> Iterator[Any]:
    """A client of an empty bucket."""
    client = connect(Settings(data_dir=tmp_path, s3_endpoint_url=address, s3_region=REGION))
    for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    yield client
    client.close()


def open_store(client: Any, folder: Path, bucket: str = BUCKET) -> S3BlobStore:
    """A store as one machine has it."""
    return S3BlobStore(
        client, bucket=bucket, prefix="blobs/", folder=folder, cache_bytes=10 * MIB, announce=lambda _blob: None
    )


@pytest.fixture
def store(client: Any, tmp_path: Path) -> S3BlobStore:
    return open_store(client, tmp_path / "a")


@pytest.fixture
def elsewhere(client: Any, tmp_path: Path) -> S3BlobStore:
    """The same bucket, seen from another machine."""
    return open_store(client, tmp_path / "b")


def put(store: S3BlobStore, data: bytes = DATA) -> BlobKey:
    """Store a blob."""
    with store.writer("studio") as writer:
        writer.write(data)
        return writer.commit().key


def count_requests(client: Any, operation: str) -> list[str]:
    """Names of the objects that are asked for from now on."""
    asked: list[str] = []
    client.meta.events.register(
        f"provide-client-params.s3.{operation}", lambda params, **_: asked.append(params["Key"])
    )
    return asked


def test_another_machine_downloads_a_blob_once(store: S3BlobStore, elsewhere: S3BlobStore, client: Any) -> None:
    put(store)
    asked = count_requests(client, "GetObject")
    assert store.local_path(KEY).read_bytes() == DATA
    assert asked == [], "who wrote it has it"
    first = elsewhere.local_path(KEY)
    assert first.read_bytes() == DATA
    assert elsewhere.local_path(KEY) == first
    assert asked == [f"blobs/tenants/{KEY}"]


def test_a_copy_of_a_blob_that_was_deleted_elsewhere_is_gone_too(store: S3BlobStore, elsewhere: S3BlobStore) -> None:
    put(store)
    copy = elsewhere.local_path(KEY)
    store.remove(KEY, lambda: True)
    with pytest.raises(ResultExpiredError):
        elsewhere.local_path(KEY)
    assert not copy.exists()


def test_a_damaged_object_is_not_given_out(elsewhere: S3BlobStore, client: Any, tmp_path: Path) -> None:
    client.put_object(Bucket=BUCKET, Key=f"blobs/tenants/{KEY}", Body=DATA[:-1] + b"?")
    asked = count_requests(client, "GetObject")
    with pytest.raises(StorageUnavailableError, match="something else than it was given"):
        elsewhere.local_path(KEY)
    assert len(asked) == 3, "the line could have been at fault"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_download_that_breaks_is_tried_again(
    store: S3BlobStore, elsewhere: S3BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store)
    get_object, broken = elsewhere._client.get_object, iter([True, True])

    class Breaking:
        def read(self, _size: int) -> bytes:
            raise s3.BotoCoreError

        def close(self) -> None:
            """Nothing to close."""

    def get(**options: str) -> Any:
        answer = get_object(**options)
        if next(broken, False):
            answer["Body"].close()
            answer["Body"] = Breaking()
        return answer

    monkeypatch.setattr(elsewhere._client, "get_object", get)
    assert elsewhere.local_path(KEY).read_bytes() == DATA
    assert next(broken, None) is None


def test_downloads_at_the_same_time_do_no_harm(store: S3BlobStore, client: Any, tmp_path: Path) -> None:
    data = b"x" * (3 * MIB)
    key = put(store, data)
    machine = [open_store(client, tmp_path / "b") for _ in range(6)]
    start, read = threading.Barrier(6), []

    def fetch(store: S3BlobStore) -> None:
        start.wait()
        read.append(store.local_path(key).read_bytes() == data)

    threads = [threading.Thread(target=fetch, args=(store,)) for store in machine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [True] * 6
    assert len([path for path in (tmp_path / "b").rglob("*") if path.is_file()]) == 1


def test_a_large_blob_goes_in_parts_and_appears_at_once(
    store: S3BlobStore, elsewhere: S3BlobStore, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        s3, "TRANSFER", TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=2)
    )
    parts = count_requests(client, "UploadPart")
    seen: list[int] = []
    client.meta.events.register(
        "before-call.s3.CompleteMultipartUpload",
        lambda **_: seen.append(client.list_objects_v2(Bucket=BUCKET)["KeyCount"]),
    )
    data = bytes(range(256)) * (12 * MIB // 256)
    key = put(store, data)
    assert (len(parts), seen) == (3, [0])
    assert elsewhere.local_path(key).read_bytes() == data
    elsewhere.remove(key, lambda: False)
    assert elsewhere.local_path(key).read_bytes() == data, "also copied in parts"


def test_a_large_blob_that_breaks_off_leaves_nothing(
    store: S3BlobStore, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        s3, "TRANSFER", TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, use_threads=False)
    )

    def break_off(params: dict[str, Any], **_: Any) -> None:
        if params["PartNumber"] == 2:
            raise s3.BotoCoreError

    client.meta.events.register("provide-client-params.s3.UploadPart", break_off)
    with pytest.raises(StorageUnavailableError):
        put(store, b"x" * (12 * MIB))
    assert client.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_what_a_dead_process_left_in_the_bucket_is_removed_once_it_is_old(store: S3BlobStore, client: Any) -> None:
    put(store)
    client.put_object(Bucket=BUCKET, Key="blobs/aside/1", Body=b"x")
    client.put_object(Bucket=BUCKET, Key="aside/of-somebody-else", Body=b"x")
    assert store.remove_abandoned(3600) == 0
    client.create_multipart_upload(Bucket=BUCKET, Key="blobs/tenants/studio/1")  # moto's are all of 2010
    store._cleaned_at = -s3.CLEANING_INTERVAL_S
    assert store.remove_abandoned(-60) == 2
    names = {found["Key"] for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert names == {f"blobs/tenants/{KEY}", "aside/of-somebody-else"}
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_a_bucket_is_not_searched_at_every_sweep(store: S3BlobStore, client: Any) -> None:
    store.remove_abandoned(0)
    client.put_object(Bucket=BUCKET, Key="blobs/aside/1", Body=b"x")
    assert store.remove_abandoned(-60) == 0


def test_copies_give_way_to_others(store: S3BlobStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []
    monkeypatch.setattr(BlobCache, "make_room", lambda _cache, wanted: asked.append(wanted))
    put(store)
    open_store(store._client, tmp_path / "b").local_path(KEY)
    assert asked == [len(DATA), len(DATA)]


def every_request(store: S3BlobStore) -> None:
    """Each of a store's requests must fail with an error of storage."""
    for ask in (
        store.check,
        lambda: put(store),
        lambda: store.local_path(KEY),
        lambda: store.remove_abandoned(0),
    ):
        with pytest.raises(StorageUnavailableError) as caught:
            ask()
        assert caught.value.detail


def test_a_bucket_that_does_not_exist_is_an_error_of_storage(client: Any, tmp_path: Path) -> None:
    every_request(open_store(client, tmp_path, bucket="nobodys"))


def test_a_server_that_is_away_is_an_error_of_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    client = connect(Settings(data_dir=tmp_path, s3_endpoint_url="http://127.0.0.1:9", s3_region=REGION))
    store = open_store(client, tmp_path)
    every_request(store)
    with pytest.raises(StorageUnavailableError):
        store.remove(KEY, lambda: True)
    client.close()


def test_missing_credentials_are_an_error_of_storage(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(s3, "Session", Session)  # a new one: the tests' own has found credentials
    client = connect(Settings(data_dir=tmp_path, s3_endpoint_url=address, s3_region=REGION))
    every_request(open_store(client, tmp_path))
    client.close()


def test_an_object_that_comes_back_changed_is_not_ready(store: S3BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put_object = store._client.put_object
    monkeypatch.setattr(
        store._client, "put_object", lambda **options: put_object(**{**options, "Body": b"something else"})
    )
    with pytest.raises(StorageUnavailableError, match="something else"):
        store.check()
