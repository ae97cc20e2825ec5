"""Too much at a time, and too little: dripping uploads, and more requests than may be served at once."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest
from service_process import serve, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from service_process import RunningService

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def strict(server_binary: str, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that serves two requests at a time and expects 2 kB per second."""
    settings = {
        "PHOTOSITE_REDIS_SERVER": server_binary,
        "PHOTOSITE_MODELS_DIR": str(models_dir),
        "PHOTOSITE_UPLOAD_IDLE_TIMEOUT_S": "2",
        "PHOTOSITE_MIN_UPLOAD_BYTES_PER_S": "2000",
        "PHOTOSITE_MAX_CONCURRENT_REQUESTS": "2",
        "PHOTOSITE_MAX_HEADER_BYTES": "20000",
        "PHOTOSITE_MAX_EVENT_STREAMS_PER_TENANT": "1",
        "PHOTOSITE_MAX_FINETUNE_MINUTES": "5",
    }
    with serve(tmp_path_factory.mktemp("strict") / "data", **settings) as running:
        yield running


def reach(service: RunningService) -> socket.socket:
    """A connection on which nothing has been said."""
    url = service.client.base_url
    return socket.create_connection((url.host, url.port or 80), timeout=60)


def connect(service: RunningService, length: int) -> socket.socket:
    """A request to denoise whose body is still to come."""
    connection = reach(service)
    connection.sendall(f"POST /denoise HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
    return connection


def drip(connection: socket.socket, data: bytes, size: int, pause_s: float) -> bytes:
    """Send a body slowly until it is answered; gives the answer's beginning."""
    connection.settimeout(pause_s)
    for at in range(0, len(data), size):
        try:
            connection.sendall(data[at : at + size])
            return connection.recv(65536)
        except TimeoutError:
            continue
    connection.settimeout(60)
    return connection.recv(65536)


def test_a_dripping_upload_is_ended(strict: RunningService, raw: Path) -> None:
    before = strict.blobs()
    with connect(strict, raw.stat().st_size) as connection:
        answer = drip(connection, raw.read_bytes()[:2000], 10, 0.1)  # 20 s of it
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"upload_timeout"' in answer
    assert b"too slow" in answer
    wait_until(lambda: strict.blobs() <= before)


def test_a_slow_upload_that_is_fast_enough_is_taken(strict: RunningService, raw: Path) -> None:
    data = raw.read_bytes()
    with connect(strict, len(data)) as connection:
        answer = drip(connection, data, len(data) // 12, 0.4)  # twice the span
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 "))


def test_more_requests_than_may_be_served_are_refused_as_a_problem(strict: RunningService) -> None:
    refused: list[httpx.Response] = []

    def ask() -> bool:
        answer = strict.client.get("/jobs")
        if answer.status_code == 503:
            refused.append(answer)
        return bool(refused)

    with connect(strict, 100_000), connect(strict, 100_000):
        wait_until(ask)
        assert strict.client.get("/health/live").status_code == 200, "a probe that is refused would restart it"
        assert 'code="503"' in strict.client.get("/metrics").text
    assert refused[0].json()["code"] == "overloaded"
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert int(refused[0].headers["retry-after"]) > 0
    wait_until(lambda: strict.client.get("/jobs").status_code == 200)


def test_idle_connections_are_no_load(strict: RunningService) -> None:
    connections = [reach(strict) for _ in range(10)]
    time.sleep(0.2)
    assert strict.client.get("/jobs").status_code == 200
    for connection in connections:
        connection.close()


def test_headers_without_end_are_refused(strict: RunningService) -> None:
    most = 8 << 20
    with reach(strict) as connection:
        connection.sendall(b"GET /jobs HTTP/1.1\r\nHost: x\r\n")
        connection.settimeout(0.02)
        answer, sent = b"", 0
        while not answer and sent < most:
            with contextlib.suppress(TimeoutError, ConnectionError):
                sent += connection.send(b"X-More: " + b"a" * 8000 + b"\r\n")
                answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert sent < most
    assert strict.client.get("/jobs").status_code == 200


@pytest.mark.parametrize("said", [b"", b"GET /jobs HTTP/1.1\r\nHos"], ids=["nothing", "half a head"])
def test_headers_that_do_not_come_are_not_waited_for(strict: RunningService, said: bytes) -> None:
    with reach(strict) as connection:
        connection.sendall(said)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 " if said else b"")
        assert bool(answer) == bool(said)
        assert connection.recv(65536) == b""


def test_requests_one_after_the_other_on_a_connection_are_all_answered(strict: RunningService) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with reach(strict) as connection:

        def ask(count: int) -> None:
            connection.sendall(request * count)
            answers = b""
            while answers.count(b'"alive"') < count:
                answers += connection.recv(65536)
            assert answers.count(b"HTTP/1.1 200 ") == count

        for _ in range(3):
            time.sleep(1)  # together longer than one head may take
            ask(1)
        ask(3)


def test_a_tenant_has_so_many_streams_of_events(strict: RunningService, big_raw: Path) -> None:
    job = strict.client.post(
        "/denoise?model=slow", content=big_raw.read_bytes(), headers={"Prefer": "respond-async"}
    ).json()
    with strict.client.stream("GET", job["links"]["events"]) as stream:
        lines = stream.iter_lines()  # which must not be collected: that would end it
        assert next(lines)
        refused = strict.client.get(job["links"]["events"])
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    strict.client.delete(job["links"]["self"])
    wait_until(lambda: strict.client.get(job["links"]["events"]).status_code == 200)


def test_a_fine_tuning_may_ask_for_so_many_minutes(strict: RunningService) -> None:
    asked = {"captures": ["0" * 32], "name": "mine", "minutes": 6}
    answer = strict.client.post("/jobs/finetune", json=asked)
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "body.minutes: at most 5 are given to a fine-tuning here",
    )
    assert strict.client.post("/jobs/finetune", json={**asked, "minutes": 5}).status_code == 404, "no such capture"
