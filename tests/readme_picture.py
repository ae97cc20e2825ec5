"""Makes the picture of the page that `service/README.md` shows: `PYTHONPATH=.:tests python tests/readme_picture.py`.

What the page shows on it is made up: disks in front of each other (`training/datasets/procedural.py`), as a camera
would have taken them at a high ISO speed, denoised by the model that ships.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from browser_pages import visit
from dng_factory import make_dng, rational, srational
from PIL import Image
from playwright.sync_api import sync_playwright
from service_process import serve

from training.datasets.procedural import dead_leaves
from training.datasets.synthetic import add_noise, mosaic_rggb

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET = Path(__file__).parents[1] / "service" / "page.webp"
SHOT_NOISE, READ_NOISE = 6e-3, 6e-5
WHITE = 16383
NEUTRAL = np.array([0.5, 1.0, 0.625])
XYZ_TO_RGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
"""IEC 61966-2-1, to linear sRGB."""
COLOR_MATRIX, AS_SHOT_NEUTRAL = 50721, 50728


def main() -> None:
    """Make it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory(prefix="ps-") as name, sync_playwright() as playwright:
        folder = Path(name)
        matrix = srational(*(NEUTRAL[:, None] * XYZ_TO_RGB).ravel())
        tags = {COLOR_MATRIX: matrix, AS_SHOT_NEUTRAL: rational(*NEUTRAL)}
        make_dng(folder / "IMG_0042.DNG", take(), iso=6400, make="Made-up", model="Made-up camera", ifd0_tags=tags)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with serve(folder / "data") as service, visit(browser, service.address, "desktop", "dark") as visitor:
            visitor.go()
            visitor.drop(folder / "IMG_0042.DNG")
            visitor.wait_for_result()
            visitor.page.wait_for_load_state("networkidle")
            shown = Image.open(io.BytesIO(visitor.page.screenshot()))
        browser.close()
    shown.convert("RGB").save(TARGET, quality=82, method=6)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


def take() -> NDArray[np.uint16]:
    """(1200, 1800) uint16, RGGB: a picture of disks, as a camera would take it in the dark."""
    rng = np.random.default_rng(7)
    drawn = Image.fromarray((dead_leaves(600, rng)[100:500] * 255).astype(np.uint8)).resize((1800, 1200))
    scene = (np.asarray(drawn) / 255) ** 2.2 * NEUTRAL * 0.5  # (1200, 1800, 3) of the camera's colours
    mosaic = mosaic_rggb(scene.astype(np.float32))
    noisy = add_noise(mosaic, SHOT_NOISE, READ_NOISE, rng)
    return np.round(np.clip(noisy, 0, 1) * WHITE).astype(np.uint16)


if __name__ == "__main__":
    main()
