"""How smoothly the page's divider moves: `make bench-page`. Read the share of dropped frames; no time is asserted.

A picture of 2048 pixels (a raw of twice that) is shown in a window of 1440 × 900; the divider is moved in every frame
for some seconds. Two witnesses: the page's own animation frames, and the browser's trace, which also knows of frames
that its compositor could not draw in time. Without a GPU Chromium draws on the processor, which other programs share.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from browser_pages import visit
from dng_factory import make_dng
from playwright.sync_api import sync_playwright
from service_process import serve
from tiny_models import publish_model

if TYPE_CHECKING:
    from browser_pages import Visit
    from playwright.sync_api import CDPSession

FRAME_MS = 1000 / 60
TRACED = "disabled-by-default-devtools.timeline.frame,devtools.timeline.frame,disabled-by-default-devtools.timeline"
MOVE = """seconds => new Promise(resolve => {
  const slider = document.querySelector(".divider-range");
  const stamps = [];
  const step = now => {
    stamps.push(now);
    slider.value = 500 + 450 * Math.sin(now / 300);
    slider.dispatchEvent(new Event("input"));
    if (now - stamps[0] < seconds * 1000) requestAnimationFrame(step);
    else resolve(stamps);
  };
  requestAnimationFrame(step);
})"""


def main(arguments: list[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="how long the divider is moved")
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
            measure(visitor, raw, options.seconds)
        browser.close()


def scene(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """(height, width) uint16 waves under noise: what a picture costs to draw does not depend on what it shows."""
    rows, columns = np.mgrid[0:height, 0:width] / 90
    noise = np.random.default_rng(0).normal(0, 150, (height, width))
    return np.clip(6000 + 2500 * np.sin(rows) * np.cos(columns) + noise, 0, 16383).astype(np.uint16)


def measure(visitor: Visit, raw: Path, seconds: float) -> None:
    """Move the divider over a picture, and print what the two witnesses say."""
    visitor.go()
    visitor.page.wait_for_load_state("networkidle")
    transfers = visitor.transfers()
    print(f"first paint: {sum(transfers)} bytes in {len(transfers)} answers, headers and all")
    visitor.drop(raw)
    visitor.wait_for_result()
    visitor.page.wait_for_load_state("networkidle")
    size = visitor.page.locator(".layer.after img").first.evaluate(
        "picture => [picture.naturalWidth, picture.naturalHeight]"
    )
    client = visitor.page.context.new_cdp_session(visitor.page)
    events: list[dict[str, Any]] = []
    client.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    client.send("Tracing.start", {"traceConfig": {"includedCategories": TRACED.split(",")}})
    stamps = visitor.page.evaluate(MOVE, seconds)
    stop(client, visitor)
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    missed = sum(max(0, round(gap / FRAME_MS) - 1) for gap in gaps)
    names = [event["name"] for event in events]
    print(
        f"picture {size[0]} × {size[1]}, window 1440 × 900, {seconds:g} s; {platform.machine()}, {os.cpu_count()} cores"
    )
    print(f"load {os.getloadavg()[0]:.1f}, drawn without a GPU")
    print(f"| animation frames | {len(gaps)} | {1000 * len(gaps) / sum(gaps):.1f} a second |")
    print(f"| between two | median {statistics.median(gaps):.1f} ms | longest {max(gaps):.1f} ms |")
    print(f"| missed by the page | {missed} | {100 * missed / (missed + len(gaps)):.1f} % |")
    print(f"| drawn, by the trace | {names.count('DrawFrame')} | dropped {names.count('DroppedFrame')} |")
    print(
        json.dumps(
            {"fps": round(1000 * len(gaps) / sum(gaps), 1), "missed": missed, "dropped": names.count("DroppedFrame")}
        )
    )


def stop(client: CDPSession, visitor: Visit) -> None:
    """End the trace, and wait until all of it has come."""
    done: list[object] = []
    client.on("Tracing.tracingComplete", lambda end: done.append(end))  # noqa: PLW0108
    client.send("Tracing.end")
    while not done:
        visitor.page.wait_for_timeout(50)


if __name__ == "__main__":
    main(sys.argv[1:])
