"""What the browser tests ask for: Chromium, a running service with quick models, raws, and who visits the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_pages import SIZES, THEMES, Visit, visit
from dng_factory import make_dng, sample_mosaic
from playwright.sync_api import sync_playwright
from redis_servers import SERVERS, find_server
from service_process import USUAL, RunningService, serve
from sidd_factory import make_blocks
from tiny_models import publish_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

NOISE = (1e-3, 1e-6)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let screenshots be asked for."""
    parser.addoption("--screenshots", type=Path, default=None, help="folder that gets a picture of each view")


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest) -> Path | None:
    """Where screenshots go, None where nobody wants them."""
    folder: Path | None = request.config.getoption("--screenshots", None)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser(program: Callable[[str], str]) -> Iterator[Browser]:
    """Debian's Chromium; skips where it is missing, fails where CI is set."""
    chromium = program("chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def service(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """`photosite serve` with a quick model as the default, a slow one, and a small data set to validate on."""
    models = tmp_path_factory.mktemp("models")
    publish_model(models, "slow", width=48)
    publish_model(models, "tiny")
    folder = tmp_path_factory.mktemp("serve") / "data"
    datasets = folder / "datasets" / "sidd"
    datasets.mkdir(parents=True)
    make_blocks(datasets, images=2, blocks=2, benchmark=True)
    settings = {
        **USUAL,  # on a busy machine, impatience would take a slow worker for a dead one, and its files for nobody's
        "PHOTOSITE_BLOB_GRACE_S": "60",
        "PHOTOSITE_DEVICE": "cpu",
        "PHOTOSITE_REDIS_SERVER": find_server(SERVERS[0], program),
        "PHOTOSITE_MODELS_DIR": str(models),
        "OMP_NUM_THREADS": "1",  # the networks are so small that more threads only wait for each other
    }
    with serve(folder, **settings) as running:
        yield running


@pytest.fixture(params=sorted(SIZES))
def size(request: pytest.FixtureRequest) -> str:
    """A phone's window, and a desktop's."""
    return str(request.param)


@pytest.fixture
def visitor(browser: Browser, service: RunningService, size: str, pictures: Path | None) -> Iterator[Visit]:
    """Somebody at the page, in the light theme."""
    with visit(browser, service.address, size, "light", pictures) as here:
        yield here


@pytest.fixture(params=THEMES)
def themed_visitor(
    request: pytest.FixtureRequest, browser: Browser, service: RunningService, size: str, pictures: Path | None
) -> Iterator[Visit]:
    """Somebody at the page, in each theme."""
    with visit(browser, service.address, size, request.param, pictures) as here:
        yield here


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DNG of a few hundred pixels each way; its picture does not fit into a phone's window at 1:1."""
    path = tmp_path_factory.mktemp("raw") / "IMG 0001.DNG"
    return make_dng(path, sample_mosaic(900, 1300), layout="ljpeg-tiles", noise_profile=NOISE)


@pytest.fixture(scope="session")
def big_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DNG that keeps the slow model busy for some seconds."""
    path = tmp_path_factory.mktemp("raw") / "big.dng"
    return make_dng(path, sample_mosaic(1600, 2200), noise_profile=NOISE)


@pytest.fixture(scope="session")
def broken_raw(tmp_path_factory: pytest.TempPathFactory, raw: Path) -> Path:
    """A DNG that broke off."""
    path = tmp_path_factory.mktemp("raw") / "broken.dng"
    path.write_bytes(raw.read_bytes()[:5000])
    return path


@pytest.fixture(scope="session")
def capture_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Captures to learn from."""
    folder = tmp_path_factory.mktemp("captures")
    return [
        make_dng(folder / f"capture {seed}.dng", sample_mosaic(512, 768, seed=seed), layout="ljpeg-tiles")
        for seed in range(3)
    ]
