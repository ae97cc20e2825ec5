"""The whole deployment on one machine: work is done and seen, a lost worker is noticed, nothing is lost in a restart.

The tests build on one another, in this order: what the first ones did is what Prometheus is asked for.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from deployment_processes import seconds_since
from dng_factory import make_dng, sample_mosaic
from service_process import wait_until

from service.client import PhotositeClient
from service.dashboards import expressions
from service.schemas import FinetuneParameters
from training.errors import PhotositeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deployment_processes import Deployment

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NOISE = (1e-3, 1e-6)
PATIENCE_S = 180
WORKERS = ("denoise-1", "denoise-2", "preview", "train")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Different DNGs, so that no two jobs share a file."""
    folder = tmp_path_factory.mktemp("pictures")
    return [
        make_dng(folder / f"{seed}.dng", sample_mosaic(512, 768, seed=seed), layout="ljpeg-tiles", noise_profile=NOISE)
        for seed in range(4)
    ]


@pytest.fixture
def client(deployment: Deployment) -> Iterator[PhotositeClient]:
    with PhotositeClient(deployment.address, deployment.key, patience_s=PATIENCE_S) as connected:
        yield connected


def wait_for_all(client: PhotositeClient, job_ids: list[str]) -> None:
    """Wait until all jobs have succeeded."""
    for job_id in job_ids:
        job = client.wait(job_id)
        assert job.state == "succeeded", job.error


def test_a_days_jobs_are_done(
    client: PhotositeClient,
    deployment: Deployment,
    pictures: list[Path],
    job_count: int,
    measure: Callable[[str], None],
) -> None:
    started = time.monotonic()
    wait_until(lambda: all(map(deployment.worker_answers, WORKERS)), 60)
    captures = [client.add_capture(path).id for path in pictures]
    for capture_id in captures:
        wait_until(lambda found=capture_id: client.capture(found).state == "usable", PATIENCE_S)
    training = client.finetune(FinetuneParameters(captures=captures, base="tiny", name="mine", steps=40))
    jobs = [client.submit(pictures[index % len(pictures)]).id for index in range(job_count)]
    wait_for_all(client, [*jobs, training.id])
    measure(f"{job_count} pictures, {len(captures)} captures and a fine-tuning in {seconds_since(started)} s")


def test_every_panel_has_data(
    client: PhotositeClient, deployment: Deployment, pictures: list[Path], measure: Callable[[str], None]
) -> None:
    asked = expressions()
    jobs = [client.submit(path).id for path in pictures]
    wait_for_all(client, jobs)
    look_at(deployment, jobs[0], 512)
    deadline, size = time.monotonic() + PATIENCE_S, 512
    while silent := [expression for expression in asked if not has_data(deployment, expression)]:
        assert time.monotonic() < deadline, silent
        wait_for_all(client, [client.submit(pictures[0]).id])  # a rate needs something before and after
        look_at(deployment, jobs[0], size := size + 1)
        time.sleep(1)
    measure(f"{len(asked)} expressions returned data")


def look_at(deployment: Deployment, job_id: str, size: int) -> None:
    """Have a picture for the screen made."""
    headers = {"Authorization": f"Bearer {deployment.key}", "Prefer": "wait=60"}
    url = f"{deployment.address}/jobs/{job_id}/preview"
    params = {"stage": "before", "size": size}
    answer = httpx.get(url, params=params, headers=headers, timeout=90, trust_env=False)
    assert answer.status_code < 300, answer.text


def has_data(deployment: Deployment, expression: str) -> bool:
    """Whether an expression gives at least one number."""
    values = [float(result["value"][1]) for result in deployment.query(expression)]
    return any(not math.isnan(value) for value in values)


def test_a_killed_worker_is_noticed_and_its_return_too(
    client: PhotositeClient, deployment: Deployment, pictures: list[Path], measure: Callable[[str], None]
) -> None:
    assert deployment.firing("PhotositeWorkerLost") == []
    jobs = [client.submit(path).id for path in pictures]
    worker = deployment.members["denoise-2"]
    started = time.monotonic()
    worker.kill()
    wait_until(lambda: bool(deployment.firing("PhotositeWorkerLost")), 60)
    [lost] = deployment.firing("PhotositeWorkerLost")
    assert lost["instance"] == f"127.0.0.1:{worker.metrics_port}"
    measure(f"the alert fired {seconds_since(started)} s after the kill (its patience is a second here)")
    wait_for_all(client, jobs)
    started = time.monotonic()
    worker.start()
    wait_until(lambda: not deployment.firing("PhotositeWorkerLost"), 120)
    measure(f"it cleared {seconds_since(started)} s after the worker's start")


def test_a_rolling_restart_under_load_loses_no_job(
    client: PhotositeClient, deployment: Deployment, pictures: list[Path], measure: Callable[[str], None]
) -> None:
    load = Load(deployment, pictures)
    statuses = {}
    with load:
        for name in (*WORKERS, "api", "redis", "prometheus"):
            load.wait_for(2)
            member = deployment.members[name]
            statuses[name] = member.stop()
            member.start()
            ready = {
                "api": deployment.is_ready,
                "redis": deployment.is_ready,
                "prometheus": deployment.prometheus_is_ready,
            }.get(name, lambda worker=name: deployment.worker_answers(worker))
            wait_until(ready, 120)
        load.wait_for(2)
    assert load.errors == []
    assert -9 not in statuses.values(), f"one did not stop in its time: {statuses}"
    wait_for_all(client, load.accepted)
    measure(f"{len(load.accepted)} jobs were accepted while all seven processes restarted, and all succeeded")
    assert deployment.query("sum(max by (queue) (photosite_queue_depth))") != []


class Load:
    """Somebody who hands in one picture after another, whatever happens, and remembers what was accepted."""

    def __init__(self, deployment: Deployment, pictures: list[Path]) -> None:
        self.accepted: list[str] = []
        self.errors: list[str] = []
        self._deployment = deployment
        self._pictures = pictures
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def wait_for(self, jobs: int) -> None:
        """Wait until so many more jobs are accepted."""
        wanted = len(self.accepted) + jobs
        wait_until(lambda: len(self.accepted) >= wanted or bool(self.errors), PATIENCE_S)

    def _run(self) -> None:
        with PhotositeClient(self._deployment.address, self._deployment.key, patience_s=PATIENCE_S) as client:
            while not self._ended.wait(0.3):
                try:
                    picture = self._pictures[len(self.accepted) % len(self._pictures)]
                    self.accepted.append(client.submit(picture).id)
                except PhotositeError as error:
                    self.errors.append(f"{error.code}: {error.message} {error.detail}")
