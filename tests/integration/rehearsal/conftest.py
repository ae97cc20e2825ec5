"""What the rehearsal asks for: the deployment, and how many jobs it is to do. `make rehearsal` does 50."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deployment_processes import Deployment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FEW = 12


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let many jobs be asked for."""
    parser.addoption("--jobs", type=int, default=FEW, help="how many jobs the rehearsal's deployment does")


@pytest.fixture(scope="session")
def job_count(request: pytest.FixtureRequest) -> int:
    """How many jobs."""
    return int(request.config.getoption("--jobs", default=FEW))


@pytest.fixture(scope="module")
def deployment(
    models_dir: Path, program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Redis, API, two denoising workers, one training worker, Prometheus."""
    folder = tmp_path_factory.mktemp("rehearsal")
    settings = {"PHOTOSITE_MODELS_DIR": str(models_dir), "OMP_NUM_THREADS": "1"}
    with Deployment(folder, settings, program("redis-server"), program("prometheus")) as running:
        yield running
