"""A photographer's path: files in, before and after compared down to single pixels, the result taken home."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_pages import LONG_MS, Visit
from playwright.sync_api import expect
from service_process import wait_until

if TYPE_CHECKING:
    from service_process import RunningService

pytestmark = pytest.mark.browser


PLACES = """stage => {
  const box = (selector) => stage.querySelector(selector).getBoundingClientRect();
  const { left, width } = stage.getBoundingClientRect();
  return {
    divider: (box(".divider").left - left) / width,
    after: (box(".layer.after").left - left) / width,
    apart: box(".after .plane").left - box(".before .plane").left,
  };
}"""


def expect_divider(visitor: Visit, share: float) -> None:
    """Wait until the denoised picture begins at a share of the stage, at the divider, in its place over the other."""
    stage = visitor.page.locator(".stage")
    wait_until(lambda: stage.evaluate(PLACES)["divider"] == pytest.approx(share, abs=2e-3))
    places = stage.evaluate(PLACES)
    assert places["after"] == places["divider"]
    assert places["apart"] == pytest.approx(0, abs=1e-3)


def job_id_of(visitor: Visit) -> str:
    """The job that the address names."""
    return visitor.page.url.rpartition("/")[2]


def test_a_person_drops_compares_zooms_and_downloads(visitor: Visit, service: RunningService, raw: Path) -> None:
    page = visitor.page
    visitor.go()
    visitor.drop(raw)
    visitor.wait_for_result()
    expect_divider(visitor, 0.5)
    visitor.photograph("denoise-done")

    divider = page.get_by_label("Divider")
    divider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert divider.input_value() == "497"
    divider.fill("250")
    expect_divider(visitor, 0.25)

    page.get_by_role("button", name="1:1").click()
    expect(page.get_by_label("Zoom", exact=True).last).to_have_text("100 %")
    for stage in ("before", "after"):
        expect(page.locator(f".layer.{stage} img[src*='crop=']").first).to_be_attached(timeout=LONG_MS)
    visitor.photograph("denoise-pixels")
    place = page.locator(".plane").first.evaluate("plane => plane.style.transform")
    page.locator(".stage").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".plane").first).not_to_have_attribute("style", place)

    with page.expect_download() as found:
        page.get_by_role("link", name="Download DNG").click()
    assert found.value.suggested_filename == "IMG 0001-denoised.dng"
    downloaded = hashlib.sha256(Path(found.value.path()).read_bytes()).hexdigest()
    assert downloaded == service.job(job_id_of(visitor))["result"]["sha256"]  # type: ignore[index]


def test_a_real_camera_file_comes_back(visitor: Visit, service: RunningService, shared_data: Path) -> None:
    visitor.go()
    visitor.drop(shared_data / "raw" / "canon-kiss-x4-rggb-14bit-packed.dng")
    visitor.wait_for_result()
    expect(visitor.page.get_by_text("Canon EOS Kiss X4", exact=True)).to_be_visible()
    expect(visitor.page.get_by_text("measured in the picture itself")).to_be_visible()
    assert service.job(job_id_of(visitor))["state"] == "succeeded"
    visitor.photograph("denoise-canon")


def test_a_result_is_there_again_when_the_page_is_loaded_again(visitor: Visit, raw: Path) -> None:
    visitor.go()
    visitor.drop(raw)
    visitor.wait_for_result()
    address = visitor.page.url
    visitor.page.reload()
    visitor.wait_for_result()
    assert visitor.page.url == address


def test_a_broken_file_says_why(visitor: Visit, broken_raw: Path) -> None:
    visitor.go()
    visitor.drop(broken_raw)
    said = visitor.page.get_by_role("alert")
    expect(said).to_contain_text("cannot be read as a raw", timeout=LONG_MS)
    expect(said).to_contain_text("Code: unreadable_raw")
    visitor.photograph("denoise-broken")
    visitor.forgive(422)


def test_cancelling_ends_the_work(visitor: Visit, service: RunningService, big_raw: Path) -> None:
    visitor.go()
    visitor.page.get_by_label("Model").select_option("slow@1")
    visitor.drop(big_raw)
    expect(visitor.page.locator(".badge", has_text="Working")).to_be_visible(timeout=LONG_MS)
    job_id = job_id_of(visitor)
    expect(visitor.page.locator(".layer.before img").first).to_be_attached(timeout=LONG_MS)
    expect(visitor.page.get_by_label("Divider")).to_be_hidden()
    visitor.photograph("denoise-running")
    visitor.page.get_by_role("button", name="Cancel", exact=True).click()
    expect(visitor.page.locator(".badge", has_text="Cancelled")).to_be_visible(timeout=LONG_MS)
    assert service.wait_for_state(job_id, "cancelled")["result"] is None


def test_settings_can_be_tried_on_a_crop_first(visitor: Visit, service: RunningService, raw: Path) -> None:
    page = visitor.page
    visitor.go()
    page.get_by_label("Try the settings on a crop first").check()
    visitor.drop(raw)
    crop = page.locator(".layer.after img").first
    expect(crop).to_be_attached(timeout=LONG_MS)
    assert "/uploads/" in str(crop.get_attribute("src"))
    page.get_by_label("Strength").fill("0.4")
    expect(page.locator(".layer.after img[src*='strength=0.4']").first).to_be_attached(timeout=LONG_MS)
    visitor.photograph("denoise-try")
    page.get_by_role("button", name="Denoise at 40 %").click()
    visitor.wait_for_result()
    assert service.job(job_id_of(visitor))["parameters"]["strength"] == 0.4  # type: ignore[index]


def test_many_files_come_back_as_one_archive(
    visitor: Visit, service: RunningService, capture_files: list[Path]
) -> None:
    visitor.go()
    visitor.drop(*capture_files)
    archive = visitor.page.get_by_role("link", name="Download all 3 as a zip")
    expect(archive).to_be_visible(timeout=LONG_MS)
    visitor.photograph("denoise-many")
    with visitor.page.expect_download() as found:
        archive.click()
    with zipfile.ZipFile(found.value.path()) as entries:
        digests = {hashlib.sha256(entries.read(name)).hexdigest() for name in entries.namelist()}
    jobs = service.client.get("/jobs?kind=denoise&limit=3").json()["jobs"]
    assert digests == {job["result"]["sha256"] for job in jobs}


def test_the_picture_moves_under_the_pointer(visitor: Visit, raw: Path) -> None:
    page = visitor.page
    visitor.go()
    visitor.drop(raw)
    visitor.wait_for_result()
    stage = page.locator(".stage").bounding_box()
    assert stage
    middle = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.75, middle[1])
    page.mouse.up()
    expect_divider(visitor, 0.75)
    page.mouse.wheel(0, -3000)
    page.mouse.move(stage["x"] + 40, middle[1])
    before = page.locator(".plane").first.get_attribute("style")
    page.mouse.down()
    page.mouse.move(stage["x"] + 10, middle[1] - 30)
    page.mouse.up()
    expect(page.locator(".plane").first).not_to_have_attribute("style", str(before))
    expect_divider(visitor, 0.75)  # only the divider's own neighbourhood moves it
