"""A job that takes longer than the broker waits for its message to be settled: it runs once all the same."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

import pytest
import redis
from job_kinds import KINDS, Material, begin_finetune, make_captures
from service_process import USUAL, RunningService, extra_worker, serve, wait_until
from trouble import check_nothing_left

from service.lines import PRIORITY_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration
TRAINER = "finetune,validate"
FOR_EVER = 1_000_000


class MessageCount:
    """Looks every now and then how many messages of a queue there are; keeps the largest number."""

    def __init__(self, redis_url: str, queue: str) -> None:
        self.most = 0
        self._keys = [f"ps:broker:{queue}:{step}" if step else f"ps:broker:{queue}" for step in PRIORITY_STEPS]
        self._client = redis.Redis.from_url(redis_url)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, sum(int(self._client.llen(key)) for key in self._keys))  # type: ignore[arg-type]


def train_for(service: RunningService, material: Material, seconds: float, at_least_redelivered: int) -> int:
    """Train for so long while other jobs are done; gives the largest number of messages that waited at a time."""
    job_id = begin_finetune(service, material, "long", steps=FOR_EVER)
    log = service.data_dir.with_suffix(".log")
    wait_until(lambda: service.job(job_id)["stage"] == "train", 120)
    began = time.monotonic()
    with MessageCount(service.redis_url, "finetune") as count:
        while time.monotonic() < began + seconds or redeliveries(log, job_id) < at_least_redelivered:
            for name in ("denoise", "validate"):
                other = KINDS[name].begin(service, material, "other")
                job = service.wait_for_state(other, "succeeded", "failed", timeout_s=300)
                assert (job["state"], job["attempt"]) == ("succeeded", 1)
            assert time.monotonic() < began + seconds + 120, "the message did not come again"
            time.sleep(min(5.0, seconds / 10))
        job = service.job(job_id)
        assert (job["state"], job["attempt"], job["stage"]) == ("running", 1, "train")
    service.client.delete(f"/jobs/{job_id}")
    return count.most


def redeliveries(log: Path, job_id: str) -> int:
    """How often a worker got a message of a job that another is at."""
    return log.read_text(encoding="utf-8").count(f"job {job_id}: nothing to do")


def test_a_job_longer_than_the_visibility_timeout_runs_once(
    server_binary: str, service_settings: dict[str, str], medium_raw: Path, tmp_path: Path
) -> None:
    settings = {**service_settings, **USUAL, "PHOTOSITE_VISIBILITY_TIMEOUT_S": "1"}
    with serve(tmp_path / "data", PHOTOSITE_REDIS_SERVER=server_binary, **settings) as service:
        material = Material(medium_raw, make_captures(service, tmp_path))
        with extra_worker(service, TRAINER, service.redis_url, **settings):
            assert train_for(service, material, 3, at_least_redelivered=1) <= 1
        check_nothing_left(service.redis_url, service.data_dir)


@pytest.mark.slow
def test_a_job_of_many_minutes_runs_once_with_the_usual_settings(
    minutes: float,
    server_binary: str,
    service_settings: dict[str, str],
    medium_raw: Path,
    tmp_path: Path,
    *,
    measure: Callable[[str], None],
) -> None:
    settings = {**service_settings, **USUAL, "PHOTOSITE_REDIS_SERVER": server_binary}
    with serve(tmp_path / "data", **settings) as service:
        material = Material(medium_raw, make_captures(service, tmp_path))
        with extra_worker(service, TRAINER, service.redis_url, **settings):
            most = train_for(service, material, 60 * minutes, at_least_redelivered=1)
        assert most <= 1
        check_nothing_left(service.redis_url, service.data_dir)
    measure(f"{minutes:g} minutes, started once, at most {most} messages waiting")
