"""Resumable uploads over real HTTP: by a client that is not ours, over a line that breaks, through a crash."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import time
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cutting_proxy import CuttingProxy
from service_process import MAX_UPLOAD_BYTES, serve, wait_until
from tusclient.client import TusClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
ASYNC = {"Prefer": "respond-async"}


def begin(service: RunningService, length: int, name: str = "IMG 7.dng") -> str:
    """Begin an upload; gives its address."""
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    answer = service.client.post("/uploads", headers={**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def append(
    service: RunningService, address: str, offset: int, data: bytes, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Add a piece."""
    headers = {**PIECE, "Upload-Offset": str(offset), **(headers or {})}
    return service.client.patch(address, headers=headers, content=data)


def offset_of(service: RunningService, address: str) -> int:
    """How much of an upload has come."""
    answer = service.client.head(address, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def use(service: RunningService, address: str, **headers: str) -> httpx.Response:
    """Have an upload denoised."""
    upload_id = address.removeprefix("/uploads/")
    return service.client.post("/denoise", params={"upload": upload_id}, headers={**ASYNC, **headers})


def check_problem(answer: httpx.Response, status: int, code: str) -> None:
    """Every error answer has this form, and says which protocol is spoken."""
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["tus-resumable"] == answer.headers["tus-version"] == "1.0.0"


def digest(data: bytes) -> str:
    """What names a content."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def half_sent(service: RunningService, address: str, data: bytes, length: int) -> Iterator[socket.socket]:
    """A PATCH that goes on: some of its body has been sent."""
    url = service.client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in PIECE.items())
        head = f"PATCH {address} HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\nContent-Length: {length}\r\n{head}\r\n"
        connection.sendall(head.encode() + data)
        yield connection


def test_the_service_says_what_of_the_protocol_it_speaks(service: RunningService) -> None:
    answer = service.client.options("/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-max-size"] == str(MAX_UPLOAD_BYTES)
    assert answer.headers["tus-extension"] == "creation,creation-with-upload,expiration,checksum,termination"
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"


def test_an_upload_in_pieces_is_denoised_as_if_it_had_come_whole(service: RunningService, raw: Path) -> None:
    data = raw.read_bytes()
    address = begin(service, len(data))
    at = 0
    for size in (1, 1000, 0, 33_333, len(data)):
        piece = data[at : at + size]
        answer = append(service, address, at, piece)
        at += len(piece)
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(at))
    assert parsedate_to_datetime(answer.headers["upload-expires"]).timestamp() > time.time() + 20 * 3600
    asked = service.client.head(address, headers=TUS)
    assert (asked.headers["upload-offset"], asked.headers["upload-length"]) == (str(len(data)), str(len(data)))
    assert asked.headers["cache-control"] == "no-store"
    assert asked.headers["upload-metadata"].startswith("filename ")
    upload_id = address.removeprefix("/uploads/")
    whole = service.client.post("/denoise", content=data)
    pieces = service.client.post("/denoise", params={"upload": upload_id})
    assert pieces.status_code == 200, pieces.text
    assert pieces.content == whole.content
    shown = service.job(pieces.headers["x-photosite-job"])["input"]
    assert shown == {"name": "IMG 7.dng", "bytes": len(data), "sha256": digest(data)}
    check_problem(service.client.patch(address, headers={**PIECE, "Upload-Offset": "0"}), 404, "not_found")
    assert not list((service.data_dir / "uploads").rglob(upload_id)), "it is used up"


def test_a_first_piece_may_come_with_the_beginning(service: RunningService, raw: Path) -> None:
    data = raw.read_bytes()
    answer = service.client.post("/uploads", headers={**PIECE, "Upload-Length": str(len(data))}, content=data[:500])
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "500")
    append(service, answer.headers["location"], 500, data[500:])
    assert use(service, answer.headers["location"]).json()["input"]["sha256"] == digest(data)


def test_a_first_piece_that_is_refused_leaves_nothing(service: RunningService) -> None:
    before = list((service.data_dir / "uploads").glob("*/*"))
    headers = {**PIECE, "Upload-Length": "10", "Upload-Checksum": "sha1 Lve95gjOVATpfV8EL5X4nxwjKHE="}
    check_problem(service.client.post("/uploads", headers=headers, content=b"damaged"), 460, "checksum_mismatch")
    assert list((service.data_dir / "uploads").glob("*/*")) == before


@pytest.mark.parametrize("checksums", [False, True], ids=["plain", "checksums"])
def test_a_client_that_is_not_ours_uploads_over_a_line_that_breaks(
    service: RunningService, big_raw: Path, *, checksums: bool
) -> None:
    data = big_raw.read_bytes()
    url = service.client.base_url
    with CuttingProxy((url.host, url.port or 80)) as proxy, big_raw.open("rb") as file:
        uploader = TusClient(f"{proxy.address}/uploads").uploader(
            file_stream=file,
            chunk_size=1_000_000,
            retries=30,
            retry_delay=0.05,
            upload_checksum=checksums,
            metadata={"filename": "tuspy.dng"},
        )
        if not checksums:  # what has come of a piece with a checksum counts only when all of it has
            proxy.cut_after_sent_bytes = 300_000
        uploader.upload()
        assert proxy.cuts >= (0 if checksums else 10)
    job = use(service, uploader.url.removeprefix(proxy.address)).json()
    assert job["input"] == {"name": "tuspy.dng", "bytes": len(data), "sha256": digest(data)}
    service.client.delete(f"/jobs/{job['id']}")


def test_what_came_before_a_crash_of_the_api_is_there_afterwards(service: RunningService, big_raw: Path) -> None:
    data = big_raw.read_bytes()
    address = begin(service, len(data))
    with half_sent(service, address, data[:3_000_000], len(data)):
        wait_until(lambda: offset_of(service, address) >= 2_000_000)
        promised = offset_of(service, address)
        [api] = [pid for pid, command in service.family().items() if " api --fd" in command]
        os.kill(api, signal.SIGKILL)
        wait_until(lambda: api not in service.family())
    wait_until(lambda: ready(service))
    offset = offset_of(service, address)
    assert promised <= offset <= 3_000_000
    assert append(service, address, offset, data[offset:]).status_code == 204
    job = use(service, address).json()
    assert job["input"]["sha256"] == digest(data)
    stored = [path for path in (service.data_dir / "blobs").rglob(digest(data)) if path.is_file()]
    assert [path.read_bytes() == data for path in stored] == [True]
    service.client.delete(f"/jobs/{job['id']}")


def ready(service: RunningService) -> bool:
    """Whether the API answers (again)."""
    try:
        return service.client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_a_piece_that_breaks_off_keeps_what_has_come(service: RunningService, big_raw: Path) -> None:
    data = big_raw.read_bytes()
    address = begin(service, len(data))
    with half_sent(service, address, data[:3_000_000], len(data)):
        wait_until(lambda: offset_of(service, address) >= 2_000_000)
        promised = offset_of(service, address)
    wait_until(lambda: append(service, address, offset_of(service, address), b"").status_code == 204)
    offset = offset_of(service, address)
    assert promised <= offset <= 3_000_000
    assert append(service, address, offset, data[offset:]).status_code == 204
    job = use(service, address).json()
    assert job["input"]["sha256"] == digest(data)
    service.client.delete(f"/jobs/{job['id']}")


def test_the_second_of_two_pieces_at_a_time_is_refused(service: RunningService, big_raw: Path) -> None:
    data = big_raw.read_bytes()
    address = begin(service, len(data))
    with half_sent(service, address, data[:3_000_000], len(data)) as connection:
        wait_until(lambda: offset_of(service, address) > 0)
        deleted = service.client.delete(address, headers=TUS)
        for answer in (append(service, address, 0, b""), use(service, address), deleted):
            assert (answer.status_code, answer.json()["code"]) == (423, "upload_busy")
            assert answer.headers["retry-after"] == "1"
        connection.sendall(data[3_000_000:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 204 ")
    assert offset_of(service, address) == len(data)
    assert service.client.delete(address, headers=TUS).status_code == 204
    check_problem(service.client.delete(address, headers=TUS), 404, "not_found")


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_damaged_piece_is_refused_and_leaves_nothing(service: RunningService, raw: Path, algorithm: str) -> None:
    data = raw.read_bytes()
    address = begin(service, len(data))
    checksum = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    headers = {"Upload-Checksum": f"{algorithm} {checksum}"}
    check_problem(append(service, address, 0, data[:-1] + b"?", headers), 460, "checksum_mismatch")
    assert offset_of(service, address) == 0
    append(service, address, 0, data[:100])
    rest = base64.b64encode(hashlib.new(algorithm, data[100:]).digest()).decode()
    answer = append(service, address, 100, data[100:], {"Upload-Checksum": f"{algorithm} {rest}"})
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(len(data)))
    assert use(service, address).json()["input"]["sha256"] == digest(data)


@pytest.mark.parametrize(
    ("method", "headers", "status", "code"),
    [
        ("POST", {"Upload-Length": "10", "Tus-Resumable": "0.2.2"}, 412, "unsupported_tus_version"),
        ("PATCH", {"Tus-Resumable": ""}, 412, "unsupported_tus_version"),
        ("POST", {}, 400, "invalid_upload"),
        ("POST", {"Upload-Length": "-1"}, 400, "invalid_upload"),
        ("POST", {"Upload-Length": "9" * 30}, 400, "invalid_upload"),
        ("POST", {"Upload-Length": "1", "Upload-Metadata": "filename ???"}, 400, "invalid_upload"),
        ("POST", {"Upload-Length": str(MAX_UPLOAD_BYTES + 1)}, 413, "raw_too_large"),
        ("PATCH", {"Upload-Offset": "0", "Content-Type": "application/json"}, 415, "unsupported_media_type"),
        ("PATCH", {}, 400, "invalid_upload"),
        ("PATCH", {"Upload-Offset": "5"}, 409, "conflict"),
        ("PATCH", {"Upload-Offset": "0", "Upload-Checksum": "md5 AAAA"}, 400, "invalid_upload"),
        ("PATCH", {"Upload-Offset": "0", "Upload-Checksum": "sha1 ???"}, 400, "invalid_upload"),
        ("POST", {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "5"}, 409, "conflict"),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(
    service: RunningService, method: str, headers: dict[str, str], status: int, code: str
) -> None:
    overridden = "X-HTTP-Method-Override" in headers
    address = "/uploads" if method == "POST" and not overridden else begin(service, 10)
    kind = {} if address == "/uploads" else PIECE
    answer = service.client.request(method, address, headers={**TUS, **kind, **headers}, content=b"0123")
    check_problem(answer, status, code)


def test_more_than_was_announced_is_refused(service: RunningService) -> None:
    address = begin(service, 10)
    check_problem(append(service, address, 0, b"0" * 11), 413, "raw_too_large")
    pieces = (b"0123456789" for _ in range(2))  # a body whose length is not known before
    headers = {**PIECE, "Upload-Offset": "0"}
    check_problem(service.client.patch(address, headers=headers, content=pieces), 413, "raw_too_large")
    assert offset_of(service, address) <= 10


@pytest.mark.parametrize("upload_id", ["0" * 32, "..", "x"])
def test_an_upload_that_is_not_there_is_not_found(service: RunningService, upload_id: str) -> None:
    answer = service.client.post("/denoise", params={"upload": upload_id})
    wanted = (404, "not_found") if upload_id == "0" * 32 else (422, "invalid_request")
    assert (answer.status_code, answer.json()["code"]) == wanted
    assert service.client.head("/uploads/" + "0" * 32, headers=TUS).status_code == 404


def test_an_upload_is_used_only_when_it_is_complete(service: RunningService, raw: Path) -> None:
    data = raw.read_bytes()
    address = begin(service, len(data))
    append(service, address, 0, data[:-1])
    answer = use(service, address)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "1 bytes are missing" in answer.json()["detail"]
    append(service, address, len(data) - 1, data[-1:])
    both = service.client.post("/denoise", params={"upload": address[9:]}, content=data)
    assert (both.status_code, both.json()["code"]) == (422, "invalid_request")
    assert use(service, address).status_code == 202


def test_an_upload_can_become_a_capture(service: RunningService, raw: Path) -> None:
    data = raw.read_bytes()
    address = begin(service, len(data), "noisy.dng")
    append(service, address, 0, data)
    answer = service.client.post("/captures", params={"upload": address.removeprefix("/uploads/")})
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert (shown["name"], shown["bytes"], shown["sha256"]) == ("noisy.dng", len(data), digest(data))
    assert service.client.head(address, headers=TUS).status_code == 404


def test_an_upload_that_was_refused_is_still_there(service: RunningService, raw: Path) -> None:
    """Who misspelt the model need not send it all again."""
    data = raw.read_bytes()
    address = begin(service, len(data))
    append(service, address, 0, data)
    query: dict[str, Any] = {"upload": address.removeprefix("/uploads/"), "model": "nobody"}
    assert service.client.post("/denoise", params=query).status_code == 422
    assert use(service, address).status_code == 202


def test_a_request_whose_answer_was_lost_is_answered_again(service: RunningService, raw: Path) -> None:
    """The first has used the upload up: only the key tells that the second is the same."""
    data = raw.read_bytes()
    address = begin(service, len(data))
    append(service, address, 0, data)
    key = {"Idempotency-Key": f"tus {service.address}"}
    first, again = (use(service, address, **key) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert use(service, address).status_code == 404
    other = service.client.post("/denoise", params={"upload": address[9:], "strength": 0.5}, headers={**ASYNC, **key})
    assert other.status_code == 404


def test_uploads_count_as_stored_and_expire(server_binary: str, models_dir: Path, raw: Path, tmp_path: Path) -> None:
    data = raw.read_bytes()
    settings = {
        "PHOTOSITE_REDIS_SERVER": server_binary,
        "PHOTOSITE_MODELS_DIR": str(models_dir),
        "PHOTOSITE_MAX_TENANT_BYTES": str(2 * len(data)),
        "PHOTOSITE_UPLOAD_EXPIRY_S": "3",
    }
    with serve(tmp_path / "data", **settings) as service:
        address = begin(service, len(data) + 10)
        headers = {**TUS, "Upload-Length": str(len(data))}
        answer = service.client.post("/uploads", headers=headers)
        check_problem(answer, 429, "quota_exceeded")
        assert int(answer.headers["retry-after"]) > 0
        wait_until(lambda: service.client.head(address, headers=TUS).status_code == 404)
        assert list((service.data_dir / "uploads").glob("*/*")) == []
        whole = begin(service, 2 * len(data))
        assert service.client.delete(whole, headers=TUS).status_code == 204
        last = begin(service, len(data))
        append(service, last, 0, data)
        assert use(service, last).status_code == 202
