"""Opens the service's page in Debian's Chromium, and notes what a person would not forgive it.

In the flow of the tests: service → **Visit** → what a person does and sees.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage

SIZES = {"phone": (390, 844), "desktop": (1440, 900)}
THEMES = ("light", "dark")
LONG_MS = 300_000
"""Longer than a job of the tests takes on a busy machine."""
_GRAVE = {"serious", "critical"}


@dataclass(frozen=True, slots=True)
class Visit:
    """One person at the page."""

    page: Page
    base: str
    size: str
    theme: str
    pictures: Path | None
    """Where screenshots go; None for nowhere."""
    faults: list[str] = field(default_factory=list)
    """What the console said, and other hosts that were asked."""

    def go(self, place: str = "") -> None:
        """Open a view by its address."""
        self.page.goto(f"{self.base}/{place}")

    def drop(self, *paths: Path) -> None:
        """Give the page files, as choosing them does."""
        self.page.locator("drop-zone input").set_input_files(paths)

    def wait_for_result(self) -> None:
        """Wait until the chosen file is denoised and its picture is there in both stages."""
        expect(self.page.get_by_role("link", name="Download DNG")).to_be_visible(timeout=LONG_MS)
        for stage in ("before", "after"):
            expect(self.page.locator(f".layer.{stage} img").first).to_be_attached(timeout=LONG_MS)

    def expect_heading(self, name: str) -> None:
        """Wait until a view is there."""
        expect(self.page.get_by_role("heading", name=name).first).to_be_attached()

    def photograph(self, name: str) -> None:
        """Keep a screenshot in each theme, where somebody asked for them."""
        if not self.pictures:
            return
        for theme in THEMES:
            self.page.emulate_media(color_scheme=theme)
            self.page.screenshot(path=self.pictures / f"{name}-{self.size}-{theme}.png", full_page=True)
        self.page.emulate_media(color_scheme=self.theme)

    def forgive(self, *statuses: int) -> None:
        """Take back what the console says of answers that a test provokes: a browser notes each of them."""
        expected = tuple(f"status of {status} " for status in statuses)
        self.faults[:] = [fault for fault in self.faults if not any(each in fault for each in expected)]

    def grave_violations(self) -> list[str]:
        """What axe-core calls serious or critical."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for each in found
            if each["impact"] in _GRAVE
            for node in each["nodes"]
        ]

    def transfers(self) -> list[int]:
        """Bytes that came over the line for each thing that the page has loaded so far, headers and all."""
        entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        return list(map(int, self.page.evaluate(f"{entries}.map(entry => entry.transferSize)")))

    def overflow_px(self) -> int:
        """By how much the page is wider than the window: 0 where nothing is cut off."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@contextmanager
def visit(browser: Browser, base: str, size: str, theme: str, pictures: Path | None = None) -> Iterator[Visit]:
    """Open a window of a size; a visit without a fault is part of what every test says."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        has_touch=size == "phone",
        reduced_motion="reduce",
    )
    page = context.new_page()
    visitor = Visit(page, base.rstrip("/"), size, theme, pictures)
    host = urlsplit(base).netloc
    page.on("console", lambda message: visitor.faults.extend(_fault(message)))
    page.on("pageerror", lambda error: visitor.faults.append(str(error)))
    page.on("request", lambda request: visitor.faults.extend(_foreign(request.url, host)))
    try:
        yield visitor
        assert visitor.faults == []
    finally:
        context.close()


def _fault(message: ConsoleMessage) -> Sequence[str]:
    return [f"{message.type}: {message.text}"] if message.type in {"error", "warning"} else []


def _foreign(address: str, host: str) -> Sequence[str]:
    return [] if urlsplit(address).netloc == host else [f"asked another host: {address}"]
