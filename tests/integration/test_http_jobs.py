"""Jobs over HTTP: listing, batches, events that go on where they broke off, requests that are sent twice."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration

ASYNC = {"Prefer": "respond-async"}


def submit(service: RunningService, raw: Path, headers: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
    """Hand a file in; gives the job."""
    answer = service.client.post(
        "/denoise", params=query, content=raw.read_bytes(), headers={**ASYNC, **(headers or {})}
    )
    assert answer.status_code == 202, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_a_listing_goes_through_all_jobs_newest_first(service: RunningService, raw: Path) -> None:
    ids = [submit(service, raw, batch="pages")["id"] for _ in range(5)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = service.client.get("/jobs", params={"batch": "pages", "limit": 2, **cursor}).json()
        found += [job["id"] for job in page["jobs"]]
        cursor = {"cursor": page["next_cursor"]}
    assert page["next_cursor"] is None
    assert found == ids[::-1]


def test_a_listing_is_filtered_by_state_and_kind(service: RunningService, raw: Path) -> None:
    done = submit(service, raw, batch="filtered")["id"]
    service.wait_for_state(done, "succeeded")
    for query, wanted in (
        ({"state": "succeeded"}, [done]),
        ({"state": ["failed", "cancelled"]}, []),
        ({"kind": "denoise"}, [done]),
        ({"kind": ["finetune", "validate"]}, []),
    ):
        page = service.client.get("/jobs", params={"batch": "filtered", **query}).json()
        assert [job["id"] for job in page["jobs"]] == wanted


@pytest.mark.parametrize("query", [{"cursor": "nonsense"}, {"cursor": "AAAA"}, {"limit": 0}, {"state": "lost"}])
def test_a_listing_that_makes_no_sense_is_refused(service: RunningService, query: dict[str, Any]) -> None:
    answer = service.client.get("/jobs", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_batch_has_one_progress_and_one_end(service: RunningService, raw: Path, big_raw: Path) -> None:
    first = submit(service, raw, batch="roll-7")["id"]
    service.wait_for_state(first, "succeeded")
    submit(service, big_raw, batch="roll-7", model="slow", strength="0.7")
    batch = service.client.get("/batches/roll-7").json()
    assert (batch["total"], batch["states"]["succeeded"], batch["finished"]) == (2, 1, False)
    assert 0.5 <= batch["progress"] < 1
    ended = service.client.delete("/batches/roll-7").json()
    assert (ended["states"], ended["finished"], ended["progress"]) == ({"succeeded": 1, "cancelled": 1}, True, 1)
    answer = service.client.get("/batches/roll-8")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_same_request_sent_twice_is_one_job(service: RunningService, raw: Path) -> None:
    key = {"Idempotency-Key": "7f1b"}
    first, second = (submit(service, raw, key, strength="0.4") for _ in range(2))
    assert first["id"] == second["id"]
    direct = service.client.post("/denoise?strength=0.4", content=raw.read_bytes(), headers=key)
    assert (direct.status_code, direct.headers["x-photosite-job"]) == (200, first["id"])


def test_a_key_that_was_used_for_another_request_is_refused(service: RunningService, raw: Path) -> None:
    key = {"Idempotency-Key": "8a2c"}
    submit(service, raw, key, strength="0.4")
    for query, content in (({"strength": "0.5"}, raw.read_bytes()), ({"strength": "0.4"}, raw.read_bytes() + b"\0")):
        answer = service.client.post("/denoise", params=query, content=content, headers={**ASYNC, **key})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert "Idempotency-Key" in answer.json()["detail"]


def events(service: RunningService, job_id: str, last_event_id: str = "") -> list[tuple[str, dict[str, Any]]]:
    """The id and body of each event until the stream ends."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    text = service.client.get(f"/jobs/{job_id}/events", headers=headers).text
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            assert fields["event"] == "job"
            found.append((fields["id"], json.loads(fields["data"])))
    return found


def test_events_go_on_where_they_broke_off(service: RunningService, big_raw: Path) -> None:
    job_id = submit(service, big_raw, model="slow", strength="0.6")["id"]
    seen = events(service, job_id)
    revisions = [int(event_id) for event_id, _ in seen]
    assert revisions == sorted(revisions), "its place in the queue may change without it"
    assert seen[-1][1]["state"] == "succeeded"
    etas = [body["figures"]["eta_s"] for _, body in seen if body["stage"] == "network" and "eta_s" in body["figures"]]
    assert etas, "somebody who waits wants to know how long"
    assert min(etas) < max(etas)
    assert events(service, job_id, seen[0][0]) == [seen[-1]], "what it is now, since the client saw less"
    answer = service.client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": seen[-1][0]})
    assert (answer.status_code, answer.content) == (204, b""), "or an EventSource asks for ever"


def test_an_erased_job_and_its_files_are_gone(service: RunningService, raw: Path) -> None:
    before = service.blobs()
    job_id = submit(service, raw, strength="0.123")["id"]
    service.wait_for_state(job_id, "succeeded")
    assert service.client.delete(f"/jobs/{job_id}", params={"erase": "true"}).json()["id"] == job_id
    assert service.client.get(f"/jobs/{job_id}").status_code == 404
    deadline = time.monotonic() + 30
    while service.blobs() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert service.blobs() <= before


def test_a_waiting_clients_job_overtakes_a_batch(service: RunningService, raw: Path, big_raw: Path) -> None:
    submit(service, big_raw, model="slow", strength="0.55")
    batch = [submit(service, raw, batch="slowly", strength=f"0.{n}")["id"] for n in range(31, 35)]
    answer = service.client.post("/denoise?strength=0.39", content=raw.read_bytes(), headers={"Prefer": "wait=100"})
    assert answer.status_code == 200
    finished_at = service.job(answer.headers["x-photosite-job"])["finished_at"]
    ends = [service.wait_for_state(job_id, "succeeded")["finished_at"] for job_id in batch]
    assert all(str(finished_at) < str(end) for end in ends)
