"""Validation as a background job: out of the box on the set that ships, and on a folder that the operator placed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sidd_factory import make_blocks

if TYPE_CHECKING:
    from service_process import RunningService

pytestmark = pytest.mark.integration


def test_the_set_that_ships_is_measured_out_of_the_box(service: RunningService) -> None:
    accepted = service.client.post("/jobs/validate", json={"model": "tiny"})
    assert (accepted.status_code, accepted.json()["kind"]) == (202, "validate")
    job = service.wait_for_state(accepted.json()["id"], "succeeded", "failed")
    assert (job["state"], job["model"]) == ("succeeded", "tiny@1"), job["error"]
    report = service.client.get(f"/jobs/{job['id']}/result").json()
    assert report == job["report"]
    assert report["validation"]["mean"]["psnr"] > 20
    page = service.client.get(f"/jobs/{job['id']}/files/report.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in page.headers["content-security-policy"], "it is shown under our own address"
    assert '<img src="data:' in page.text
    worst = report["validation"]["worst"][0]["file"]
    picture = service.client.get(f"/jobs/{job['id']}/files/{worst}")
    assert (picture.headers["content-type"], picture.content[:4]) == ("image/png", b"\x89PNG")
    assert picture.headers["content-disposition"].startswith("inline")
    answer = service.client.get(f"/jobs/{job['id']}/files/other.html")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_data_set_of_the_operators_is_measured_with_its_submission_files(service: RunningService) -> None:
    folder = service.data_dir / "datasets" / "sidd"
    folder.mkdir(parents=True)
    make_blocks(folder, images=2, blocks=2, benchmark=True)
    job = service.client.post("/jobs/validate", json={"dataset": "sidd", "model": "tiny", "noise": "1e-3,1e-5"}).json()
    job = service.wait_for_state(job["id"], "succeeded", "failed")
    assert job["state"] == "succeeded", job["error"]
    reports = {name for name in job["files"] if not name.startswith("worst-")}  # type: ignore[attr-defined]
    assert reports == {"report.html", "SubmitRaw.mat", "SubmitRaw.csv"}
    rows = service.client.get(f"/jobs/{job['id']}/files/SubmitRaw.csv").text.splitlines()
    assert (rows[0], len(rows)) == ("ID,BLOCK", 5)


def test_the_server_says_which_data_sets_it_has(service: RunningService) -> None:
    folder = service.data_dir / "datasets" / "lab"
    folder.mkdir(parents=True)
    make_blocks(folder, images=3, blocks=1)
    listed = {each["name"]: each for each in service.client.get("/datasets").raise_for_status().json()["datasets"]}
    assert listed["mini"] == {"name": "mini", "kind": "shipped", "images": 16}
    assert listed["lab"] == {"name": "lab", "kind": "placed", "images": 3}


def test_an_unknown_data_set_or_model_is_refused_at_once(service: RunningService) -> None:
    for body in (
        {"dataset": "nowhere"},
        {"model": "nobody"},
        {"dataset": "../redis"},
        {"datset": "mini"},
        {"noise": "1"},
        {"webhook": "https://example.com/"},  # this service sends none
    ):
        answer = service.client.post("/jobs/validate", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
