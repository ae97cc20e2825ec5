"""Resumable uploads on the disk: what they say has come is there, whatever dies."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tusclient.uploader import Uploader

from service import resumable
from service.api.routes.tus import parse_metadata
from service.errors import NotFoundError, QuotaExceededError, UploadBusyError, UploadConflictError, UploadHeaderError
from service.resumable import CompleteUpload, ResumableUploads
from service.storage import LocalBlobStore

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"a raw file" * 1000


class Ledger:
    """Remembers what is counted."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[str, str], int] = {}

    def reserve_upload(self, tenant: str, upload_id: str, size: int) -> None:
        """Count."""
        self.sizes[tenant, upload_id] = size

    def release_upload(self, tenant: str, upload_id: str) -> None:
        """Count no more."""
        self.sizes.pop((tenant, upload_id), None)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def uploads(root: Path, ledger: Ledger) -> ResumableUploads:
    return ResumableUploads(root, ledger, expiry_s=100)


def begin(uploads: ResumableUploads, data: bytes = b"", length: int = len(DATA)) -> str:
    """Begin an upload and write something; gives its id."""
    upload_id = uploads.create("studio", name="a.dng", length=length, metadata="filename YS5kbmc=").record.id
    with uploads.open("studio", upload_id) as upload:
        upload.write(data)
    return upload_id


def age(path: Path, seconds: float) -> None:
    """Make a file or folder older."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_was_written_is_what_the_state_says(uploads: ResumableUploads, ledger: Ledger) -> None:
    upload_id = begin(uploads, DATA[:10])
    state = uploads.state("studio", upload_id)
    assert (state.offset, state.record.length, state.record.name) == (10, len(DATA), "a.dng")
    assert state.expires_at == pytest.approx(time.time() + 100, abs=50)
    assert ledger.sizes == {("studio", upload_id): len(DATA)}


def test_the_offset_is_the_files_own_size(uploads: ResumableUploads, root: Path) -> None:
    """A power cut that took the file's end is told truly, too."""
    upload_id = begin(uploads, DATA)
    os.truncate(root / "studio" / upload_id / "part", 77)
    assert uploads.state("studio", upload_id).offset == 77
    with uploads.open("studio", upload_id) as upload:
        assert upload.offset == 77
        upload.write(DATA[77:])
    assert (root / "studio" / upload_id / "part").read_bytes() == DATA


def test_anothers_upload_does_not_exist(uploads: ResumableUploads) -> None:
    upload_id = begin(uploads)
    for ask in (uploads.state, uploads.open):
        with pytest.raises(NotFoundError):
            ask("lab", upload_id)


def test_one_request_at_a_time_works_on_an_upload(uploads: ResumableUploads) -> None:
    upload_id = begin(uploads)
    with uploads.open("studio", upload_id) as upload:
        upload.write(DATA[:5])
        with pytest.raises(UploadBusyError):
            uploads.open("studio", upload_id)
        assert uploads.state("studio", upload_id).offset == 5, "asking how far it is disturbs nobody"
    uploads.open("studio", upload_id).close()


def test_what_was_not_verified_counts_for_nothing_even_after_a_crash(uploads: ResumableUploads, root: Path) -> None:
    upload_id = begin(uploads, DATA[:10])
    upload = uploads.open("studio", upload_id)
    upload.hold_back()
    upload.write(b"damaged")
    assert uploads.state("studio", upload_id).offset == 10
    upload._file.close()  # as the system does for a process that dies
    assert (root / "studio" / upload_id / "part").stat().st_size == 17
    assert uploads.state("studio", upload_id).offset == 10
    with uploads.open("studio", upload_id) as upload:
        assert upload.offset == 10
        upload.hold_back()
        upload.write(DATA[10:])
        upload.accept()
    assert uploads.state("studio", upload_id).offset == len(DATA)
    assert (root / "studio" / upload_id / "part").read_bytes() == DATA


@pytest.mark.parametrize("links", [True, False], ids=["linked", "copied"])
def test_a_complete_upload_becomes_a_blob_and_stays_until_it_is_removed(
    uploads: ResumableUploads, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    if not links:

        def refuse(*_paths: object) -> None:
            raise OSError("this file system has no links")

        monkeypatch.setattr("os.link", refuse)
    store = LocalBlobStore(tmp_path / "blobs", lambda _blob: None)
    upload_id = begin(uploads, DATA)
    with uploads.open("studio", upload_id) as upload:
        blob = CompleteUpload(upload, store).commit()
        assert (blob.key.sha256, blob.bytes) == (hashlib.sha256(DATA).hexdigest(), len(DATA))
        assert uploads.state("studio", upload_id).offset == len(DATA)
        uploads.remove(upload)
    assert store.local_path(blob.key).read_bytes() == DATA
    assert ledger.sizes == {}
    assert list((tmp_path / "uploads" / "studio").iterdir()) == []
    with pytest.raises(NotFoundError):
        uploads.state("studio", upload_id)


def test_an_incomplete_upload_cannot_be_used(uploads: ResumableUploads, tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs", lambda _blob: None)
    with (
        uploads.open("studio", begin(uploads, DATA[:-3])) as upload,
        pytest.raises(UploadConflictError, match="3 bytes are missing"),
    ):
        CompleteUpload(upload, store)


def test_idle_uploads_expire_and_living_ones_do_not(uploads: ResumableUploads, root: Path, ledger: Ledger) -> None:
    idle, living, busy = (begin(uploads, DATA[:5]) for _ in range(3))
    for upload_id in (idle, busy):
        age(root / "studio" / upload_id / "part", 101)
    age(root / "studio" / living, 1000)  # the folder's own age says nothing
    with uploads.open("studio", busy):
        assert uploads.remove_expired() == 1
    assert sorted(path.name for path in (root / "studio").iterdir()) == sorted([living, busy])
    assert set(ledger.sizes) == {("studio", living), ("studio", busy)}


def test_what_a_crash_left_half_made_or_half_deleted_expires(uploads: ResumableUploads, root: Path) -> None:
    upload_id = begin(uploads, DATA)
    (root / "studio" / upload_id / "upload.json").unlink()
    (root / "0123.tmp").touch()
    assert uploads.remove_expired() == 0
    age(root / "studio" / upload_id, 101)
    age(root / "0123.tmp", 101)
    assert uploads.remove_expired() == 1
    assert list(root.rglob("*")) == [root / "studio"]


def test_the_sweep_of_blobs_leaves_uploads_alone(tmp_path: Path) -> None:
    from service.settings import Settings

    settings = Settings(data_dir=tmp_path)
    uploads = ResumableUploads(settings.uploads_dir, Ledger(), settings.upload_expiry_s)
    upload_id = begin(uploads, DATA)
    for path in (settings.uploads_dir / "studio").rglob("*"):
        age(path, 10 * settings.upload_expiry_s)
    LocalBlobStore(settings.blobs_dir, lambda _blob: None).remove_abandoned(1)
    assert uploads.state("studio", upload_id).offset == len(DATA)


def test_a_tenant_cannot_begin_without_end(uploads: ResumableUploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "MAX_UPLOADS_PER_TENANT", 2)
    for _ in range(2):
        begin(uploads)
    with pytest.raises(QuotaExceededError):
        begin(uploads)
    uploads.create("lab", name="b.dng", length=1)


def test_an_upload_is_told_by_its_record_alone(uploads: ResumableUploads, root: Path) -> None:
    upload_id = begin(uploads)
    record = json.loads((root / "studio" / upload_id / "upload.json").read_text(encoding="utf-8"))
    assert record["tenant"] == "studio"
    assert uploads.state("studio", upload_id).record.metadata == "filename YS5kbmc="


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), st.binary(max_size=50), max_size=5))
def test_metadata_is_read_as_it_was_written(pairs: dict[str, bytes]) -> None:
    uploader = Uploader.__new__(Uploader)
    uploader.metadata = {key: value.hex() for key, value in pairs.items()}
    uploader.metadata_encoding = "utf-8"
    header = ",".join(uploader.encode_metadata())
    assert parse_metadata(header) == {key: value.hex().encode() for key, value in pairs.items()}


@pytest.mark.parametrize("header", ["filename äöü", "filename YS5kbmc", "filename a b", "filename " + "A" * 5000])
def test_metadata_that_makes_no_sense_is_refused(header: str) -> None:
    with pytest.raises(UploadHeaderError, match="Upload-Metadata"):
        parse_metadata(header)
