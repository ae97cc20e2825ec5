"""What holds for every view: it can be read by everybody, fits its window, loads quickly, and says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from browser_pages import LONG_MS, Visit, visit
from playwright.sync_api import expect
from redis_servers import SERVERS, find_server
from service_process import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Route
    from service_process import RunningService

pytestmark = pytest.mark.browser

VIEWS = {"": "Denoise", "#/jobs": "Jobs", "#/finetune": "Fine-tune", "#/validate": "Validate", "#/models": "Models"}
FIRST_PAINT_BYTES = 100_000


@pytest.fixture(scope="module")
def done(service: RunningService, raw: Path) -> dict[str, str]:
    """Views of finished jobs, by their addresses."""
    denoised = service.client.post("/denoise", content=raw.read_bytes()).raise_for_status().headers["x-photosite-job"]
    validated = (
        service.client.post("/jobs/validate", json={"dataset": "sidd", "noise": "1e-3,1e-5"})
        .raise_for_status()
        .json()["id"]
    )
    service.wait_for_state(validated, "succeeded", timeout_s=LONG_MS / 1000)
    return {
        f"#/denoise/{denoised}": "Download DNG",
        f"#/validate/{validated}": "report.html",
        "#/models/tiny@1": "Models",
    }


@pytest.mark.parametrize("place", VIEWS)
def test_a_view_can_be_read_by_everybody(themed_visitor: Visit, place: str) -> None:
    themed_visitor.go(place)
    themed_visitor.expect_heading(VIEWS[place])
    themed_visitor.page.wait_for_load_state("networkidle")
    themed_visitor.photograph(f"view-{VIEWS[place].lower()}")
    assert themed_visitor.grave_violations() == []
    assert themed_visitor.overflow_px() == 0


def test_a_finished_job_can_be_read_by_everybody(themed_visitor: Visit, done: dict[str, str]) -> None:
    for number, (place, link) in enumerate(done.items()):
        themed_visitor.go(place)
        expect(themed_visitor.page.locator("#main").get_by_role("link", name=link).last).to_be_visible(timeout=LONG_MS)
        themed_visitor.page.wait_for_load_state("networkidle")
        themed_visitor.photograph(f"result-{number}")
        assert themed_visitor.grave_violations() == []
        assert themed_visitor.overflow_px() == 0


def test_the_first_paint_is_light(visitor: Visit) -> None:
    visitor.go()
    expect(visitor.page.get_by_text("Drop raw files here")).to_be_visible()
    visitor.page.wait_for_load_state("networkidle")
    assert 5_000 < sum(visitor.transfers()) < FIRST_PAINT_BYTES


def test_everything_is_reached_by_keyboard_in_the_order_of_reading(visitor: Visit) -> None:
    visitor.go()
    expect(visitor.page.get_by_label("Model")).to_be_visible()
    reached = []
    for _ in range(12):
        visitor.page.keyboard.press("Tab")
        reached.append(
            visitor.page.evaluate(
                "(({ariaLabel: said, type, textContent}) => said || type || textContent.trim())(document.activeElement)"
            )
        )
    assert reached[:8] == [
        "Skip to the content",
        "Photosite",
        "Denoise",
        "Jobs",
        "Fine-tune",
        "Validate",
        "Models",
        "Dark theme",
    ]
    assert reached[8] == "file"


def test_the_chosen_theme_is_kept(visitor: Visit) -> None:
    visitor.go()
    visitor.page.get_by_role("button", name="Dark theme").click()
    visitor.page.reload()
    expect(visitor.page.get_by_role("button", name="Light theme")).to_be_visible()
    assert visitor.page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"


def test_a_service_that_cannot_be_reached_is_looked_for_again(visitor: Visit) -> None:
    visitor.go("#/models")
    expect(visitor.page.get_by_role("link", name="tiny@1").first).to_be_visible()
    visitor.page.route("**/models", lambda route: route.abort())
    visitor.page.route("**/health/ready", lambda route: route.abort())
    visitor.go("#/jobs")
    visitor.go("#/models")
    expect(visitor.page.locator("service-banner")).to_contain_text("cannot be reached")
    expect(visitor.page.locator("service-banner")).to_contain_text("Looking again in")
    visitor.photograph("unreachable")
    visitor.page.unroute("**/models")
    visitor.page.unroute("**/health/ready")
    expect(visitor.page.locator("service-banner")).to_be_empty(timeout=15_000)
    expect(visitor.page.get_by_role("link", name="tiny@1").first).to_be_visible()
    visitor.faults[:] = [fault for fault in visitor.faults if "ERR_FAILED" not in fault]


def test_a_full_service_is_asked_again_after_the_time_that_it_says(visitor: Visit, raw: Path) -> None:
    asked = []

    def refuse_once(route: Route) -> None:
        asked.append(route.request.headers["idempotency-key"])
        if len(asked) > 1:
            route.continue_()
            return
        problem = '{"status": 503, "code": "queue_full", "detail": "5 jobs wait already", "title": "", "type": ""}'
        route.fulfill(status=503, content_type="application/problem+json", headers={"Retry-After": "2"}, body=problem)

    visitor.page.route("**/denoise?*", refuse_once)
    visitor.go()
    visitor.drop(raw)
    expect(visitor.page.get_by_text("The service is busy; trying again in 2 s").first).to_be_visible()
    visitor.wait_for_result()
    assert len(asked) == 2
    assert len(set(asked)) == 1, "the service must know that it is the same request"
    visitor.forgive(503)


def test_a_key_is_asked_for_once(
    browser: Browser, guarded: tuple[RunningService, str], size: str, pictures: Path | None
) -> None:
    service, key = guarded
    with visit(browser, service.address, size, "light", pictures) as visitor:
        page = visitor.page
        visitor.go("#/models")
        question = page.get_by_role("dialog", name="API key")
        expect(question).to_be_visible()
        assert visitor.grave_violations() == []
        page.get_by_label("Your key").fill("ps_none_of_theirs")
        page.get_by_role("button", name="Open").click()
        expect(question.get_by_role("alert")).to_contain_text("does not know this key")
        visitor.photograph("key")
        page.get_by_label("Your key").fill(key)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("link", name="photosite@1").first).to_be_visible()
        page.reload()
        expect(page.get_by_role("link", name="photosite@1").first).to_be_visible()
        expect(question).to_be_hidden()
        assert key not in str(
            page.evaluate("[document.cookie, {...localStorage}, {...sessionStorage}].map(JSON.stringify)")
        )
        page.get_by_role("button", name="Sign out").click()
        expect(question).to_be_visible()
        visitor.forgive(401)


def test_an_empty_service_says_how_to_begin(
    browser: Browser, guarded: tuple[RunningService, str], size: str, pictures: Path | None
) -> None:
    service, key = guarded
    with visit(browser, service.address, size, "light", pictures) as visitor:
        visitor.go()
        visitor.page.get_by_label("Your key").fill(key)
        visitor.page.get_by_role("button", name="Open").click()
        for place, words in {
            "#/jobs": "Nothing has been handed in yet",
            "#/finetune": "There are no captures yet",
            "#/validate": "None yet",
        }.items():
            visitor.go(place)
            expect(visitor.page.get_by_text(words).first).to_be_visible()
            visitor.photograph(f"empty-{place.removeprefix('#/')}")
            assert visitor.overflow_px() == 0


@pytest.fixture(scope="module")
def guarded(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningService, str]]:
    """A service that asks for a key, and one that it knows."""
    folder = tmp_path_factory.mktemp("guarded") / "data"
    server = find_server(SERVERS[0], program)
    settings = {"PHOTOSITE_REDIS_SERVER": server, "PHOTOSITE_REQUIRE_KEYS": "true"}
    command = [sys.executable, "-m", "service", "keys", "create", "studio", "--data-dir", str(folder)]
    made = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
    with serve(folder, **settings) as running:
        yield running, made.stdout.strip()
