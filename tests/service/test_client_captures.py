"""The client's captures, long jobs and batches, against answers of our own making."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from scripted_server import JOB_ID, Clock, Script, answer_problem, connect, shown

from service.errors import ResultNotReadyError
from service.schemas import FinetuneParameters, ValidateParameters
from training.errors import UnreadableRawError

CAPTURE_ID = "c" * 32


def capture(**changes: Any) -> dict[str, Any]:
    """A capture as the service shows it."""
    unknown = dict.fromkeys(("camera", "iso", "size", "cfa_pattern", "noise", "facts", "error"))
    return {
        **unknown,
        "id": CAPTURE_ID,
        "name": "a.dng",
        "bytes": 4,
        "sha256": "c" * 64,
        "created_at": "2026-11-21T12:00:00Z",
        "state": "pending",
        "links": {},
        **changes,
    }


def answer(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def test_a_capture_is_waited_for_until_somebody_has_looked_at_it(clock: Clock, tmp_path: Any) -> None:
    (tmp_path / "a.dng").write_bytes(b"II*\0")
    seen = [answer(capture()), answer(capture(state="usable", camera="GoPro FUSION", size=[4, 6]))]
    script = Script({"POST /captures": [answer(capture(), 201)], f"GET /captures/{CAPTURE_ID}": seen})
    with connect(script) as client:
        assert client.add_capture(tmp_path / "a.dng").state == "pending"
        assert client.describe_capture(CAPTURE_ID).size == (4, 6)
    assert script.requests[0].read() == b"II*\0"
    assert "a.dng" in script.requests[0].headers["content-disposition"]


def test_a_capture_that_cannot_be_used_says_why(clock: Clock) -> None:
    bad = capture(state="unusable", error={"code": "unreadable_raw", "message": "cut off"})
    with (
        connect(Script({f"GET /captures/{CAPTURE_ID}": [answer(bad)]})) as client,
        pytest.raises(UnreadableRawError, match="cut off"),
    ):
        client.describe_capture(CAPTURE_ID)


def test_nobody_waits_for_ever_for_a_worker(clock: Clock) -> None:
    script = Script({f"GET /captures/{CAPTURE_ID}": [answer(capture())] * 100})
    with connect(script) as client, pytest.raises(ResultNotReadyError, match="10 s"):
        client.describe_capture(CAPTURE_ID, timeout_s=10)


def test_captures_are_gone_through_page_by_page() -> None:
    pages = [
        answer({"captures": [capture(id="a" * 32)], "next_cursor": "a" * 32}),
        answer({"captures": [capture(id="b" * 32)], "next_cursor": None}),
    ]
    script = Script({"GET /captures": pages})
    with connect(script) as client:
        assert [each.id[0] for each in client.captures()] == ["a", "b"]
    assert script.requests[1].url.params["cursor"] == "a" * 32


def test_a_long_job_is_begun_once_even_if_the_answer_is_lost(clock: Clock) -> None:
    broken = httpx.ReadError("cut")
    script = Script(
        {
            "POST /jobs/finetune": [broken, answer(shown(kind="finetune"), 202)],
            "POST /jobs/validate": [answer_problem(503, "queue_full"), answer(shown(kind="validate"), 202)],
        }
    )
    with connect(script) as client:
        wishes = FinetuneParameters(captures=(CAPTURE_ID,), name="mine", steps=7)
        assert client.finetune(wishes).kind == "finetune"
        assert client.validate(ValidateParameters()).kind == "validate"
    first, again, *rest = script.requests
    assert (
        json.loads(first.read()) == json.loads(again.read()) == {"captures": [CAPTURE_ID], "name": "mine", "steps": 7}
    )
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] != rest[0].headers["idempotency-key"]


def test_a_batch_is_looked_at_and_cancelled() -> None:
    body = {"id": "roll", "total": 2, "states": {"queued": 2}, "progress": 0, "finished": False, "links": {}}
    ended = {**body, "states": {"cancelled": 2}, "progress": 1, "finished": True}
    script = Script({"GET /batches/roll": [answer(body)], "DELETE /batches/roll": [answer(ended)]})
    with connect(script) as client:
        assert client.batch("roll").states == {"queued": 2}
        assert client.cancel_batch("roll").finished


def test_a_job_is_erased_with_its_files() -> None:
    script = Script({f"DELETE /jobs/{JOB_ID}": [answer(shown())]})
    with connect(script) as client:
        client.erase(JOB_ID)
    assert script.requests[0].url.params["erase"] == "true"
