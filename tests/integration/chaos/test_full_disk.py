"""A disk that fills up under the service: uploads are refused, jobs are tried again, and it recovers by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from job_kinds import KINDS, Material
from redis_servers import running_server
from service_process import RunningService, serve, wait_until
from trouble import answers, check_nothing_left, disk_of, filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration
DISK_BYTES = 48 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of `DISK_BYTES`."""
    with disk_of(DISK_BYTES, tmp_path / "data") as folder:
        yield folder


def is_refused(service: RunningService, raw: Path) -> bool:
    """Whether an upload finds no room, and is told so in the usual way."""
    answer = service.client.post("/denoise", headers={"Prefer": "respond-async"}, content=raw.read_bytes())
    if answer.status_code != 503:
        return False
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "storage_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    return True


def test_a_full_disk_is_said_so_and_survived(
    server_binary: str, service_settings: dict[str, str], medium_raw: Path, small_disk: Path
) -> None:
    with (
        running_server(server_binary) as redis_url,
        serve(small_disk, PHOTOSITE_REDIS_URL=redis_url, **service_settings) as service,
    ):
        material, denoise = Material(medium_raw, []), KINDS["denoise"]
        job_id = denoise.begin(service, material, "")
        wait_until(lambda: denoise.is_amid(service.job(job_id)), 60)
        with filled(small_disk):
            assert is_refused(service, medium_raw)
            assert service.client.get("/health/ready").status_code == 503
            wait_until(lambda: service.job(job_id)["attempt"] != 1 or service.job(job_id)["state"] != "running", 60)
        job = service.wait_for_state(job_id, "succeeded", "failed")
        assert job["state"] == "succeeded" or job["error"]["code"] == "storage_unavailable"  # type: ignore[index]
        later = denoise.begin(service, material, "")
        assert service.wait_for_state(later, "succeeded", "failed")["state"] == "succeeded"
        check_nothing_left(redis_url, small_disk)


@pytest.mark.slow
@pytest.mark.usefixtures("minutes")
def test_a_disk_so_full_that_redis_dies_is_waited_for(
    server_binary: str, service_settings: dict[str, str], medium_raw: Path, small_disk: Path
) -> None:
    with serve(small_disk, PHOTOSITE_REDIS_SERVER=server_binary, **service_settings) as service:
        material, denoise = Material(medium_raw, []), KINDS["denoise"]
        job_id = denoise.begin(service, material, "")
        wait_until(lambda: denoise.is_amid(service.job(job_id)), 60)
        with filled(small_disk):
            wait_until(lambda: not answers(service), 30)
            time.sleep(12)  # longer than the supervisor has patience with what only crashes
            assert service.process.poll() is None
        wait_until(lambda: answers(service), 60)
        job = service.wait_for_state(job_id, "succeeded", "failed")
        assert job["state"] == "succeeded" or job["error"]["code"] == "storage_unavailable"  # type: ignore[index]
        later = denoise.begin(service, material, "")
        assert service.wait_for_state(later, "succeeded", "failed")["state"] == "succeeded"
        check_nothing_left(service.redis_url, small_disk)
