"""`GET /jobs/results.zip` over real HTTP: what several jobs have made, in one file."""

from __future__ import annotations

import io
import re
import socket
import zipfile
from typing import TYPE_CHECKING

import pytest
from service_process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration

ASYNC = {"Prefer": "respond-async"}


def denoise(service: RunningService, raw: Path, name: str = "a.dng", **query: str) -> str:
    """Have a file denoised; gives the job's id."""
    headers = {**ASYNC, "Content-Disposition": f'attachment; filename="{name}"'}
    answer = service.client.post("/denoise", params=query, headers=headers, content=raw.read_bytes())
    job_id = str(answer.json()["id"])
    service.wait_for_state(job_id, "succeeded")
    return job_id


def in_progress(service: RunningService) -> float:
    """Requests that are being answered."""
    found = re.search(r"^photosite_http_requests_in_progress (.+)$", service.client.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def test_several_results_come_in_one_archive(service: RunningService, raw: Path) -> None:
    ids = [denoise(service, raw, batch="zipped", strength=strength) for strength in ("0.2", "0.3", "0.4")]
    results = [service.client.get(f"/jobs/{job_id}/result").content for job_id in ids]
    answer = service.client.get("/jobs/results.zip", params={"id": [*ids, ids[0]]})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="results.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == ["a-denoised.dng", "a-denoised-2.dng", "a-denoised-3.dng"]
        assert [archive.read(name) for name in names] == results
    batch = service.client.get("/jobs/results.zip", params={"batch": "zipped"})
    assert batch.content == answer.content
    assert batch.headers["content-disposition"] == 'attachment; filename="zipped.zip"'


def test_jobs_that_have_no_result_are_named(service: RunningService, raw: Path, big_raw: Path) -> None:
    done = denoise(service, raw)
    answer = service.client.post("/denoise", params={"model": "slow"}, headers=ASYNC, content=big_raw.read_bytes())
    pending = answer.json()["id"]
    service.client.delete(f"/jobs/{pending}")
    answer = service.client.get("/jobs/results.zip", params={"id": [done, pending]})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert pending in answer.json()["detail"]
    assert "cancelled" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"id": "x"}, 422, "invalid_request"),
        ({"id": "0" * 32}, 404, "not_found"),
        ({"batch": "nobodys"}, 404, "not_found"),
    ],
)
def test_what_is_not_there_is_refused(service: RunningService, query: dict[str, str], status: int, code: str) -> None:
    answer = service.client.get("/jobs/results.zip", params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_client_that_leaves_ends_the_work(service: RunningService, big_raw: Path) -> None:
    job_id = denoise(service, big_raw)
    url = service.client.base_url
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that most of it must wait
        connection.connect((url.host, url.port or 80))
        connection.sendall(f"GET /jobs/results.zip?id={job_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert in_progress(service) == 2
    wait_until(lambda: in_progress(service) == 1)
