"""Captures over HTTP: kept once, looked at by a worker, listed, shown, deleted."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import pytest
from dng_factory import make_dng, sample_mosaic
from PIL import Image
from service_process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration


def send(service: RunningService, path: Path) -> dict[str, Any]:
    """Hand a capture in as a form, as a page does."""
    answer = service.client.post("/captures", files={"file": (path.name, path.read_bytes())})
    assert answer.status_code in {200, 201}, answer.text
    assert answer.headers["location"] == f"/captures/{answer.json()['id']}"
    shown: dict[str, Any] = answer.json()
    return shown


def described(service: RunningService, capture_id: str) -> dict[str, Any]:
    """A capture once a worker has looked at it."""
    wait_until(lambda: service.client.get(f"/captures/{capture_id}").json()["state"] != "pending", 60)
    shown: dict[str, Any] = service.client.get(f"/captures/{capture_id}").json()
    return shown


def test_a_capture_is_described_by_a_worker(service: RunningService, raw: Path) -> None:
    begun = send(service, raw)
    assert begun["id"] == hashlib.sha256(raw.read_bytes()).hexdigest()[:32]
    assert (begun["name"], begun["bytes"]) == (raw.name, raw.stat().st_size)
    shown = described(service, begun["id"])
    assert (shown["state"], shown["size"], shown["cfa_pattern"], shown["error"]) == ("usable", [420, 300], "RGGB", None)
    assert shown["camera"]
    assert shown["facts"]["noise_source"] == "estimate"  # the file's own profile says something else
    assert shown["noise"]["read"] == pytest.approx([1e-4] * 4, rel=0.2)
    answer = service.client.get(shown["links"]["thumbnail"])
    assert answer.headers["content-type"] == "image/webp"
    assert max(Image.open(io.BytesIO(answer.content)).size) <= 320
    again = service.client.get(shown["links"]["thumbnail"], headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_same_content_is_one_capture(service: RunningService, raw: Path) -> None:
    first = send(service, raw)
    answer = service.client.post("/captures", content=raw.read_bytes())
    assert (answer.status_code, answer.json()["id"]) == (200, first["id"])
    listed = [capture["id"] for capture in service.client.get("/captures").json()["captures"]]
    assert listed.count(first["id"]) == 1


def test_a_capture_whose_pixels_are_damaged_says_so(service: RunningService, corrupt_raw: Path) -> None:
    shown = described(service, send(service, corrupt_raw)["id"])
    assert (shown["state"], shown["error"]["code"]) == ("unusable", "unreadable_raw")
    answer = service.client.get(f"/captures/{shown['id']}/thumbnail")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    job = service.client.post("/jobs/finetune", json={"captures": [shown["id"]], "name": "mine"})
    assert (job.status_code, job.json()["code"]) == (422, "invalid_request")
    assert shown["id"] in job.json()["detail"]


def test_an_id_that_cannot_be_is_named_and_nothing_else(service: RunningService) -> None:
    answer = service.client.post("/jobs/finetune", json={"captures": ["nonsense"], "name": "mine"})
    assert answer.status_code == 422
    assert "captures.0: String should match" in answer.json()["detail"]
    assert "at least 1 item" not in answer.json()["detail"]
    nothing = service.client.post("/jobs/finetune", json={"captures": [], "name": "mine"})
    assert "at least 1 item" in nothing.json()["detail"]


def test_what_is_no_raw_is_not_kept(service: RunningService) -> None:
    before = service.blobs()
    answer = service.client.post("/captures", content=b"a letter")
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_raw")
    wait_until(lambda: service.blobs() <= before)


def test_captures_are_listed_newest_first_page_by_page(service: RunningService, tmp_path: Path) -> None:
    ids = []
    for seed in range(3):
        make_dng(tmp_path / f"{seed}.dng", sample_mosaic(64, 64, seed=seed))
        ids.append(send(service, tmp_path / f"{seed}.dng")["id"])
    first = service.client.get("/captures?limit=2").json()
    assert [capture["id"] for capture in first["captures"]] == ids[:0:-1]
    second = service.client.get("/captures", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert second["captures"][0]["id"] == ids[0]
    service.client.delete(f"/captures/{ids[1]}")  # where the first page ended
    again = service.client.get("/captures", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert again == second
    assert service.client.get("/captures?cursor=nonsense").json()["code"] == "invalid_request"


def test_a_deleted_capture_is_gone_with_its_files(service: RunningService, tmp_path: Path) -> None:
    make_dng(tmp_path / "short-lived.dng", sample_mosaic(300, 400, seed=99))
    capture = described(service, send(service, tmp_path / "short-lived.dng")["id"])
    jobs = service.client.get("/jobs?kind=describe").json()["jobs"]
    [job] = [job for job in jobs if job["parameters"] == {"capture": capture["id"]}]
    service.wait_for_state(job["id"], "succeeded")
    service.client.delete(f"/jobs/{job['id']}?erase=true")
    deleted = service.client.delete(f"/captures/{capture['id']}").json()
    assert deleted == {"id": capture["id"], "jobs": [], "models": []}
    assert service.client.get(f"/captures/{capture['id']}").status_code == 404
    wait_until(lambda: capture["sha256"] not in service.blobs())
