"""Redis that goes away for a while: new work is refused, what runs goes on, and nothing has to be started again."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from job_kinds import KINDS, Material, make_captures
from redis_servers import RestartableServer
from service_process import USUAL, serve, wait_until
from trouble import answers, check_nothing_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx
    from service_process import RunningService

pytestmark = pytest.mark.integration
HURRIED = {
    "PHOTOSITE_LEASE_S": "3",
    "PHOTOSITE_LEASE_RENEWAL_S": "1",
    "PHOTOSITE_SWEEP_INTERVAL_S": "0.3",
    "PHOTOSITE_REPUBLISH_AFTER_S": "2",
}
"""Leases that lapse within a short outage."""


def check_refused(answer: httpx.Response) -> None:
    """While Redis is away, this is what everybody is told."""
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), answer.text
    assert answer.json()["code"] == "broker_unavailable"
    assert int(answer.headers["retry-after"]) > 0


@dataclass(frozen=True, slots=True)
class Outage:
    """How Redis goes away, how it comes back, and the seconds between."""

    begin: Callable[[], None]
    end: Callable[[], None]
    seconds: float


def check_outage(service: RunningService, outage: Outage, material: Material) -> dict[str, Any]:
    """Take Redis away while a picture, a training, an upload and a listener are busy; gives the jobs afterwards."""
    family = set(service.family())
    ids = {}
    for name in ("finetune", "denoise"):  # in this order: a training makes way for pictures, and would not get there
        ids[name] = KINDS[name].begin(service, material, "through")
        wait_until(lambda: KINDS[name].is_amid(service.job(ids[name])), 120)  # noqa: B023  (called at once)
    heard: list[str] = []
    listener = threading.Thread(target=listen, args=(service, ids["finetune"], heard))
    listener.start()
    away_at = time.monotonic()
    broken = service.client.post("/denoise", content=upload_while(material.big_raw.read_bytes(), outage.begin))
    check_refused(broken)
    while time.monotonic() < away_at + outage.seconds:
        check_refused(service.client.post("/denoise", content=material.big_raw.read_bytes()))
        check_refused(service.client.post("/captures", content=material.big_raw.read_bytes()))
        check_refused(service.client.post("/jobs/finetune", json={"captures": material.captures, "name": "refused"}))
        check_refused(service.client.get(f"/jobs/{ids['denoise']}"))
        assert service.client.get("/health/live").status_code == 200
        time.sleep(0.5)
    outage.end()
    wait_until(lambda: answers(service), 60)
    jobs = {name: service.wait_for_state(job_id, "succeeded", "failed", timeout_s=300) for name, job_id in ids.items()}
    listener.join(60)
    assert heard[-1] == "succeeded", "whoever listened has heard the end"
    later = KINDS["validate"].begin(service, material, ""), KINDS["denoise"].begin(service, material, "")
    for job_id in later:
        assert service.wait_for_state(job_id, "succeeded", "failed", timeout_s=300)["state"] == "succeeded"
    assert family <= set(service.family()), "no process had to be started again"
    return jobs


def upload_while(content: bytes, happens: Callable[[], None]) -> Iterator[bytes]:
    """A body during which something happens."""
    middle = len(content) // 2
    yield content[:middle]
    time.sleep(0.2)  # it has been received by then, or will be: either way the rest comes afterwards
    happens()
    yield content[middle:]


def listen(service: RunningService, job_id: str, heard: list[str]) -> None:
    """Follow a job by its events; notes its states."""
    with service.client.stream("GET", f"/jobs/{job_id}/events") as stream:
        heard.extend(json.loads(line[6:])["state"] for line in stream.iter_lines() if line.startswith("data: "))


@pytest.fixture
def redis_server(server_binary: str, tmp_path: Path) -> Iterator[RestartableServer]:
    """A server of its own, which nobody starts again by himself."""
    with RestartableServer(server_binary, tmp_path / "redis") as server:
        yield server


def check_jobs_go_on(service: RunningService, redis_url: str, outage: Outage, medium_raw: Path, folder: Path) -> None:
    """One outage, from its beginning to the last trace."""
    material = Material(medium_raw, make_captures(service, folder))
    jobs = check_outage(service, outage, material)
    assert {name: (job["state"], job["attempt"]) for name, job in jobs.items()} == {
        "denoise": ("succeeded", 1),
        "finetune": ("succeeded", 1),
    }
    for name, job in jobs.items():
        KINDS[name].outcome(service, job)
    check_nothing_left(redis_url, service.data_dir)


def test_work_goes_on_while_redis_is_away(
    redis_server: RestartableServer, service_settings: dict[str, str], medium_raw: Path, tmp_path: Path
) -> None:
    settings = {**service_settings, **HURRIED, "PHOTOSITE_REDIS_URL": redis_server.url}
    outage = Outage(redis_server.kill, redis_server.start, 6)
    with serve(tmp_path / "data", **settings) as service:
        check_jobs_go_on(service, redis_server.url, outage, medium_raw, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("minutes")
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_work_goes_on_with_the_usual_settings_while_redis_is(
    redis_server: RestartableServer, service_settings: dict[str, str], medium_raw: Path, tmp_path: Path, how: str
) -> None:
    settings = {**service_settings, **USUAL, "PHOTOSITE_REDIS_URL": redis_server.url}
    ways = {"killed": (redis_server.kill, redis_server.start), "frozen": (redis_server.freeze, redis_server.thaw)}
    with serve(tmp_path / "data", **settings) as service:
        check_jobs_go_on(service, redis_server.url, Outage(*ways[how], 20), medium_raw, tmp_path)
