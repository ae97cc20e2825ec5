"""Processes that are killed in the middle of a job: every accepted job ends once, as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from job_kinds import KINDS
from service_process import wait_until
from trouble import answers, catch, check_nothing_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kinds import Kind, Playground
    from service_process import RunningService

pytestmark = pytest.mark.integration
VICTIMS = ("child", "parent", "both")


def kill(service: RunningService, kind: Kind, victims: str) -> None:
    """Kill the worker's parent, its child or both, and the Redis server with them."""
    parent, child = service.worker(kind.queues)
    for pid in {"parent": [parent], "child": [child], "both": [parent, child]}[victims]:
        os.kill(pid, signal.SIGKILL)
    os.kill(service.redis(), signal.SIGKILL)


def check_survives(playground: Playground, kind: Kind, victims: str) -> str:
    """Kill in the middle of a job and see it done all the same; says how long it took until it was taken up again."""
    service = playground.service
    job_id, _ = catch(playground, kind, victims)
    killed_at = time.time()
    kill(service, kind, victims)
    wait_until(lambda: answers(service), 60)
    job = service.wait_for_state(job_id, "succeeded", "failed", timeout_s=300)
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    assert kind.outcome(service, job) == playground.undisturbed[kind.name]
    check_nothing_left(service.redis_url, service.data_dir)
    return f"taken up again after {datetime.fromisoformat(str(job['started_at'])).timestamp() - killed_at:.1f} s"


@pytest.mark.parametrize(
    ("kind", "victims"), [("denoise", "child"), ("describe", "parent"), ("finetune", "both"), ("validate", "child")]
)
def test_a_job_survives_the_death_of_its_worker_and_of_redis(
    impatient: Playground, kind: str, victims: str, measure: Callable[[str], None]
) -> None:
    measure(check_survives(impatient, KINDS[kind], victims))


@pytest.mark.slow
@pytest.mark.usefixtures("minutes")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("victims", VICTIMS)
def test_no_job_of_any_kind_is_lost_with_the_usual_settings(
    patient: Playground, kind: str, victims: str, measure: Callable[[str], None]
) -> None:
    measure(check_survives(patient, KINDS[kind], victims))
