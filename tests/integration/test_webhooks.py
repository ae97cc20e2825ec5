"""Webhooks on real servers: signed, sent until they are taken, by one process at a time, lost by no crash."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import pytest
from service_process import wait_until
from webhook_receiver import WebhookReceiver, make_certificate, receiving

from service import webhook_sender, webhooks
from service.deliveries import DeliveryStore, Rooms
from service.errors import LeaseLostError
from service.job_records import Job, new_job_id
from service.jobs import JobStore
from service.outbound import GuardedTransport
from service.redis_access import connect_redis
from service.schemas import BatchEndSchema, DenoiseParameters, FileSchema, JobSchema
from service.settings import Settings
from service.webhook_sender import WebhookSender
from service.webhooks import DUE_KEY, Delivery, delivery_key, parse_secret, write_delivery
from training.errors import UnreadableRawError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from redis.client import Pipeline

pytestmark = pytest.mark.integration

SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgMzIgYnl0ZXMgbG9uZyEh"
LEASE_S = 60


@pytest.fixture
def jobs(redis_url: str, tmp_path: Path) -> Iterator[JobStore]:
    settings = Settings(redis_url=redis_url, data_dir=tmp_path)
    store = JobStore(connect_redis(settings), settings)
    store.redis.flushall()
    yield store
    store.close()


@pytest.fixture
def deliveries(jobs: JobStore) -> DeliveryStore:
    return DeliveryStore(jobs)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with receiving() as receiver:
        yield receiver


def queue(jobs: JobStore, url: str, delivery_id: str = "msg_1") -> Delivery:
    """Write a delivery that is due at once."""
    delivery = Delivery(id=delivery_id, tenant="studio", url=url, body='{"state": "succeeded"}', due=jobs.now())
    with jobs.redis.pipeline() as pipeline:
        write_delivery(pipeline, delivery)
        pipeline.execute()
    return delivery


def claim(deliveries: DeliveryStore) -> Delivery:
    """Take the only delivery."""
    (claimed,) = deliveries.claim_due(Rooms(10, 10), LEASE_S)
    return claimed


def let_lapse(jobs: JobStore, delivery: Delivery) -> None:
    """Let a delivery's lease be over at once."""
    with jobs.redis.pipeline() as pipeline:
        write_delivery(pipeline, delivery.model_copy(update={"due": 0}))
        pipeline.execute()


@asynccontextmanager
async def sender(deliveries: DeliveryStore, **guard: object) -> AsyncIterator[WebhookSender]:
    """A sender, open; by default it may call this machine."""
    guard = {"allow_private": True, **guard}
    made = WebhookSender(deliveries, lambda _tenant: parse_secret(SECRET), GuardedTransport(**guard))  # type: ignore[arg-type]
    async with made._client:
        yield made


def send(deliveries: DeliveryStore, **guard: object) -> None:
    """Take the only delivery and send it once."""

    async def call() -> None:
        async with sender(deliveries, **guard) as made:
            await made.deliver(claim(deliveries))

    asyncio.run(call())


def due_in(jobs: JobStore, delivery: Delivery) -> float:
    """Seconds until a delivery is due."""
    due = jobs.redis.zscore(DUE_KEY, delivery.id)
    assert isinstance(due, float)
    return due - jobs.now()


def is_forgotten(jobs: JobStore, delivery: Delivery) -> bool:
    """Whether nothing is left of a delivery."""
    return not jobs.redis.exists(delivery_key(delivery.id)) and jobs.redis.zscore(DUE_KEY, delivery.id) is None


def test_a_receiver_gets_the_body_signed(jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver) -> None:
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/hook?a=1")
    send(deliveries)
    (received,) = receiver.received
    assert received.body == delivery.body.encode()
    assert received.is_signed_by(SECRET)
    assert received.headers["webhook-id"] == delivery.id
    assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 60
    assert received.headers["content-type"] == "application/json"
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert is_forgotten(jobs, delivery)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_every_success_settles_it(
    status: int, jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver
) -> None:
    receiver.statuses = [status]
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/")
    send(deliveries)
    assert is_forgotten(jobs, delivery)


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
def test_any_other_answer_is_tried_again_later(
    status: int, jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver
) -> None:
    receiver.statuses = [status]
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/")
    send(deliveries)
    assert len(receiver.received) == 1, "a redirect is not followed"
    assert 0 < due_in(jobs, delivery) <= 6
    assert deliveries.claim_due(Rooms(10, 10), LEASE_S) == []


def test_a_receiver_that_is_gone_is_not_asked_again(
    jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver
) -> None:
    receiver.statuses = [410]
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/")
    send(deliveries)
    assert is_forgotten(jobs, delivery)


def test_a_receiver_that_never_takes_it_is_given_up(
    jobs: JobStore,
    deliveries: DeliveryStore,
    receiver: WebhookReceiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(webhooks, "RETRY_DELAYS_S", (0, 0))
    receiver.statuses = [500]
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/")
    for _ in range(3):
        send(deliveries)
    assert is_forgotten(jobs, delivery)
    assert len(receiver.received) == 3
    assert {received.headers["webhook-id"] for received in receiver.received} == {delivery.id}
    assert "given up after attempt 3: HTTP 500" in caplog.text


def test_nobody_there_is_tried_again_later(jobs: JobStore, deliveries: DeliveryStore) -> None:
    with receiving() as gone:
        pass
    delivery = queue(jobs, f"http://127.0.0.1:{gone.port}/")
    send(deliveries)
    assert 0 < due_in(jobs, delivery) <= 6


def test_this_machine_is_not_called_unless_that_is_allowed(
    jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver
) -> None:
    async def to_this_machine(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    delivery = queue(jobs, f"https://example.com:{receiver.port}/")
    send(deliveries, allow_private=False, resolver=to_this_machine)
    assert receiver.received == []
    assert 0 < due_in(jobs, delivery) <= 6


def test_a_slow_receiver_has_its_time_and_no_more(
    jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(webhook_sender, "TIMEOUT_S", 1.0)
    receiver.before_answer = lambda: released.wait(30)
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/")
    send(deliveries)
    released.set()
    assert len(receiver.received) == 1
    assert 0 < due_in(jobs, delivery) <= 6


def test_an_endless_answer_is_not_read_to_its_end(
    jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver
) -> None:
    receiver.statuses, receiver.body = [200], b"x" * 50_000_000
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/")
    read: list[int] = []

    class Counting(httpx.AsyncByteStream):
        def __init__(self, stream: httpx.AsyncByteStream) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for data in self._stream:
                read.append(len(data))
                yield data

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Transport(GuardedTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            """Count what is read of the answer."""
            response = await super().handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            return httpx.Response(response.status_code, headers=response.headers, stream=Counting(response.stream))

    async def call() -> None:
        made = WebhookSender(deliveries, lambda _tenant: parse_secret(SECRET), Transport(allow_private=True))
        async with made._client:
            await made.deliver(claim(deliveries))

    asyncio.run(call())
    assert 0 < sum(read) < 500_000
    assert is_forgotten(jobs, delivery), "its status was a success"


def test_https_is_checked_against_the_hosts_own_name(jobs: JobStore, deliveries: DeliveryStore, tmp_path: Path) -> None:
    tls, certificate = make_certificate(tmp_path, "hooks.example.com")
    trust = ssl.create_default_context(cafile=certificate)

    async def to_this_machine(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    with receiving(tls) as receiver:
        wrong = queue(jobs, f"https://other.example.com:{receiver.port}/", "msg_wrong")
        send(deliveries, resolver=to_this_machine, tls=trust)
        assert receiver.received == []
        assert due_in(jobs, wrong) > 0
        unknown = queue(jobs, f"https://hooks.example.com:{receiver.port}/", "msg_unknown")
        send(deliveries, resolver=to_this_machine)
        assert receiver.received == [], "nobody vouches for its certificate"
        assert due_in(jobs, unknown) > 0
        right = queue(jobs, f"https://hooks.example.com:{receiver.port}/", "msg_right")
        send(deliveries, resolver=to_this_machine, tls=trust)
        assert is_forgotten(jobs, right)
    (received,) = receiver.received
    assert received.headers["host"] == f"hooks.example.com:{receiver.port}"
    assert received.is_signed_by(SECRET)


def test_of_many_processes_one_gets_a_delivery(jobs: JobStore, deliveries: DeliveryStore) -> None:
    for number in range(20):
        queue(jobs, "https://example.com/", f"msg_{number}")
    start, claimed = threading.Barrier(4), []

    def race() -> None:
        start.wait()
        for _ in range(10):
            claimed.extend(delivery.id for delivery in deliveries.claim_due(Rooms(5, 5), 60))

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(f"msg_{number}" for number in range(20))


def test_one_owner_leaves_room_for_the_others(jobs: JobStore, deliveries: DeliveryStore) -> None:
    for number in range(20):
        queue(jobs, "https://example.com/", f"msg_{number}")
    with jobs.redis.pipeline() as pipeline:
        late = Delivery(id="msg_late", tenant="another", url="https://example.org/", body="{}", due=jobs.now() - 0.001)
        write_delivery(pipeline, late)
        pipeline.execute()
    claimed = deliveries.claim_due(Rooms(16, 4), LEASE_S)
    assert [delivery.id for delivery in claimed] == ["msg_0", "msg_1", "msg_2", "msg_3", "msg_late"]
    owner = claimed[0].tenant
    assert deliveries.claim_due(Rooms(16, 4, [owner] * 4), LEASE_S) == []
    assert len(deliveries.claim_due(Rooms(16, 4, [owner] * 2), LEASE_S)) == 2
    assert deliveries.claim_due(Rooms(5, 4, [owner, *["another"] * 4]), LEASE_S) == []


def test_a_delivery_whose_process_died_is_made_by_another(
    jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver
) -> None:
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/")
    dead = claim(deliveries)
    assert deliveries.claim_due(Rooms(10, 10), LEASE_S) == [], "it may still be on its way"
    let_lapse(jobs, dead)
    send(deliveries)
    assert len(receiver.received) == 1
    assert is_forgotten(jobs, delivery)
    deliveries.postpone(dead, 0)
    deliveries.remove(dead)
    assert is_forgotten(jobs, delivery)


def test_who_lost_a_delivery_cannot_settle_it(jobs: JobStore, deliveries: DeliveryStore) -> None:
    queue(jobs, "https://example.com/")
    first = claim(deliveries)
    let_lapse(jobs, first)
    second = claim(deliveries)
    assert (first.attempt, second.attempt) == (1, 2)
    deliveries.remove(first)
    deliveries.postpone(first, 0)
    assert due_in(jobs, second) > 30
    deliveries.remove(second)
    assert deliveries.count() == 0


def test_the_loop_delivers_and_outlives_what_goes_wrong(
    jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "POLL_S", 0.02)
    asked = iter([RuntimeError("unexpected")])
    claim_due: Callable[[Rooms, float], list[Delivery]] = deliveries.claim_due

    def fail_once(rooms: Rooms, lease_s: float) -> list[Delivery]:
        for error in asked:
            raise error
        return claim_due(rooms, lease_s)

    monkeypatch.setattr(deliveries, "claim_due", fail_once)

    def secret_of(tenant: str) -> bytes:
        if tenant == "unknown":
            raise KeyError(tenant)
        return parse_secret(SECRET)

    for number in range(40):
        queue(jobs, f"http://127.0.0.1:{receiver.port}/", f"msg_{number}")
    with jobs.redis.pipeline() as pipeline:
        broken = Delivery(id="msg_broken", tenant="unknown", url="http://127.0.0.1/", body="{}", due=0)
        write_delivery(pipeline, broken)
        pipeline.execute()

    async def run() -> None:
        sender = WebhookSender(deliveries, secret_of, GuardedTransport(allow_private=True))
        running = asyncio.create_task(sender.run())
        await asyncio.to_thread(wait_until, lambda: deliveries.count() == 1)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(run())
    ids = sorted(received.headers["webhook-id"] for received in receiver.received)
    assert ids == sorted(f"msg_{number}" for number in range(40))
    assert due_in(jobs, broken) > 15, "its lease has to lapse first"


def test_a_loop_that_is_stopped_leaves_what_it_was_sending_to_others(
    jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "POLL_S", 0.02)
    released = threading.Event()
    receiver.before_answer = lambda: released.wait(30)
    delivery = queue(jobs, f"http://127.0.0.1:{receiver.port}/")

    async def run() -> None:
        sender = WebhookSender(deliveries, lambda _tenant: parse_secret(SECRET), GuardedTransport(allow_private=True))
        running = asyncio.create_task(sender.run())
        await asyncio.to_thread(wait_until, lambda: bool(receiver.received))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(run())
    released.set()
    assert 15 < due_in(jobs, delivery) <= webhook_sender.LEASE_S
    let_lapse(jobs, delivery)
    send(deliveries)
    assert len(receiver.received) == 2
    assert is_forgotten(jobs, delivery)


# ---- the end of a job ----------------------------------------------------------------------------------------------

URL = "https://example.com/hook"


def submit(jobs: JobStore, **fields: object) -> Job:
    """A fresh queued job."""
    upload = FileSchema(name="in.dng", bytes=1, sha256="0" * 64)
    values = {"id": new_job_id(), "tenant": "studio", "parameters": DenoiseParameters(), "input": upload, **fields}
    return jobs.create(Job.model_validate(values))


def start(jobs: JobStore, job: Job) -> Job:
    """Claim a job that can be claimed."""
    claimed = jobs.claim(job.id)
    assert claimed is not None
    return claimed


def succeed(jobs: JobStore, job: Job) -> Job:
    """Start a job and finish it."""
    result = FileSchema(name="out.dng", bytes=2, sha256="f" * 64)
    return jobs.succeed(start(jobs, job), result=result, model="photosite@1", report={"noise_source": "tag"})


def fail(jobs: JobStore, job: Job) -> Job:
    """Start a job and let it fail."""
    return jobs.fail(start(jobs, job), UnreadableRawError("corrupt"))


def cancel(jobs: JobStore, job: Job) -> Job:
    """Cancel a job before it starts."""
    return jobs.cancel(job.id)


@pytest.mark.parametrize("end", [succeed, fail, cancel])
def test_every_end_of_a_job_is_told(
    end: Callable[[JobStore, Job], Job], jobs: JobStore, deliveries: DeliveryStore
) -> None:
    job = submit(jobs, webhook=URL)
    start(jobs, other := submit(jobs, webhook=URL))
    jobs.renew(jobs.get(other.id), "network", 0.5)
    assert deliveries.count() == 0, "not while it waits or runs"
    ended = end(jobs, job)
    delivery = claim(deliveries)
    assert JobSchema.model_validate_json(delivery.body) == ended.to_schema()
    assert (delivery.url, delivery.tenant, delivery.id) == (URL, "studio", f"job_{job.id}")
    assert ended.state in delivery.body


def test_a_job_without_a_webhook_is_told_to_nobody(jobs: JobStore, deliveries: DeliveryStore) -> None:
    succeed(jobs, submit(jobs))
    assert deliveries.count() == 0


def test_a_job_whose_workers_all_died_is_told(jobs: JobStore, deliveries: DeliveryStore) -> None:
    job = submit(jobs, webhook=URL)
    jobs._settings = jobs._settings.model_copy(update={"lease_s": 0.05, "max_attempts": 1})
    start(jobs, job)
    time.sleep(0.1)
    jobs.requeue_lapsed()
    assert '"worker_lost"' in claim(deliveries).body


def test_the_end_and_its_delivery_are_written_together_or_not_at_all(
    jobs: JobStore, deliveries: DeliveryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(jobs, submit(jobs, webhook=URL))
    rival = JobStore(connect_redis(jobs._settings), jobs._settings)
    write, quicker = webhooks.write_delivery, iter([rival])

    def write_too_late(pipeline: Pipeline, delivery: Delivery) -> None:
        for somebody in quicker:
            somebody.cancel(job.id)
        write(pipeline, delivery)

    monkeypatch.setattr(webhooks, "write_delivery", write_too_late)
    with pytest.raises(LeaseLostError):
        jobs.succeed(job, result=FileSchema(name="o", bytes=1, sha256="f" * 64), model="m@1", report={})
    rival.close()
    assert jobs.get(job.id).state == "cancelled"
    assert '"cancelled"' in claim(deliveries).body


# ---- batches -------------------------------------------------------------------------------------------------------


def conclude(deliveries: DeliveryStore) -> int:
    """Look at the only batch that is due."""
    return deliveries.conclude_batch(claim(deliveries))


@pytest.fixture
def no_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are looked at at once."""
    monkeypatch.setattr(webhooks, "BATCH_QUIET_S", 0)


@pytest.mark.usefixtures("no_quiet")
def test_a_batch_is_told_once_when_its_last_job_ends(jobs: JobStore, deliveries: DeliveryStore) -> None:
    batch = [submit(jobs, webhook=URL, batch="wedding") for _ in range(3)]
    for job, end in zip(batch[:2], (succeed, fail), strict=True):
        end(jobs, job)
        assert conclude(deliveries) == 0
    cancel(jobs, batch[2])
    assert conclude(deliveries) == 1
    delivery = claim(deliveries)
    told = BatchEndSchema.model_validate_json(delivery.body)
    assert (told.id, told.total, told.finished) == ("wedding", 3, True)
    assert told.states == {"succeeded": 1, "failed": 1, "cancelled": 1}
    assert told.jobs == [job.id for job in batch]
    assert (delivery.url, delivery.tenant) == (URL, "studio")
    assert deliveries.count() == 1


@pytest.mark.usefixtures("no_quiet")
def test_a_running_job_keeps_its_batch_open(jobs: JobStore, deliveries: DeliveryStore) -> None:
    running = start(jobs, submit(jobs, batch="wedding"))
    succeed(jobs, submit(jobs, webhook=URL, batch="wedding"))
    assert conclude(deliveries) == 0
    jobs.cancel(running.id)
    assert conclude(deliveries) == 1


@pytest.mark.usefixtures("no_quiet")
def test_each_address_of_a_batch_is_told_and_no_other_tenants(jobs: JobStore, deliveries: DeliveryStore) -> None:
    submit(jobs, tenant="lab", batch="wedding", webhook="https://lab.example/")
    for url in (URL, None, "https://other.example/", URL):
        submit(jobs, webhook=url, batch="wedding")
    for job in jobs.batch("studio", "wedding"):
        succeed(jobs, job)
    assert conclude(deliveries) == 2
    told = deliveries.claim_due(Rooms(10, 10), 60)
    assert sorted(delivery.url for delivery in told) == [URL, "https://other.example/"]
    assert len({delivery.id for delivery in told}) == 2


@pytest.mark.usefixtures("no_quiet")
def test_a_batch_that_nobody_wants_to_hear_of_leaves_nothing(jobs: JobStore, deliveries: DeliveryStore) -> None:
    succeed(jobs, submit(jobs, batch="wedding"))
    assert conclude(deliveries) == 0
    assert deliveries.count() == 0


@pytest.mark.usefixtures("no_quiet")
def test_a_batch_looked_at_twice_gives_one_id_and_a_longer_one_another(
    jobs: JobStore, deliveries: DeliveryStore
) -> None:
    succeed(jobs, submit(jobs, webhook=URL, batch="wedding"))
    entry = claim(deliveries)
    deliveries.conclude_batch(entry)
    first = claim(deliveries)
    let_lapse(jobs, entry)
    assert conclude(deliveries) == 1
    assert claim(deliveries).id == first.id
    succeed(jobs, submit(jobs, webhook=URL, batch="wedding"))
    assert conclude(deliveries) == 1
    assert claim(deliveries).id != first.id


@pytest.mark.usefixtures("no_quiet")
def test_a_job_that_ends_while_its_batch_is_looked_at_is_not_missed(
    jobs: JobStore, deliveries: DeliveryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = start(jobs, submit(jobs, webhook=URL, batch="wedding"))
    succeed(jobs, submit(jobs, webhook=URL, batch="wedding"))
    is_busy = deliveries._is_busy

    def end_right_after_the_look(tenant: str, batch: str) -> bool:
        busy = is_busy(tenant, batch)
        jobs.cancel(last.id)
        return busy

    monkeypatch.setattr(deliveries, "_is_busy", end_right_after_the_look)
    assert conclude(deliveries) == 0
    monkeypatch.undo()
    assert conclude(deliveries) == 1


def test_a_batch_has_its_quiet_before_it_is_looked_at(
    jobs: JobStore, deliveries: DeliveryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BATCH_QUIET_S", 100)
    succeed(jobs, submit(jobs, webhook=URL, batch="wedding"))
    assert deliveries.claim_due(Rooms(10, 10), 60) == []
    (due,) = (due for _, due in jobs.redis.zrange(DUE_KEY, 0, -1, withscores=True))
    assert 50 < due - jobs.now() <= 100


@pytest.mark.usefixtures("no_quiet")
def test_the_end_of_a_batch_reaches_its_receiver(
    jobs: JobStore, deliveries: DeliveryStore, receiver: WebhookReceiver
) -> None:
    succeed(jobs, submit(jobs, webhook=f"http://127.0.0.1:{receiver.port}/", batch="wedding"))
    send(deliveries)
    assert receiver.received == [], "it has only been looked at"
    send(deliveries)
    (received,) = receiver.received
    assert received.json["states"] == {"succeeded": 1}
    assert received.is_signed_by(SECRET)
    assert deliveries.count() == 0
