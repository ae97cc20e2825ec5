"""What the rehearsal asks for: the deployment, and how many jobs it is to do. `make rehearsal` does 50."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deployment_processes import Deployment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FEW = 12
MEASURED: list[str] = []
"""What is printed at the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let many jobs be asked for."""
    parser.addoption("--jobs", type=int, default=FEW, help="how many jobs the rehearsal's deployment does")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.write_line(line)


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


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a measured figure printed at the end."""
    return lambda line: MEASURED.append(f"{request.node.name}: {line}")
