"""Whose turn it is, on a real server: tenants take turns, and everybody is told truly how many come before him."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from service.admission import Admission
from service.api.dependencies import make_services
from service.api.submission import accept
from service.erasure import erase_records, open_estate
from service.errors import QuotaExceededError, StorageUnavailableError
from service.job_records import LOCAL_TENANT, Job, job_key, new_job_id
from service.jobs import JobStore
from service.lines import PRIORITY_BATCH, PRIORITY_INTERACTIVE, PRIORITY_NORMAL, line_key, turns_key
from service.schemas import DenoiseParameters, FileSchema, ValidateParameters
from service.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

REST_S = 0.3
UPLOAD = FileSchema(name="a.dng", bytes=1, sha256="0" * 64)
NOBODY = "0" * 32
"""What a message is about that came twice."""


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url,
        data_dir=tmp_path,
        lease_s=30,
        republish_after_s=REST_S,
        max_queued_jobs_per_tenant=4,
    )


def hand_in(jobs: JobStore, tenant: str, count: int = 1, priority: int = PRIORITY_NORMAL) -> list[Job]:
    """Jobs of a tenant, one after the other."""
    parameters = DenoiseParameters(model="tiny")
    return [
        jobs.create(Job(id=new_job_id(), tenant=tenant, priority=priority, parameters=parameters, input=UPLOAD))
        for _ in range(count)
    ]


def begin(jobs: JobStore, announced: str = NOBODY) -> Job:
    """What a worker does that gets a message."""
    job = jobs.claim_next("denoise", announced)
    assert job is not None
    return job


def begin_all(jobs: JobStore) -> list[Job]:
    """All waiting jobs, in the order in which they begin."""
    found = []
    while job := jobs.claim_next("denoise", NOBODY):
        found.append(job)
    return found


def places(jobs: JobStore, asked: list[Job]) -> list[int]:
    """What their owners are told."""
    return [place.ahead for job in asked if (place := jobs.place(job))]


def test_a_single_job_waits_for_one_of_another_tenants_many(jobs: JobStore) -> None:
    many = hand_in(jobs, "greedy", 20)
    first = begin(jobs, many[0].id)
    (single,) = hand_in(jobs, "light")
    assert places(jobs, [single]) == [0], "the greedy tenant has just had its turn"
    assert [begin(jobs, many[1].id).id, begin(jobs, many[2].id).id] == [single.id, many[1].id]
    assert first.id == many[0].id


def test_tenants_take_turns_and_each_ones_oldest_job_comes_first(jobs: JobStore) -> None:
    owners = {tenant: hand_in(jobs, tenant, count) for tenant, count in {"a": 4, "b": 2, "c": 3}.items()}
    begun = begin_all(jobs)
    assert [job.tenant for job in begun] == ["a", "b", "c", "a", "b", "c", "a", "c", "a"]
    for tenant, own in owners.items():
        assert [job.id for job in begun if job.tenant == tenant] == [job.id for job in own]


def test_who_comes_back_at_once_has_had_his_turn(jobs: JobStore) -> None:
    """A client that hands in one job after the other gets every second turn, not all of them."""
    hand_in(jobs, "greedy", 6)
    hand_in(jobs, "eager")
    begun = []
    for _ in range(6):
        job = begin(jobs)
        begun.append(job.tenant)
        if job.tenant == "eager":
            hand_in(jobs, "eager")
    assert begun in (["eager", "greedy"] * 3, ["greedy", "eager"] * 3)


def test_the_more_urgent_comes_first_whoever_it_is(jobs: JobStore) -> None:
    hand_in(jobs, "a", 2, PRIORITY_BATCH)
    hand_in(jobs, "a", 2, PRIORITY_NORMAL)
    (waited_for,) = hand_in(jobs, "b", 1, PRIORITY_INTERACTIVE)
    hand_in(jobs, "b", 1, PRIORITY_BATCH)
    begun = begin_all(jobs)
    assert begun[0].id == waited_for.id
    assert [(job.tenant, job.priority) for job in begun[1:]] == [
        ("a", PRIORITY_NORMAL), ("a", PRIORITY_NORMAL), ("b", PRIORITY_BATCH), ("a", PRIORITY_BATCH),
        ("a", PRIORITY_BATCH),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_everybody_is_told_how_many_begin_before_his(jobs: JobStore, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  (nothing secret)
    waiting: list[Job] = []
    for _ in range(30):
        if chance.random() < 0.7 or not waiting:
            tenant = chance.choice(["a", "b", "c", "d"])
            waiting += hand_in(jobs, tenant, chance.randint(1, 4), chance.choice([0, 3, 6]))
        elif chance.random() < 0.5:
            jobs.cancel(waiting.pop(chance.randrange(len(waiting))).id)
        else:
            begun = begin(jobs)
            waiting = [job for job in waiting if job.id != begun.id]
    told = dict(zip([job.id for job in waiting], places(jobs, waiting), strict=True))
    assert told == {job.id: place for place, job in enumerate(begin_all(jobs))}


def test_workers_that_come_at_the_same_time_begin_different_jobs(jobs: JobStore) -> None:
    handed_in = hand_in(jobs, "a", 3) + hand_in(jobs, "b", 3)
    start, begun = threading.Barrier(8), []

    def work() -> None:
        start.wait()
        if job := jobs.claim_next("denoise", NOBODY):
            begun.append(job)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(job.id for job in begun) == sorted(job.id for job in handed_in)
    assert {job.attempt for job in begun} == {1}


def test_turns_are_taken_within_a_queue(jobs: JobStore) -> None:
    hand_in(jobs, "a")
    validation = ValidateParameters(dataset="mini", model="tiny")
    other = jobs.create(Job(id=new_job_id(), tenant="a", kind="validate", parameters=validation))
    assert jobs.claim_next("finetune", NOBODY) is None
    found = jobs.claim_next("validate", NOBODY)
    assert found is not None
    assert found.id == other.id


def test_a_job_that_was_given_up_rests_and_holds_nobody_up(jobs: JobStore) -> None:
    hand_in(jobs, "a", 2)
    given_up = jobs.release(begin(jobs), StorageUnavailableError("full"))
    second = begin(jobs)
    assert second.id != given_up.id
    assert jobs.claim_next("denoise", second.id) is None
    time.sleep(REST_S * 1.2)
    again = begin(jobs)
    assert (again.id, again.attempt, again.rests_until) == (given_up.id, 2, None)


def test_a_dead_workers_job_is_its_owners_next(jobs: JobStore, settings: Settings) -> None:
    hand_in(jobs, "a", 3)
    hasty = JobStore(jobs.redis, settings.model_copy(update={"lease_s": 0}))
    lost = begin(hasty)
    time.sleep(0.01)
    assert [job.id for job in jobs.requeue_lapsed()] == [lost.id]
    assert begin(jobs).id == lost.id


def test_a_message_whose_job_has_a_lapsed_lease_is_enough(jobs: JobStore, settings: Settings) -> None:
    hand_in(jobs, "a")
    lost = begin(JobStore(jobs.redis, settings.model_copy(update={"lease_s": 0})))
    time.sleep(0.01)
    assert begin(jobs, lost.id).attempt == 2


def test_the_wait_that_a_tenant_is_told_counts_the_others_turns(jobs: JobStore, settings: Settings) -> None:
    hand_in(jobs, "others", 3)
    own = hand_in(jobs, "own", settings.max_queued_jobs_per_tenant)
    for job in hand_in(jobs, "past", 4):  # four ends within the last moments: some pace is known
        claimed = jobs.claim(job.id)
        assert claimed is not None
        jobs.succeed(claimed, report={}, result=UPLOAD)
    jobs.redis.ltrim("ps:pace:denoise", 0, 0)
    jobs.redis.lset("ps:pace:denoise", 0, str(jobs.now() - 5))  # a job every five seconds
    with pytest.raises(QuotaExceededError) as refused:
        Admission(jobs, settings).check_job("own", "denoise")
    turns = places(jobs, own)[0] + 1
    assert 5 * turns <= (refused.value.retry_after_s or 0) <= 6 * turns


def test_a_limit_holds_for_uploads_that_come_at_the_same_time(jobs: JobStore, settings: Settings) -> None:
    """All were let in before any of them was complete."""
    services = make_services(settings)
    most = settings.max_queued_jobs_per_tenant
    wishes = [Job(id=new_job_id(), tenant=LOCAL_TENANT, parameters=DenoiseParameters()) for _ in range(most + 1)]
    accepted = [accept(wish, services, wish.id) for wish in wishes[:most]]
    with pytest.raises(QuotaExceededError):
        accept(wishes[most], services, wishes[most].id)
    assert accept(wishes[0].model_copy(update={"id": new_job_id()}), services, wishes[0].id).id == accepted[0].id
    assert len(jobs.unfinished(LOCAL_TENANT)) == most


def test_an_erased_tenant_leaves_no_place(jobs: JobStore, settings: Settings) -> None:
    begin(jobs, hand_in(jobs, "gone", 3)[0].id)
    erase_records(open_estate(settings, jobs.redis), "gone")
    assert not jobs.redis.exists(turns_key("denoise"), line_key("denoise", "gone"))
    assert jobs.claim_next("denoise", NOBODY) is None


# Versions side by side: the one before this one knew no lines.


def test_a_job_that_an_older_version_took_in_has_its_turn(jobs: JobStore) -> None:
    hand_in(jobs, "new", 2)
    (old,) = hand_in(jobs, "old")
    jobs.redis.delete(line_key("denoise", "old"))
    jobs.redis.zrem(turns_key("denoise"), "old")
    begun = [begin(jobs, old.id), begin(jobs), begin(jobs)]
    assert old.id in {job.id for job in begun[:2]}


def test_a_job_that_an_older_version_began_is_not_begun_again(jobs: JobStore) -> None:
    taken, waiting = hand_in(jobs, "a", 2)
    jobs.claim(taken.id)
    jobs.redis.zadd(line_key("denoise", "a"), {taken.id: 1})  # it took it, and left it in its line
    assert begin(jobs).id == waiting.id
    assert jobs.redis.zcard(line_key("denoise", "a")) == 0


def test_a_job_that_only_a_newer_version_understands_holds_nobody_up(jobs: JobStore) -> None:
    newer, own = hand_in(jobs, "a", 2)
    jobs.redis.hset(job_key(newer.id), "schema_version", "2")
    assert begin(jobs, newer.id).id == own.id
    assert jobs.claim_next("denoise", newer.id) is None
    assert jobs.redis.zcard(line_key("denoise", "a")) == 1, "it is the newer worker's"
