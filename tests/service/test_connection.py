"""The line to the server: which answers become which errors, and what is tried again, for how long."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from scripted_server import JOB_ID, Script, answer_job, answer_problem, connect

from service.client import PhotositeClient, connection
from service.client.connection import parse_retry_after
from service.errors import (
    InvalidRequestError,
    JobConflictError,
    JobNotFoundError,
    QueueFullError,
    ServerUnreachableError,
    ServiceError,
)
from training.errors import AlreadyDenoisedError, ConfigError, PhotositeError, UnreadableRawError

if TYPE_CHECKING:
    from scripted_server import Clock


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (422, "unreadable_raw", UnreadableRawError),
        (409, "already_denoised", AlreadyDenoisedError),
        (422, "invalid_request", InvalidRequestError),
        (404, "not_found", JobNotFoundError),
        (409, "conflict", JobConflictError),
        (500, "internal_error", PhotositeError),
        (418, "from_the_future", ServiceError),
    ],
)
def test_an_answers_code_becomes_its_error(status: int, code: str, error: type[PhotositeError]) -> None:
    script = Script({f"DELETE /jobs/{JOB_ID}": [answer_problem(status, code)]})
    with connect(script) as client, pytest.raises(PhotositeError) as caught:
        client.cancel(JOB_ID)
    assert type(caught.value) is error
    assert caught.value.message == "a sentence"


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, text="<html>hello</html>"), httpx.Response(301, headers={"Location": "/x"})]
)
def test_what_is_no_photosite_server_is_suspected_of_it(answer: httpx.Response) -> None:
    script = Script({f"GET /jobs/{JOB_ID}": [answer]})
    with connect(script) as client, pytest.raises(ServiceError, match="Photosite server"):
        client.job(JOB_ID)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://host:port"])
def test_an_address_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="server"):
        PhotositeClient(url)


def test_a_key_that_no_header_can_carry_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="key") as caught:
        PhotositeClient("http://test", "secret\n")
    assert "secret" not in caught.value.message


def test_a_password_in_the_address_is_not_shown(clock: Clock) -> None:
    script = Script({f"GET /jobs/{JOB_ID}": [httpx.ConnectError("refused")]})
    with PhotositeClient("http://me:secret@host", transport=httpx.MockTransport(script)) as client:  # noqa: SIM117
        with pytest.raises(ServerUnreachableError, match="http://host") as caught:
            client.job(JOB_ID)
    assert "secret" not in str(caught.value.message + caught.value.detail)


def test_a_server_that_never_answered_is_given_up_soon(clock: Clock) -> None:
    script = Script({"POST /denoise": [httpx.ConnectError("refused")]})
    with connect(script) as client, pytest.raises(ServerUnreachableError, match="refused"):
        client.submit(io.BytesIO(b"raw"))
    assert 1 < sum(clock.slept_s) <= connection.FIRST_CONTACT_S
    assert clock.slept_s == sorted(clock.slept_s), "each pause is longer than the one before"


def test_a_server_that_answered_before_is_waited_for(clock: Clock) -> None:
    refused: list[Any] = [httpx.ConnectError("refused")] * 12
    script = Script({f"GET /jobs/{JOB_ID}": [answer_job(), *refused, answer_job("running")]})
    with connect(script) as client:
        client.job(JOB_ID)
        assert client.job(JOB_ID).state == "running"
    assert connection.FIRST_CONTACT_S < sum(clock.slept_s) < 60
    assert max(clock.slept_s) <= connection.LAST_PAUSE_S


def test_an_outage_longer_than_the_patience_is_final(clock: Clock) -> None:
    script = Script({f"GET /jobs/{JOB_ID}": [answer_job(), httpx.ReadTimeout("silence")]})
    with connect(script, patience_s=7) as client:
        client.job(JOB_ID)
        with pytest.raises(ServerUnreachableError, match="silence"):
            client.job(JOB_ID)
    assert 3 < sum(clock.slept_s) <= 7


def test_an_upload_whose_line_broke_is_never_sent_twice(clock: Clock) -> None:
    """The server may have taken it."""
    script = Script({"POST /denoise": [httpx.ReadError("reset"), answer_job(status=202)]})
    with connect(script) as client, pytest.raises(ServerUnreachableError, match="broke: reset"):
        client.submit(io.BytesIO(b"raw"))
    assert len(script.requests) == 1


def test_an_upload_that_was_refused_with_a_time_is_sent_again_then_and_whole(clock: Clock) -> None:
    full = answer_problem(503, "queue_full", Retry_After="9")
    script = Script({"POST /denoise": [full, full, answer_job(status=202)], f"GET /jobs/{JOB_ID}": [answer_job()]})
    with connect(script) as client:
        client.submit(io.BytesIO(b"raw"))
    assert clock.slept_s == [9, 9]
    assert script.bodies[:3] == [b"raw"] * 3


def test_refusals_are_obeyed_within_the_patience_only(clock: Clock) -> None:
    script = Script({"POST /denoise": [answer_problem(503, "queue_full", Retry_After="25")]})
    with connect(script, patience_s=60) as client, pytest.raises(QueueFullError, match="a sentence"):
        client.submit(io.BytesIO(b"raw"))
    assert clock.slept_s == [25, 25]


def test_a_refused_upload_without_a_time_is_final(clock: Clock) -> None:
    script = Script({"POST /denoise": [answer_problem(503, "queue_full")]})
    with connect(script) as client, pytest.raises(QueueFullError):
        client.submit(io.BytesIO(b"raw"))
    assert clock.slept_s == []


def test_a_stream_that_cannot_be_read_twice_is_sent_once(clock: Clock) -> None:
    script = Script({"POST /denoise": [answer_problem(503, "queue_full", Retry_After="1")]})
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, connect(script) as client, pytest.raises(QueueFullError):
        client.submit(pipe)
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_without_its_server_is_asked_again(clock: Clock, status: int) -> None:
    script = Script({f"GET /jobs/{JOB_ID}": [httpx.Response(status, text="<html>"), answer_job()]})
    with connect(script) as client:
        assert client.job(JOB_ID).state == "queued"
    script = Script({"POST /denoise": [httpx.Response(status, text="<html>")]})
    with connect(script) as client, pytest.raises(ServerUnreachableError, match=str(status)):
        client.submit(io.BytesIO(b"raw"))
    assert len(script.requests) == 1


def test_health_is_asked_once(clock: Clock) -> None:
    script = Script({"GET /health/ready": [answer_problem(503, "not_ready", Retry_After="5")]})
    with connect(script) as client, pytest.raises(ServiceError, match="a sentence"):
        client.health()
    assert clock.slept_s == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 0), ("", None), ("soon", None), ("-1", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)],
)
def test_retry_after_is_read_as_rfc_9110_has_it(header: str, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds


def test_retry_after_may_be_a_date_to_come() -> None:
    assert (parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT") or 0) > 86400
