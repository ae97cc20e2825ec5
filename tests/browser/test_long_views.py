"""Fine-tuning, validation, jobs and models, as an imaging engineer and an operator use them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browser_pages import LONG_MS, Visit
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.browser


def test_a_fine_tuning_ends_with_its_verdict_on_the_screen(
    visitor: Visit, service: RunningService, capture_files: list[Path]
) -> None:
    page = visitor.page
    visitor.go("#/finetune")
    visitor.drop(*capture_files)
    expect(page.locator(".capture.usable")).to_have_count(3, timeout=LONG_MS)
    expect(page.get_by_text("3 captures chosen.")).to_be_visible()
    expect(page.locator(".capture input:checked")).to_have_count(3)
    visitor.photograph("finetune-form")
    page.get_by_label("Name of the new model").fill(f"mine-{visitor.size}")
    page.get_by_label("Unit of the budget").select_option("steps")
    page.get_by_label("Budget", exact=True).fill("20")
    page.get_by_role("button", name="Begin").click()
    verdict = page.get_by_role("heading", name=re.compile("(Better|Not surely better) than tiny@1"))
    expect(verdict).to_be_visible(timeout=LONG_MS)
    expect(page.locator("loss-curve .trend")).to_be_visible()
    expect(page.locator(".crop img").first).to_be_visible()
    assert page.locator(".crop img").first.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
    crop = page.locator(".crops").first
    crop.get_by_label("Divider: base on its left, new on its right").fill("250")
    for stage in ("before", "after"):
        shown = crop.locator(f".layer.{stage} img")
        expect(shown).to_be_attached()
        assert shown.evaluate("picture => picture.naturalWidth") > 0
    visitor.photograph("finetune-verdict")
    assert visitor.overflow_px() == 0
    job = service.job(page.url.rpartition("/")[2])
    report = job["report"]
    assert isinstance(report, dict)
    for reason in report["reasons"]:
        expect(page.get_by_text(reason[1:])).to_be_visible()
    page.reload()
    expect(verdict).to_be_visible(timeout=LONG_MS)


def test_a_cancelled_fine_tuning_says_so(visitor: Visit, service: RunningService, capture_files: list[Path]) -> None:
    page = visitor.page
    ids = [
        service.client.post("/captures", content=path.read_bytes()).raise_for_status().json()["id"]
        for path in capture_files
    ]
    body = {"captures": ids, "name": "unwanted", "steps": 100_000}
    job = service.client.post("/jobs/finetune", json=body).raise_for_status().json()
    visitor.go(f"#/finetune/{job['id']}")
    expect(page.locator("loss-curve .trend")).to_be_visible(timeout=LONG_MS)
    visitor.photograph("finetune-running")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".badge", has_text="Cancelled")).to_be_visible(timeout=LONG_MS)


def test_a_validation_ends_with_its_report_on_the_screen(visitor: Visit, service: RunningService) -> None:
    page = visitor.page
    visitor.go("#/validate")
    expect(page.get_by_label("Data set").locator("option", has_text="sidd (4 images)")).to_be_attached()
    visitor.photograph("validate-form")
    page.get_by_label("Data set").select_option("sidd")
    page.get_by_label("Noise of all images").fill("1e-3,1e-5")
    page.get_by_role("button", name="Measure").click()
    expect(page.get_by_role("heading", name="Validation blocks")).to_be_visible(timeout=LONG_MS)
    job = service.job(page.url.rpartition("/")[2])
    report = job["report"]
    assert isinstance(report, dict)
    expect(page.get_by_text(f"{report['validation']['mean']['psnr']:.2f} dB")).to_be_visible()
    rows = page.get_by_label("Figures per camera and ISO").locator("tbody tr")
    expect(rows).to_have_count(len(report["validation"]["groups"]) + 1)
    worst = page.locator(".worst img")
    expect(worst).to_have_count(len(report["validation"]["worst"]))
    assert worst.first.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
    visitor.photograph("validate-report")


def test_jobs_are_filtered_paged_and_cancelled(visitor: Visit, service: RunningService, big_raw: Path) -> None:
    page = visitor.page
    headers = {"Prefer": "respond-async"}
    for strength in range(27):  # one more page than the first holds
        answer = service.client.post(
            f"/denoise?model=slow&strength=0.{strength:02}", headers=headers, content=big_raw.read_bytes()
        )
        answer.raise_for_status()
    rows = page.locator("table.jobs tbody tr")
    visitor.go("#/jobs/denoise/all")
    expect(rows).to_have_count(25)
    visitor.photograph("jobs")
    page.get_by_role("button", name="Older jobs").click()
    expect(rows.nth(26)).to_be_attached()
    page.get_by_label("State").select_option("queued")
    expect(page).to_have_url(re.compile("#/jobs/denoise/queued$"))
    waiting = rows.filter(has_text="Waiting")
    expect(waiting.first).to_be_visible()
    assert rows.count() == waiting.count()
    newest = service.client.get("/jobs?state=queued&limit=1").json()["jobs"][0]["id"]
    rows.first.get_by_role("button", name="Cancel").click()
    assert service.wait_for_state(newest, "cancelled")["started_at"] is None
    for job in service.client.get("/jobs?state=queued&state=running&limit=200").json()["jobs"]:
        service.client.delete(f"/jobs/{job['id']}")
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_text("No job is like that").or_(rows.first)).to_be_visible()


def test_a_job_that_waits_says_how_many_are_before_it(visitor: Visit, service: RunningService, big_raw: Path) -> None:
    headers = {"Prefer": "respond-async"}
    jobs = [
        service.client.post("/denoise?model=slow", headers=headers, content=big_raw.read_bytes()).json()["id"]
        for _ in range(6)
    ]
    visitor.go(f"#/denoise/{jobs[-1]}")
    expect(visitor.page.get_by_text(re.compile(r"Waiting, \d jobs? before it")).first).to_be_visible()
    for job_id in jobs:
        service.client.delete(f"/jobs/{job_id}")
    expect(visitor.page.locator(".badge", has_text="Cancelled")).to_be_visible(timeout=LONG_MS)
    visitor.forgive(404, 410)  # its picture may have been asked for just as somebody else cancelled it


def test_a_model_is_looked_at_made_default_and_deleted(
    visitor: Visit, service: RunningService, capture_files: list[Path]
) -> None:
    page, name = visitor.page, f"short-lived-{visitor.size}"
    ids = [service.client.post("/captures", content=path.read_bytes()).json()["id"] for path in capture_files]
    body = {"captures": ids, "name": name, "base": "tiny", "steps": 3, "make_default": False}
    job = service.client.post("/jobs/finetune", json=body).raise_for_status().json()
    assert service.wait_for_state(job["id"], "succeeded", "failed", timeout_s=LONG_MS / 1000)["state"] == "succeeded"
    visitor.go("#/models")
    expect(page.get_by_role("link", name=f"{name}@1")).to_be_visible()
    visitor.photograph("models")
    page.get_by_role("link", name=f"{name}@1").click()
    expect(page.get_by_label("Manifest")).to_contain_text('"input_normalisation"')
    visitor.photograph("models-manifest")
    page.get_by_role("link", name="Models").last.click()
    card = page.locator(".models .panel", has=page.get_by_role("link", name=f"{name}@1"))
    card.get_by_role("button", name="Make default").click()
    expect(card.get_by_text("Default", exact=True)).to_be_visible()
    assert service.client.get(f"/models/{name}").json()["default"] is True
    page.locator(".models .panel", has=page.get_by_role("link", name="tiny@1")).get_by_role(
        "button", name="Make default"
    ).click()
    card.get_by_role("button", name="Delete").click()
    card.get_by_role("button", name="Delete").last.click()
    expect(card).to_have_count(0)
    assert service.client.get(f"/models/{name}").status_code == 404
