"""What the chaos tests ask for: a service to disturb, its jobs' material, and a place for measured times.

`make chaos` runs all of them; without `--minutes`, those that need minutes are skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dng_factory import make_dng, sample_mosaic
from job_kinds import NOISE, Playground, open_playground
from service_process import USUAL, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""The networks are so small that more threads only wait for each other."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the long tests be asked for."""
    for name, meaning in (
        ("--faults", "how many faults strike in the storm"),
        ("--storm-jobs", "how many jobs are done in it"),
        ("--seed", "what decides their order"),
    ):
        parser.addoption(name, type=int, help=meaning)
    parser.addoption("--minutes", type=float, default=None, help="how long the longest job of the chaos tests takes")


@pytest.fixture(scope="session")
def minutes(request: pytest.FixtureRequest) -> float:
    """How long the longest job is to take; skips where nobody asked for long tests."""
    wished: float | None = request.config.getoption("--minutes", default=None)
    if wished is None:
        pytest.skip("takes minutes: make chaos")
    return wished


@pytest.fixture(scope="session")
def service_settings(models_dir: Path) -> dict[str, str]:
    """What every service of these tests is started with."""
    return {"PHOTOSITE_MODELS_DIR": str(models_dir), **ONE_THREAD}


@pytest.fixture(scope="session")
def medium_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DNG that keeps the slow model busy for a second or two."""
    return make_dng(tmp_path_factory.mktemp("raw") / "medium.dng", sample_mosaic(900, 1300), noise_profile=NOISE)


@pytest.fixture(scope="session")
def impatient(
    server_binary: str, service_settings: dict[str, str], medium_raw: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playground]:
    """A service that lets one see within seconds what takes longer in service.

    Its leases are long enough for a busy machine, where a trainer, the nicest of all, waits for the processor for long.
    """
    folder = tmp_path_factory.mktemp("impatient")
    settings = {**service_settings, "PHOTOSITE_LEASE_S": "4", "PHOTOSITE_REDIS_SERVER": server_binary}
    with serve(folder / "data", **settings) as running:
        yield open_playground(running, medium_raw, folder, settings)


@pytest.fixture(scope="session")
def patient(
    server_binary: str, service_settings: dict[str, str], medium_raw: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playground]:
    """A service with the usual settings."""
    folder = tmp_path_factory.mktemp("patient")
    settings = {**service_settings, **USUAL, "PHOTOSITE_REDIS_SERVER": server_binary}
    with serve(folder / "data", **settings) as running:
        yield open_playground(running, medium_raw, folder, settings)
