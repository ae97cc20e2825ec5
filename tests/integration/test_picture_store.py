"""Pictures and their tickets on a real server: made once, bounded, held with what they show, gone with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service import pictures as module
from service.blob_ledger import BlobLedger
from service.errors import LeaseLostError, QuotaExceededError, WorkerLostError
from service.job_records import blob_key, hold, let_go, looked_key, pictures_key
from service.pictures import PictureRequest, PictureStore, Ticket, Treatment
from service.redis_access import connect_redis
from service.schemas import FileSchema
from service.settings import Settings
from service.storage import BlobKey
from training.errors import UnreadableRawError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

pytestmark = pytest.mark.integration

TENANT = "studio"
SHOWN = BlobKey(TENANT, "a" * 64)
REQUEST = PictureRequest(source=SHOWN.sha256, shown=SHOWN.sha256, size=100)


@pytest.fixture
def redis(redis_url: str, tmp_path: Path) -> Iterator[Redis]:
    with connect_redis(Settings(redis_url=redis_url, data_dir=tmp_path)) as client:
        client.flushall()
        client.sadd(blob_key(SHOWN), "a job")
        yield client


@pytest.fixture
def pictures(redis: Redis) -> PictureStore:
    return PictureStore(redis)


def picture(number: int) -> FileSchema:
    """A file that was made."""
    return FileSchema(name="preview.jpg", bytes=1, sha256=f"{number:064x}")


def make(pictures: PictureStore, request: PictureRequest, number: int) -> Ticket:
    """Ask for a picture and make it."""
    ticket = pictures.ask(TENANT, request)
    assert ticket is not None
    assert pictures.take(ticket) == request
    pictures.give(ticket, request, picture(number))
    return ticket


def test_a_picture_is_asked_for_once_and_then_found(pictures: PictureStore) -> None:
    ticket = pictures.ask(TENANT, REQUEST)
    assert ticket is not None
    assert Ticket.parse(str(ticket)) == ticket
    assert pictures.ask(TENANT, REQUEST) is None, "it is being made"
    assert pictures.find(TENANT, REQUEST) is None
    pictures.give(ticket, REQUEST, picture(1))
    assert pictures.find(TENANT, REQUEST) == picture(1)
    assert pictures.find("other", REQUEST) is None
    assert pictures.take(ticket) is None, "nobody wants it any more"


def test_whatever_changes_the_picture_changes_its_name() -> None:
    treatment = Treatment(models={"bayer": "a@1"}, weights="b", strength=1)
    others = [
        REQUEST.model_copy(update=change)
        for change in (
            {"source": "b" * 64},
            {"shown": "b" * 64},
            {"what": "facts"},
            {"size": 101},
            {"crop": (0, 0, 1, 1)},
            {"treatment": treatment},
            {"treatment": treatment.model_copy(update={"weights": "c"})},
            {"treatment": treatment.model_copy(update={"strength": 0.5})},
        )
    ]
    assert len({REQUEST.digest, *(each.digest for each in others)}) == len(others) + 1


def test_a_failure_is_told_to_all_who_ask(pictures: PictureStore) -> None:
    ticket = pictures.ask(TENANT, REQUEST)
    assert ticket is not None
    pictures.fail(ticket, UnreadableRawError("it is cut off"))
    with pytest.raises(UnreadableRawError, match="cut off"):
        pictures.ask(TENANT, REQUEST)
    assert pictures.take(ticket) is None


def test_a_picture_that_ends_its_process_again_and_again_is_given_up(pictures: PictureStore) -> None:
    ticket = pictures.ask(TENANT, REQUEST)
    assert ticket is not None
    taken = [pictures.take(ticket) for _ in range(module.MAX_ATTEMPTS + 1)]
    assert taken == [REQUEST] * module.MAX_ATTEMPTS + [None]
    assert isinstance(pictures.failure(ticket), WorkerLostError)


def test_a_tenant_waits_for_so_many_and_another_still_may(pictures: PictureStore) -> None:
    sizes = range(module.MAX_TICKETS)
    tickets = [pictures.ask(TENANT, REQUEST.model_copy(update={"size": size + 1000})) for size in sizes]
    with pytest.raises(QuotaExceededError) as caught:
        pictures.ask(TENANT, REQUEST)
    assert caught.value.retry_after_s == 1
    assert pictures.ask("other", REQUEST) is not None
    assert tickets[0] is not None
    pictures.withdraw(tickets[0])
    assert pictures.ask(TENANT, REQUEST) is not None


def test_tickets_expire_and_pictures_do_not(pictures: PictureStore, redis: Redis) -> None:
    ticket = pictures.ask(TENANT, REQUEST)
    assert 0 < redis.ttl(f"ps:render:{ticket}") <= module.TICKET_S
    assert ticket is not None
    pictures.give(ticket, REQUEST, picture(1))
    assert redis.ttl(pictures_key(SHOWN)) == -1
    assert not redis.exists(f"ps:render:{ticket}")


def test_those_looked_at_last_are_kept(pictures: PictureStore, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PICTURES", 3)
    requests = [REQUEST.model_copy(update={"size": 100 + number}) for number in range(4)]
    for number, request in enumerate(requests[:3]):
        make(pictures, request, number)
    assert pictures.find(TENANT, requests[0])
    make(pictures, requests[3], 3)
    assert [pictures.find(TENANT, request) is not None for request in requests] == [True, False, True, True]
    assert not redis.exists(blob_key(BlobKey(TENANT, picture(1).sha256))), "the sweep deletes it"
    assert redis.zscore("ps:loose", f"{TENANT}/{picture(1).sha256}")
    assert redis.zcard(looked_key(SHOWN)) == redis.hlen(pictures_key(SHOWN)) == 3


def test_a_picture_of_what_was_erased_meanwhile_is_not_kept(pictures: PictureStore, redis: Redis) -> None:
    ticket = pictures.ask(TENANT, REQUEST)
    assert ticket is not None
    redis.delete(blob_key(SHOWN))
    with pytest.raises(LeaseLostError):
        pictures.give(ticket, REQUEST, picture(1))
    assert not redis.exists(pictures_key(SHOWN))


def test_pictures_go_with_the_blob_that_they_show(
    pictures: PictureStore, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    ledger = BlobLedger(redis, Settings(redis_url=redis_url, data_dir=tmp_path, blob_grace_s=1e-6))
    make(pictures, REQUEST, 1)
    shown = BlobKey(TENANT, picture(1).sha256)
    with redis.pipeline() as pipeline:
        hold(pipeline, SHOWN, "another")
        let_go(pipeline, SHOWN, "a job", 1.0)
        pipeline.execute()
    ledger.forget(SHOWN, 1.0)
    assert pictures.find(TENANT, REQUEST), "somebody still holds what it shows"
    with redis.pipeline() as pipeline:
        let_go(pipeline, SHOWN, "another", 2.0)
        pipeline.execute()
    ledger.forget(SHOWN, 2.0)
    assert pictures.find(TENANT, REQUEST) is None
    assert ledger.loose().keys() == {shown}
    assert not redis.exists(blob_key(shown), pictures_key(SHOWN), looked_key(SHOWN))


def test_an_upload_holds_its_content_until_it_is_removed(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    ledger = BlobLedger(redis, Settings(redis_url=redis_url, data_dir=tmp_path))
    ledger.reserve_upload(TENANT, "1", 1000)
    file = FileSchema(name="in.dng", bytes=1000, sha256="c" * 64)
    ledger.hold_for_upload(TENANT, "1", file)
    assert ledger.stored_bytes(TENANT) == 0, "the blob itself counts from now on"
    assert ledger.blob_of_upload(TENANT, "1") == file
    assert ledger.blob_of_upload("other", "1") is None
    assert redis.smembers(blob_key(BlobKey(TENANT, file.sha256))) == {"upload:1"}
    ledger.release_upload(TENANT, "1")
    assert ledger.blob_of_upload(TENANT, "1") is None
    assert not redis.exists(blob_key(BlobKey(TENANT, file.sha256)))
    assert redis.zscore("ps:loose", f"{TENANT}/{file.sha256}")
