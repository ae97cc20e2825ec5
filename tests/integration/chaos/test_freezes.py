"""Workers that freeze in the middle of a job, and thaw when another has done it: nothing changes any more."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from job_kinds import KINDS
from service_process import extra_worker
from trouble import catch, check_nothing_left, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kinds import Kind, Playground

pytestmark = pytest.mark.integration


FOLLOWERS = {"preview": "describe", "denoise": "denoise", "finetune,validate": "validate"}
"""A job that the worker on these queues does."""


def check_thaws(playground: Playground, kind: Kind, frozen_s: float) -> str:
    """Freeze the process that does a job, let another do it, thaw the first; says how long both took."""
    service = playground.service
    job_id, frozen = catch(playground, kind, "frozen")
    frozen_at = time.monotonic()
    with extra_worker(service, kind.queues, service.redis_url, **playground.settings):
        job = service.wait_for_state(job_id, "succeeded", "failed", timeout_s=300)
    done_s = time.monotonic() - frozen_at
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    assert kind.outcome(service, job) == playground.undisturbed[kind.name]
    before = record(service.redis_url, job_id)
    time.sleep(max(0.0, frozen_s - done_s))
    os.kill(frozen, signal.SIGCONT)
    # The thawed process does this one, once it has let go of the other.
    follower = KINDS[FOLLOWERS[kind.queues]].begin(service, playground.material, "")
    assert service.wait_for_state(follower, "succeeded", "failed", timeout_s=300)["state"] == "succeeded"
    assert service.worker(kind.queues)[1] == frozen
    assert record(service.redis_url, job_id) == before
    assert kind.outcome(service, service.job(job_id)) == playground.undisturbed[kind.name]
    check_nothing_left(service.redis_url, service.data_dir)
    return f"done elsewhere after {done_s:.1f} s, thawed after {max(done_s, frozen_s):.1f} s"


@pytest.mark.parametrize("kind", ["denoise", "finetune"])
def test_a_worker_that_thaws_too_late_changes_nothing(
    impatient: Playground, kind: str, measure: Callable[[str], None]
) -> None:
    measure(check_thaws(impatient, KINDS[kind], frozen_s=0))


@pytest.mark.slow
@pytest.mark.usefixtures("minutes")
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_thaws_after_a_minute_changes_nothing(
    patient: Playground, kind: str, measure: Callable[[str], None]
) -> None:
    measure(check_thaws(patient, KINDS[kind], frozen_s=60))
