"""Makes the picture of the page that `service/README.md` shows: `PYTHONPATH=.:tests python tests/readme_picture.py`.

What the page shows on it is made up: hills after sunset, as a camera would have taken them at a high ISO speed, and
denoised by the model that ships.
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

from training.datasets.synthetic import add_noise, mosaic_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET = Path(__file__).parents[1] / "service" / "page.webp"
SHOT_NOISE, READ_NOISE = 4e-3, 4e-5
BLACK, WHITE = 1024, 16383
EXPOSURE = 0.45
SKY = ((0.13, 0.19, 0.36), (0.55, 0.48, 0.55), (0.93, 0.66, 0.44))
"""sRGB from the top to the horizon."""
RIDGES, WINDOWS = 5, 14
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
        camera = {"make": "Made-up", "model": "Made-up camera", "iso": 6400, "black_level": BLACK, "ifd0_tags": tags}
        make_dng(folder / "IMG_0042.DNG", take(), **camera)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with serve(folder / "data") as service, visit(browser, service.address, "desktop", "dark") as visitor:
            visitor.go()
            visitor.drop(folder / "IMG_0042.DNG")
            visitor.wait_for_result()
            visitor.page.wait_for_load_state("networkidle")
            shown = Image.open(io.BytesIO(visitor.page.screenshot()))
        browser.close()
    shown.convert("RGB").save(TARGET, quality=82, method=6)


def take() -> NDArray[np.uint16]:
    """(1200, 1800) uint16, RGGB: hills after sunset, as a camera would take them at a high ISO speed."""
    rng = np.random.default_rng(7)
    scene = draw_hills(rng) ** 2.2 * NEUTRAL * EXPOSURE  # (1200, 1800, 3) of the camera's colours
    noisy = add_noise(mosaic_of(scene.astype(np.float32)), SHOT_NOISE, READ_NOISE, rng)
    return np.clip(np.round(BLACK + noisy * (WHITE - BLACK)), 0, WHITE).astype(np.uint16)


def draw_hills(rng: np.random.Generator) -> NDArray[np.float64]:
    """(1200, 1800, 3) sRGB in [0, 1]: ridges in front of each other, the nearer the darker, and lit windows."""
    height, width = 1200, 1800
    rows, columns = np.arange(height)[:, None], np.arange(width)
    picture = np.stack(
        [np.broadcast_to(np.interp(rows, [0, 420, 640], ends), (height, width)) for ends in zip(*SKY, strict=True)],
        axis=-1,
    )
    picture[(rows - 210) ** 2 + (columns - 1330) ** 2 < 62**2] = (0.96, 0.93, 0.84)
    for depth in range(RIDGES):
        ridge = 470 + 130 * depth + _outline(width, rng) * (50 + 12 * depth)
        shade = np.array([0.40, 0.36, 0.44]) * (1 - depth / RIDGES) ** 0.8 + 0.04
        picture[rows > ridge] = shade
    for _ in range(WINDOWS):
        top, left = rng.integers(1040, 1170), rng.integers(40, width - 40)
        picture[top : top + 9, left : left + 7] = (0.98, 0.78, 0.42)
    return picture


def _outline(width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(width,) a hill's edge: slow waves, and ever smaller ones."""
    position = np.arange(width) / width
    waves = [np.sin(2 * np.pi * (n * position + rng.uniform())) * rng.normal() / n**1.2 for n in range(1, 90)]
    return np.sum(waves, axis=0)


if __name__ == "__main__":
    main()
