"""A lease is kept while the work advances, and lost otherwise."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from service.errors import BrokerUnavailableError, LeaseLostError
from service.job_records import Job
from service.jobs import JobStore
from service.schemas import DenoiseParameters, FileSchema
from service.settings import Settings
from service.worker.lease import Lease

if TYPE_CHECKING:
    from pathlib import Path


class RecordedJobs(JobStore):
    """Notes renewals instead of writing them; raises what it is told to."""

    def __init__(self) -> None:
        self.renewals: list[tuple[str, float]] = []
        self.error: Exception | None = None
        self.asked = 0

    def renew(self, job: Job, stage: str, progress: float, figures: dict[str, Any] | None = None) -> Job:  # noqa: ARG002
        """Note it."""
        self.asked += 1
        if self.error:
            raise self.error
        self.renewals.append((stage, progress))
        return job

    def check_ours(self, job: Job) -> None:  # noqa: ARG002  (the signature is JobStore's)
        """Raise what is to be raised."""
        self.asked += 1
        if self.error:
            raise self.error


JOB = Job(
    id="0" * 32,
    state="running",
    attempt=1,
    parameters=DenoiseParameters(),
    input=FileSchema(name="a.dng", bytes=1, sha256="0" * 64),
)


@pytest.fixture
def jobs() -> RecordedJobs:
    return RecordedJobs()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, lease_renewal_s=0.02, stall_timeout_s=0.2)


def test_it_is_renewed_while_a_tile_takes_long(jobs: RecordedJobs, settings: Settings) -> None:
    with Lease(jobs, JOB, settings) as lease:
        lease.advance("network", 0.25)
        time.sleep(0.12)
    assert len(jobs.renewals) >= 3
    assert set(jobs.renewals) == {("network", 0.25)}


def test_nothing_is_renewed_after_the_end(jobs: RecordedJobs, settings: Settings) -> None:
    with Lease(jobs, JOB, settings) as lease:
        lease.advance("network", 0)
    count = len(jobs.renewals)
    time.sleep(0.06)
    assert len(jobs.renewals) == count


def test_work_that_stands_still_ends_the_process(jobs: RecordedJobs, settings: Settings) -> None:
    stalled = threading.Event()
    with Lease(jobs, JOB, settings, on_stall=stalled.set) as lease:
        for _ in range(6):
            lease.advance("network", 0)
            time.sleep(0.05)
        assert not stalled.is_set(), "0.3 s of work that advances is no stall"
        assert stalled.wait(2)
        count = len(jobs.renewals)
        time.sleep(0.06)
        assert len(jobs.renewals) == count, "a stalled job's lease must lapse"


def test_a_cancelled_job_stops_at_its_next_tile(jobs: RecordedJobs, settings: Settings) -> None:
    with Lease(jobs, JOB, settings) as lease:
        lease.advance("network", 0)
        jobs.error = LeaseLostError("cancelled")
        with pytest.raises(LeaseLostError):
            lease.advance("network", 0.1)


def test_a_lease_that_the_watch_lost_stops_the_work(jobs: RecordedJobs, settings: Settings) -> None:
    with Lease(jobs, JOB, settings) as lease:
        jobs.error = LeaseLostError("taken by another")
        time.sleep(0.1)
        jobs.error = None
        with pytest.raises(LeaseLostError):
            lease.advance("network", 0.1)


def test_a_redis_that_is_away_for_a_moment_does_not_stop_the_work(jobs: RecordedJobs, settings: Settings) -> None:
    with Lease(jobs, JOB, settings) as lease:
        jobs.error = BrokerUnavailableError("away")
        lease.advance("network", 0.1)
        time.sleep(0.05)
        jobs.error = None
        lease.advance("store", 0)
        time.sleep(0.1)
    assert ("store", 0) in jobs.renewals


def test_work_does_not_wait_for_a_redis_that_is_away(jobs: RecordedJobs, settings: Settings) -> None:
    with Lease(jobs, JOB, settings.model_copy(update={"lease_renewal_s": 60.0})) as lease:
        jobs.error = BrokerUnavailableError("away")
        lease.advance("network", 0.1)
        asked = jobs.asked
        for tile in range(5):
            lease.advance("network", 0.2 + tile / 10)
        lease.advance("store", 0)
        assert jobs.asked == asked, "asking may take many seconds: that is the watch's business"


def test_the_time_of_every_stage_is_told_once(jobs: RecordedJobs, settings: Settings) -> None:
    told: list[tuple[str, float]] = []
    with Lease(jobs, JOB, settings, observe_stage=lambda *stage: told.append(stage)) as lease:
        lease.advance("decode", 0)
        time.sleep(0.05)
        lease.advance("network", 0)
        lease.advance("network", 0.5)
    assert [name for name, _ in told] == ["decode", "network"]
    assert told[0][1] >= 0.05
