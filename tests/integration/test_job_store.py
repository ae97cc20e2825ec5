"""The job record on real servers: one owner at a time, nothing lost, nothing overwritten."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from service.admission import Admission
from service.captures import CaptureStore
from service.errors import (
    BrokerUnavailableError,
    JobConflictError,
    JobNotFoundError,
    LeaseLostError,
    NewerRecordError,
    QueueFullError,
    StorageUnavailableError,
)
from service.job_records import LOCAL_TENANT, Job, job_key, new_job_id
from service.jobs import DAY_S, JobStore
from service.queue import JobQueue
from service.redis_access import connect_redis
from service.schemas import DenoiseParameters, FileSchema, QueuePlaceSchema
from service.settings import Settings
from service.storage import LocalBlobStore
from service.sweeper import remove_loose_blobs, resend_jobs
from service.worker.celery_app import make_celery_app
from training.errors import UnreadableRawError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

LEASE_S = 0.2
RESULT = FileSchema(name="a-denoised.dng", bytes=2, sha256="f" * 64)


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url,
        data_dir=tmp_path,
        lease_s=LEASE_S,
        lease_renewal_s=LEASE_S / 2,
        republish_after_s=0.1,
        blob_grace_s=0.1,
        max_queued_jobs=3,
    )


@pytest.fixture
def queue(settings: Settings) -> JobQueue:
    return JobQueue(make_celery_app(settings))


def patient(jobs: JobStore) -> JobStore:
    """The same records, seen by somebody for whom a minute is no long time: however busy the machine, it is early."""
    settings = jobs._settings.model_copy(update={"republish_after_s": 60, "blob_grace_s": 60})
    return JobStore(jobs.redis, settings)


def make_job(jobs: JobStore, sha256: str = "0" * 64) -> Job:
    """A fresh queued job."""
    parameters = DenoiseParameters(model="photosite", strength=0.5, noise="1e-3,1e-6")
    upload = FileSchema(name="Grüße.dng", bytes=1, sha256=sha256)
    return jobs.create(Job(id=new_job_id(), parameters=parameters, input=upload))


def claim(jobs: JobStore, job: Job) -> Job:
    """Claim a job that can be claimed."""
    claimed = jobs.claim(job.id)
    assert claimed is not None
    return claimed


def succeed(jobs: JobStore, job: Job) -> Job:
    """Finish a job."""
    return jobs.succeed(job, result=RESULT, model="photosite@1", report={"noise_source": "tag"})


def test_a_record_comes_back_as_it_was_written(jobs: JobStore) -> None:
    job = make_job(jobs)
    assert jobs.get(job.id) == job
    done = succeed(jobs, claim(jobs, job))
    assert jobs.get(job.id) == done
    assert (done.state, done.model, done.result, done.attempt) == ("succeeded", "photosite@1", RESULT, 1)
    assert done.created_at <= (done.started_at or 0) <= (done.finished_at or 0)


def test_an_unknown_job_is_not_found(jobs: JobStore) -> None:
    for ask in (jobs.get, jobs.claim, jobs.cancel):
        with pytest.raises(JobNotFoundError):
            ask("0" * 32)


def test_of_many_workers_one_gets_the_job(jobs: JobStore) -> None:
    job = make_job(jobs)
    start, won = threading.Barrier(8), []

    def race() -> None:
        start.wait()
        claimed = jobs.claim(job.id)
        if claimed:
            won.append(claimed.attempt)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [1]


def test_a_finished_job_is_not_done_again(jobs: JobStore) -> None:
    job = make_job(jobs)
    succeed(jobs, claim(jobs, job))
    assert jobs.claim(job.id) is None
    assert jobs.get(job.id).attempt == 1


def test_a_lapsed_lease_lets_another_worker_in_and_shuts_the_first_out(jobs: JobStore) -> None:
    first = claim(jobs, make_job(jobs))
    time.sleep(LEASE_S * 1.5)
    second = claim(jobs, first)
    assert second.attempt == 2
    for write in (
        lambda: jobs.renew(first, "network", 0.5),
        lambda: jobs.check_ours(first),
        lambda: succeed(jobs, first),
        lambda: jobs.fail(first, UnreadableRawError("corrupt")),
        lambda: jobs.release(first, StorageUnavailableError("full")),
    ):
        with pytest.raises(LeaseLostError):
            write()
    jobs.check_ours(second)
    assert succeed(jobs, second).attempt == 2


def test_a_renewed_lease_keeps_others_out(jobs: JobStore) -> None:
    job = claim(jobs, make_job(jobs))
    for step in range(6):
        time.sleep(LEASE_S / 3)
        jobs.renew(job, "network", step / 6)
        assert jobs.claim(job.id) is None
        assert jobs.requeue_lapsed() == []
    assert jobs.get(job.id).progress == 5 / 6


def test_a_job_whose_workers_all_die_fails_after_three(jobs: JobStore) -> None:
    job = make_job(jobs)
    for attempt in (1, 2, 3):
        assert claim(jobs, job).attempt == attempt
        time.sleep(LEASE_S * 1.5)
    assert jobs.claim(job.id) is None
    failed = jobs.get(job.id)
    assert failed.state == "failed"
    assert failed.error
    assert failed.error.code == "worker_lost"


def test_a_released_job_is_queued_until_its_attempts_are_used_up(jobs: JobStore) -> None:
    job = make_job(jobs)
    states = [jobs.release(claim(jobs, job), StorageUnavailableError("full")).state for _ in range(3)]
    assert states == ["queued", "queued", "failed"]
    error = jobs.get(job.id).error
    assert error
    assert error.code == "storage_unavailable"


def test_a_queued_or_running_job_can_be_cancelled_once_and_for_all(jobs: JobStore) -> None:
    queued, running = make_job(jobs), claim(jobs, make_job(jobs))
    for job in (queued, running):
        assert jobs.cancel(job.id).state == "cancelled"
        assert jobs.cancel(job.id).state == "cancelled"
        assert jobs.claim(job.id) is None
    with pytest.raises(LeaseLostError):
        succeed(jobs, running)
    assert (jobs.count_queued("denoise"), jobs.count_running().total()) == (0, 0)


def test_a_finished_job_cannot_be_cancelled(jobs: JobStore) -> None:
    job = make_job(jobs)
    succeed(jobs, claim(jobs, job))
    with pytest.raises(JobConflictError):
        jobs.cancel(job.id)
    assert jobs.get(job.id).state == "succeeded"


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_a_capture_is_not_pending_for_ever_when_its_job(jobs: JobStore, how: str) -> None:
    captures = CaptureStore(jobs)
    capture, job = captures.create(LOCAL_TENANT, FileSchema(name="a.dng", bytes=1, sha256="1" * 64))
    assert job
    assert captures.get(LOCAL_TENANT, capture.id).state == "pending"
    if how == "fails":
        jobs.fail(claim(jobs, job), StorageUnavailableError("full"))
    else:
        jobs.cancel(job.id)
    shown = captures.get(LOCAL_TENANT, capture.id)
    assert (shown.state, shown.error and shown.error.code) == (
        "unusable",
        "storage_unavailable" if how == "fails" else "conflict",
    )


def test_only_the_present_attempt_changes_its_capture(jobs: JobStore) -> None:
    captures = CaptureStore(jobs)
    capture, job = captures.create(LOCAL_TENANT, FileSchema(name="a.dng", bytes=1, sha256="2" * 64))
    assert job
    frozen = claim(jobs, job)
    time.sleep(LEASE_S * 1.5)
    present = claim(jobs, job)
    assert captures.change(present, capture.id, state="usable")
    with pytest.raises(LeaseLostError):
        captures.change(frozen, capture.id, state="unusable")
    assert captures.get(LOCAL_TENANT, capture.id).state == "usable"


def test_only_the_present_attempt_reads_its_record(jobs: JobStore) -> None:
    first = claim(jobs, make_job(jobs))
    assert jobs.get_ours(first) == first
    time.sleep(LEASE_S * 1.5)
    second = claim(jobs, first)
    assert jobs.get_ours(second) == second
    with pytest.raises(LeaseLostError):
        jobs.get_ours(first)


def test_a_full_queue_is_refused(settings: Settings, jobs: JobStore) -> None:
    admission = Admission(jobs, settings)
    for _ in range(3):
        admission.check_job(LOCAL_TENANT, "denoise")
        make_job(jobs)
    with pytest.raises(QueueFullError) as refused:
        admission.check_job("another", "denoise")
    assert refused.value.retry_after_s == 10, "nothing is known of the pace yet"
    admission.check_job(LOCAL_TENANT, "finetune")
    claim(jobs, make_job(jobs))
    assert (jobs.count_queued("denoise"), jobs.count_running().total()) == (3, 1)


def test_a_jobs_place_is_how_many_wait_before_it_and_how_many_run(jobs: JobStore) -> None:
    first, second, third = (make_job(jobs) for _ in range(3))
    assert [jobs.place(job) for job in (first, second, third)] == [
        QueuePlaceSchema(ahead=ahead, running=0) for ahead in range(3)
    ]
    running = claim(jobs, first)
    assert jobs.place(third) == QueuePlaceSchema(ahead=1, running=1)
    assert jobs.place(running) is None, "it does not wait any more"
    assert jobs.place(first) is None, "it has begun since this record of it was read"
    jobs.cancel(second.id)
    assert jobs.place(third) == QueuePlaceSchema(ahead=0, running=1)
    succeed(jobs, running)
    assert jobs.place(third) == QueuePlaceSchema(ahead=0, running=0)


def test_a_published_job_is_one_message(jobs: JobStore, queue: JobQueue) -> None:
    assert queue.count_messages("denoise") == 0
    queue.publish(make_job(jobs))
    assert queue.count_messages("denoise") == 1


def test_a_lost_message_is_sent_again_once(jobs: JobStore, queue: JobQueue) -> None:
    job = make_job(jobs)
    assert resend_jobs(patient(jobs), queue) == [], "too early to call it lost"
    time.sleep(0.15)
    assert [again.id for again in resend_jobs(jobs, queue)] == [job.id]
    time.sleep(0.15)
    assert resend_jobs(jobs, queue) == [], "its message waits in the queue"
    assert queue.count_messages("denoise") == 1


def test_no_more_messages_are_sent_again_than_were_lost(jobs: JobStore, queue: JobQueue) -> None:
    """A worker holds one message for the job that it begins next: the others' messages wait, and are not lost."""
    waiting = [make_job(jobs) for _ in range(3)]
    for job in waiting[1:]:
        queue.publish(job)
    time.sleep(0.15)
    assert [again.id for again in resend_jobs(jobs, queue)] == [waiting[0].id]
    time.sleep(0.15)
    assert resend_jobs(jobs, queue) == []


def test_a_dead_workers_job_is_sent_again(jobs: JobStore, queue: JobQueue) -> None:
    job = claim(jobs, make_job(jobs))
    time.sleep(LEASE_S * 1.5)
    assert [again.id for again in resend_jobs(jobs, queue)] == [job.id]
    assert jobs.get(job.id).state == "queued"
    assert queue.count_messages("denoise") == 1
    assert claim(jobs, job).attempt == 2


def test_two_sweeps_at_the_same_time_send_one_message(settings: Settings, jobs: JobStore, queue: JobQueue) -> None:
    # A longer wait than the other tests': a sweep that comes late on a slow machine would send it again, and rightly.
    jobs = JobStore(connect_redis(settings), settings.model_copy(update={"republish_after_s": 30}))
    claim(jobs, make_job(jobs))
    time.sleep(LEASE_S * 1.5)
    threads = [threading.Thread(target=resend_jobs, args=(jobs, queue)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.count_messages("denoise") == 1


def store_blob(blobs: LocalBlobStore, data: bytes) -> str:
    """Store a blob; gives its digest."""
    with blobs.writer(LOCAL_TENANT) as writer:
        writer.write(data)
        return writer.commit().key.sha256


def is_kept(blobs: LocalBlobStore, sha256: str) -> bool:
    """Whether a blob is there."""
    return (blobs._root / "tenants" / LOCAL_TENANT / sha256[:2] / sha256[2:4] / sha256).exists()


def test_a_failed_or_cancelled_jobs_upload_is_deleted_unless_another_needs_it(jobs: JobStore, tmp_path: Path) -> None:
    blobs = LocalBlobStore(tmp_path, jobs.ledger.announce)
    shared, alone, orphan = (store_blob(blobs, data) for data in (b"shared", b"alone", b"orphan"))
    keeper = make_job(jobs, shared)
    jobs.fail(claim(jobs, make_job(jobs, shared)), UnreadableRawError("corrupt"))
    jobs.cancel(make_job(jobs, alone).id)
    remove_loose_blobs(patient(jobs), blobs)
    assert all(is_kept(blobs, sha256) for sha256 in (shared, alone, orphan)), "too early"
    time.sleep(0.15)
    remove_loose_blobs(jobs, blobs)
    assert [is_kept(blobs, sha256) for sha256 in (shared, alone, orphan)] == [True, False, False]
    succeed(jobs, claim(jobs, keeper))
    time.sleep(0.15)
    remove_loose_blobs(jobs, blobs)
    assert is_kept(blobs, shared)


def test_a_server_that_is_away_is_said_so_within_seconds(tmp_path: Path) -> None:
    settings = Settings(redis_url=f"unix://{tmp_path}/nobody.sock", data_dir=tmp_path)
    jobs, queue = JobStore(connect_redis(settings), settings), JobQueue(make_celery_app(settings))
    job = Job(id=new_job_id(), parameters=DenoiseParameters(), input=RESULT)
    started = time.monotonic()
    for ask in (
        lambda: jobs.get(job.id),
        lambda: jobs.count_queued("denoise"),
        lambda: jobs.create(job),
        lambda: queue.publish(job),
        lambda: queue.count_messages("denoise"),
    ):
        with pytest.raises(BrokerUnavailableError):
            ask()
    assert time.monotonic() - started < 15


def retire(jobs: JobStore, settings: Settings, seconds: float) -> JobStore:
    """The same store, which keeps what has ended for so long only."""
    return JobStore(jobs.redis, settings.model_copy(update={"retention_days": seconds / DAY_S}))


def test_what_ended_long_ago_is_forgotten_with_its_files_and_every_trace(
    settings: Settings, jobs: JobStore, tmp_path: Path
) -> None:
    blobs = LocalBlobStore(tmp_path, jobs.ledger.announce)
    ended = []
    for name in (b"one", b"two"):
        upload = FileSchema(name="a.dng", bytes=3, sha256=store_blob(blobs, name))
        job = Job(id=new_job_id(), batch="roll", parameters=DenoiseParameters(), input=upload)
        ended.append(claim(jobs, jobs.create(job)))
    result = FileSchema(name="b.dng", bytes=6, sha256=store_blob(blobs, b"result"))
    report = FileSchema(name="c.html", bytes=6, sha256=store_blob(blobs, b"report"))
    jobs.succeed(ended[0], report={}, result=result, files={"c.html": report})
    jobs.cancel(ended[1].id)
    time.sleep(0.3)
    assert jobs.forget_old() == [], "30 days are not over"
    assert {job.id for job in retire(jobs, settings, 0.2).forget_old()} == {job.id for job in ended}
    time.sleep(0.15)
    remove_loose_blobs(jobs, blobs)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    left = [key for key in jobs.redis.scan_iter("*") if not key.startswith("ps:webhook")]  # no sender runs here
    assert sorted(left) == ["ps:pace:denoise", "ps:turns:denoise"], "how fast the queue was, and whose turn it was"
    for job in ended:
        with pytest.raises(JobNotFoundError):
            jobs.get(job.id)


def test_an_old_job_that_has_not_ended_stays_with_its_upload(
    settings: Settings, jobs: JobStore, tmp_path: Path
) -> None:
    blobs = LocalBlobStore(tmp_path, jobs.ledger.announce)
    waiting = make_job(jobs, store_blob(blobs, b"waiting"))
    running = claim(jobs, make_job(jobs, store_blob(blobs, b"running")))
    time.sleep(0.3)
    assert retire(jobs, settings, 0.1).forget_old() == []
    remove_loose_blobs(jobs, blobs)
    assert [jobs.get(job.id).state for job in (waiting, running)] == ["queued", "running"]
    for job in (waiting, running):
        assert job.input
        assert is_kept(blobs, job.input.sha256)
    succeed(jobs, claim(jobs, running))
    assert retire(jobs, settings, 3600).forget_old() == [], "counted from its end, not from its beginning"


def test_a_file_that_a_younger_job_needs_outlives_the_older_one(
    settings: Settings, jobs: JobStore, tmp_path: Path
) -> None:
    blobs = LocalBlobStore(tmp_path, jobs.ledger.announce)
    shared = store_blob(blobs, b"shared")
    jobs.cancel(make_job(jobs, shared).id)
    succeed(jobs, claim(jobs, make_job(jobs, shared)))
    time.sleep(0.3)
    younger = make_job(jobs, shared)
    assert len(retire(jobs, settings, 0.2).forget_old()) == 2
    time.sleep(0.15)
    remove_loose_blobs(jobs, blobs)
    assert is_kept(blobs, shared)
    assert [job.id for job in jobs.unfinished(LOCAL_TENANT)] == [younger.id]


def test_many_old_jobs_are_forgotten_a_part_at_a_time(settings: Settings, jobs: JobStore) -> None:
    for _ in range(5):
        jobs.cancel(make_job(jobs).id)
    time.sleep(0.2)
    old = retire(jobs, settings, 0.1)
    assert [len(old.forget_old(at_most=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_worker_whose_job_was_erased_is_told_that_it_is_no_longer_its(jobs: JobStore) -> None:
    job = claim(jobs, make_job(jobs))
    jobs.cancel(job.id)
    jobs.forget(job.id)
    for write in (lambda: jobs.renew(job, "network", 0.5), lambda: jobs.check_ours(job), lambda: succeed(jobs, job)):
        with pytest.raises(LeaseLostError):
            write()


# Versions side by side.


def rewrite(jobs: JobStore, job: Job, **fields: object) -> None:
    """Write fields of a record as another version of the service does."""
    jobs.redis.hset(job_key(job.id), mapping={name: json.dumps(value) for name, value in fields.items()})  # type: ignore[misc]


def test_what_a_newer_version_notes_in_a_record_is_kept_by_an_older_worker(jobs: JobStore) -> None:
    job = make_job(jobs)
    rewrite(jobs, job, colour_space="wide", hints={"a": [1, 2]})
    claimed = jobs.claim(job.id)
    assert claimed is not None
    jobs.succeed(claimed, result=RESULT, report={})
    kept = jobs.redis.hgetall(job_key(job.id))
    assert (kept["state"], kept["colour_space"], kept["hints"]) == ('"succeeded"', '"wide"', '{"a": [1, 2]}')  # type: ignore[index]
    assert "colour_space" not in jobs.get(job.id).to_schema().model_dump()


@pytest.mark.parametrize(
    "fields",
    [{"schema_version": 2}, {"parameters": {"strength": 1.0, "sharpness": 2}}, {"kind": "upscale"}],
    ids=["a newer form", "an unknown wish", "an unknown kind"],
)
def test_what_only_a_newer_version_understands_is_left_to_its_worker(
    jobs: JobStore, queue: JobQueue, fields: dict[str, object]
) -> None:
    job, other = make_job(jobs), make_job(jobs)
    rewrite(jobs, job, **fields)
    before = jobs.redis.hgetall(job_key(job.id))
    with pytest.raises(NewerRecordError):
        jobs.claim(job.id)
    time.sleep(0.15)
    assert [again.id for again in resend_jobs(jobs, queue)] == [other.id], "an older sweep goes on"
    listed = jobs.page(LOCAL_TENANT, batch=None, cursor=None, limit=10, keep=lambda _: True).records
    assert [shown.id for shown in listed] == [other.id]
    assert jobs.redis.hgetall(job_key(job.id)) == before


def test_a_record_of_the_version_before_this_one_is_read(jobs: JobStore) -> None:
    job = make_job(jobs)
    jobs.redis.hdel(job_key(job.id), "schema_version")
    assert jobs.get(job.id) == job
