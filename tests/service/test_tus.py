"""Pieces of uploads as the API takes them, in this process: what breaks off, and what is damaged."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from idle_app import IDLE_APP
from starlette.requests import ClientDisconnect, Request

from service.api.routes.tus import Checksum, _append
from service.errors import ChecksumMismatchError, UploadTimeoutError
from service.resumable import ResumableUploads
from service.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from service.resumable import OpenUpload

DATA = bytes(range(256)) * 20


class Uncounted:
    """A ledger that counts nothing."""

    def reserve_upload(self, tenant: str, upload_id: str, size: int) -> None:
        """Nothing."""

    def release_upload(self, tenant: str, upload_id: str) -> None:
        """Nothing."""


@pytest.fixture
def uploads(tmp_path: Path) -> ResumableUploads:
    return ResumableUploads(tmp_path / "uploads", Uncounted(), 100)


def open_upload(uploads: ResumableUploads, length: int = len(DATA)) -> OpenUpload:
    """Begin an upload and take it."""
    return uploads.open("studio", uploads.create("studio", name="a.dng", length=length).record.id)


def send(upload: OpenUpload, *messages: dict[str, Any], checksum: Checksum | None = None, span_s: float = 30) -> None:
    """Pass a body's messages to an upload; after the last one nothing more comes."""
    left = list(messages)

    async def receive() -> Any:
        return left.pop(0) if left else await asyncio.Event().wait()

    request = Request({"type": "http", "app": IDLE_APP, "headers": [], "method": "PATCH"}, receive)
    asyncio.run(_append(request, upload, checksum, Settings(upload_idle_timeout_s=span_s)))


def piece(data: bytes, *, more: bool = True) -> dict[str, Any]:
    """A part of a body."""
    return {"type": "http.request", "body": data, "more_body": more}


GONE = {"type": "http.disconnect"}


@pytest.mark.parametrize("write_bytes", [1, 700, 10**6])
def test_a_piece_that_breaks_off_keeps_every_byte_that_came(
    uploads: ResumableUploads, monkeypatch: pytest.MonkeyPatch, write_bytes: int
) -> None:
    monkeypatch.setattr("service.api.routes.tus.WRITE_BYTES", write_bytes)
    with open_upload(uploads) as upload:
        with pytest.raises(ClientDisconnect):
            send(upload, piece(DATA[:1000]), piece(DATA[1000:1500]), GONE)
        assert upload.offset == 1500
        with pytest.raises(UploadTimeoutError, match="nothing came"):
            send(upload, span_s=0.05)
        send(upload, piece(DATA[1500:], more=False))
        assert upload.path.read_bytes() == DATA


def test_a_piece_with_a_checksum_counts_whole_or_not_at_all(uploads: ResumableUploads) -> None:
    right = Checksum("sha256", hashlib.sha256(DATA).digest())
    upload = open_upload(uploads)
    upload_id = upload.record.id
    with upload, pytest.raises(ClientDisconnect):
        send(upload, piece(DATA[:1000]), GONE, checksum=right)
    assert uploads.state("studio", upload_id).offset == 0
    with uploads.open("studio", upload_id) as upload, pytest.raises(ChecksumMismatchError):
        send(upload, piece(DATA[::-1], more=False), checksum=right)
    assert uploads.state("studio", upload_id).offset == 0
    with uploads.open("studio", upload_id) as upload:
        send(upload, piece(DATA[:1000]), piece(DATA[1000:], more=False), checksum=right)
    assert uploads.state("studio", upload_id).offset == len(DATA)
    assert upload.path.read_bytes() == DATA


def test_a_dripping_piece_is_given_up_and_keeps_what_has_come(uploads: ResumableUploads) -> None:
    async def drip() -> Any:
        await asyncio.sleep(0.01)
        return piece(b"x")

    with open_upload(uploads) as upload:
        request = Request({"type": "http", "app": IDLE_APP, "headers": [], "method": "PATCH"}, drip)
        settings = Settings(upload_idle_timeout_s=0.2, min_upload_bytes_per_s=10_000)
        with pytest.raises(UploadTimeoutError, match="too slow"):
            asyncio.run(_append(request, upload, None, settings))
        assert 1 <= upload.offset <= 20


def test_a_full_disk_does_not_write_a_byte_twice(uploads: ResumableUploads, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.errors import StorageUnavailableError

    with open_upload(uploads) as upload:
        write, calls = upload.write, []

        def fill_up(data: bytes) -> None:
            calls.append(len(data))
            if len(calls) == 1:
                write(data[:300])
                raise StorageUnavailableError("full")
            write(data)

        monkeypatch.setattr(upload, "write", fill_up)
        with pytest.raises(StorageUnavailableError):
            send(upload, piece(DATA, more=False))
        assert upload.offset == 300
        assert upload.path.read_bytes() == DATA[:300]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_checksums_are_read_as_the_protocol_has_them(algorithm: str) -> None:
    digest = hashlib.new(algorithm, DATA).digest()
    checksum = Checksum.parse(f"{algorithm} {base64.b64encode(digest).decode()}")
    assert checksum == Checksum(algorithm, digest)
    assert checksum.start().digest_size == len(digest)
