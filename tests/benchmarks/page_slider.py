"""How smoothly the page's divider moves: `make bench-page`. Read the share of dropped frames; no time is asserted.

A picture of 2048 pixels (a raw of twice that) is shown in a window of 1440 × 900; the divider is moved in every frame
for some seconds. Two witnesses: the page's own animation frames, and the browser's trace, which also knows of frames
that its compositor could not draw in time. Without a GPU Chromium draws on the processor, which other programs share:
so in turn with it a bare page moves one small square in a window of the same size, which is what this browser does here
at best. The trace tells, too, what each frame costs the page's own thread: script, style and layout, paint. Read the
processor time first, which other programs hardly change: a frame at 60 a second may take 16.7 ms.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from browser_pages import visit
from dng_factory import make_dng
from playwright.sync_api import sync_playwright
from service_process import descendants, serve
from tiny_models import publish_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser_pages import Visit
    from playwright.sync_api import CDPSession, Page

FRAME_MS = 1000 / 60
TRACED = (
    "disabled-by-default-devtools.timeline.frame",
    "devtools.timeline.frame",
    "devtools.timeline",
    "disabled-by-default-devtools.timeline",
)
COSTS = {
    "script": {"FireAnimationFrame"},
    "style and layout": {"UpdateLayoutTree", "Layout"},
    "paint and commit": {"PrePaint", "Paint", "Layerize", "Commit", "CompositeLayers"},
}
"""Events of the page's own thread, by what they are for; none of them holds another of these."""
BARE = "<style>div { width: 40px; height: 40px; background: grey; will-change: transform }</style><div></div>"
BARE_MOVE = (
    "now => { document.querySelector('div').style.transform = `translateX(${500 + 450 * Math.sin(now / 300)}px)` }"
)
SLIDER_MOVE = """now => {
  const slider = document.querySelector(".divider-range");
  slider.value = 500 + 450 * Math.sin(now / 300);
  slider.dispatchEvent(new Event("input"));
}"""
MOVE = """seconds => new Promise(resolve => {
  const move = MOVE;
  const stamps = [];
  const step = now => {
    stamps.push(now);
    move(now);
    if (now - stamps[0] < seconds * 1000) requestAnimationFrame(step);
    else resolve(stamps);
  };
  requestAnimationFrame(step);
})"""


def main(arguments: list[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="how long the divider is moved each time")
    parser.add_argument("--rounds", type=int, default=4, help="how often, in turn with the bare page")
    options = parser.parse_args(arguments)
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory(prefix="ps-") as name, sync_playwright() as playwright:
        folder = Path(name)
        publish_model(folder / "models", "tiny")
        raw = make_dng(folder / "large.dng", scene(2880, 4096), noise_profile=(1e-3, 1e-6))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with (
            serve(folder / "data", PHOTOSITE_MODELS_DIR=str(folder / "models")) as service,
            visit(browser, service.address, "desktop", "dark") as visitor,
        ):
            size = show(visitor, raw)
            bare = browser.new_page(viewport=visitor.page.viewport_size)
            bare.set_content(BARE)
            rounds = [
                (look(visitor.page, SLIDER_MOVE, options.seconds), look(bare, BARE_MOVE, options.seconds))
                for _ in range(options.rounds)
            ]
        print(
            f"picture {size[0]} × {size[1]}, window 1440 × 900, {options.rounds} times {options.seconds:g} s, in turn"
        )
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, drawn without a GPU")
        print(table(rounds))
        browser.close()


def scene(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """(height, width) uint16 waves under noise: what a picture costs to draw does not depend on what it shows."""
    rows, columns = np.mgrid[0:height, 0:width] / 90
    noise = np.random.default_rng(0).normal(0, 150, (height, width))
    return np.clip(6000 + 2500 * np.sin(rows) * np.cos(columns) + noise, 0, 16383).astype(np.uint16)


def show(visitor: Visit, raw: Path) -> tuple[int, int]:
    """Have a picture on the screen, before and after; gives its size, and prints what the page weighs."""
    visitor.go()
    visitor.page.wait_for_load_state("networkidle")
    transfers = visitor.transfers()
    print(f"first paint: {sum(transfers)} bytes in {len(transfers)} answers, headers and all")
    visitor.drop(raw)
    visitor.wait_for_result()
    visitor.page.wait_for_load_state("networkidle")
    width, height = visitor.page.locator(".layer.after img").first.evaluate(
        "picture => [picture.naturalWidth, picture.naturalHeight]"
    )
    return width, height


@dataclass(frozen=True)
class Look:
    """What was seen while something moved for some seconds."""

    gaps: list[float]
    """Milliseconds between two animation frames."""
    dropped: int
    """Frames that the compositor could not draw in time, by the trace."""
    costs: dict[str, float]
    """Milliseconds of the page's own thread for each frame."""
    processor_ms: float
    """Processor time of all of the browser's processes for each frame."""

    @property
    def fps(self) -> float:
        """Animation frames a second."""
        return 1000 * len(self.gaps) / sum(self.gaps)

    @property
    def missed(self) -> float:
        """Share of the frames that the page was not asked for, in percent."""
        missed = sum(max(0, round(gap / FRAME_MS) - 1) for gap in self.gaps)
        return 100 * missed / (missed + len(self.gaps))


def look(page: Page, move: str, seconds: float) -> Look:
    """Move something in every frame for some seconds, with a trace."""
    page.bring_to_front()
    client = page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    client.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    client.send("Tracing.start", {"traceConfig": {"includedCategories": TRACED}})
    before = processor_ms()
    stamps = page.evaluate(MOVE.replace("MOVE", move), seconds)
    taken_ms = processor_ms() - before
    stop(client, page)
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    costs = {
        cost: sum(event.get("dur", 0) for event in events if event["name"] in names) / 1000 / len(gaps)
        for cost, names in COSTS.items()
    }
    dropped = [event["name"] for event in events].count("DroppedFrame")
    return Look(gaps, dropped, costs, taken_ms / len(gaps))


def processor_ms() -> float:
    """Processor time that the browser's processes have taken so far (Linux: fields 14 and 15 of /proc/PID/stat)."""
    browser = (pid for pid, command in descendants(os.getpid()).items() if command.startswith("/usr/lib/chromium/"))
    fields = [Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split() for pid in browser]
    return 1000 / os.sysconf("SC_CLK_TCK") * sum(int(each[11]) + int(each[12]) for each in fields)


def table(rounds: list[tuple[Look, Look]]) -> str:
    """Medians over the rounds, of the page and of the bare page."""
    rows: dict[str, Callable[[Look], float]] = {
        "animation frames a second": lambda seen: seen.fps,
        "milliseconds between two, median": lambda seen: statistics.median(seen.gaps),
        "longest": lambda seen: max(seen.gaps),
        "missed, %": lambda seen: seen.missed,
        "dropped by the compositor": lambda seen: seen.dropped,
        "processor time, ms a frame": lambda seen: seen.processor_ms,
    }
    rows |= {f"{cost}, ms a frame": lambda seen, cost=cost: seen.costs[cost] for cost in COSTS}
    lines = ["| | divider | bare page |", "|---|---|---|"]
    for name, figure in rows.items():
        cells = [statistics.median(figure(seen) for seen in column) for column in zip(*rounds, strict=True)]
        lines.append(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return "\n".join(lines)


def stop(client: CDPSession, page: Page) -> None:
    """End the trace, and wait until all of it has come."""
    done: list[object] = []
    client.on("Tracing.tracingComplete", lambda end: done.append(end))  # noqa: PLW0108
    client.send("Tracing.end")
    while not done:
        page.wait_for_timeout(50)


if __name__ == "__main__":
    main(sys.argv[1:])
