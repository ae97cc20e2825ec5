"""`photosite serve` itself: what it accepted survives its death, and nothing of it survives its end."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from dng_factory import make_dng, sample_mosaic
from redis_servers import running_server
from service_process import alive, serve, wait_until

from service.client import PhotositeClient
from service.schemas import DenoiseParameters

if TYPE_CHECKING:
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration


def submit(service: RunningService, raw: Path, strength: float = 1) -> str:
    """Hand a raw to the slow model; gives the job's id."""
    with PhotositeClient(service.address) as client:
        return client.submit(raw, DenoiseParameters(model="slow", strength=strength)).id


@pytest.fixture
def environment(server_binary: str, models_dir: Path) -> dict[str, str]:
    return {"PHOTOSITE_REDIS_SERVER": server_binary, "PHOTOSITE_MODELS_DIR": str(models_dir)}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_nothing_is_left_running_however_it_ends(
    tmp_path: Path, environment: dict[str, str], end: signal.Signals
) -> None:
    big = tmp_path / "big.dng"
    make_dng(big, sample_mosaic(1600, 2200), noise_profile=(1e-3, 1e-6))
    with serve(tmp_path / "data", **environment) as service:
        job_id = submit(service, big)
        wait_until(lambda: service.job(job_id)["stage"] == "network", 60)
        family = service.family()
        assert len(family) >= 5, f"serve, Redis, worker, its process, API: {family}"
        service.process.send_signal(end)
        assert service.process.wait(30) == (-end if end == signal.SIGKILL else 0)
        wait_until(lambda: not any(alive(pid) for pid in family), 10)
        assert end == signal.SIGKILL or list(service.temporary_dir.iterdir()) == []


def test_an_accepted_job_survives_the_death_of_everything(tmp_path: Path, environment: dict[str, str]) -> None:
    raw = tmp_path / "raw.dng"
    make_dng(raw, sample_mosaic(800, 1200), noise_profile=(1e-3, 1e-6))
    with serve(tmp_path / "data", **environment) as service:
        ids = [submit(service, raw, strength) for strength in (0.5, 0.6, 0.7)]
        wait_until(lambda: service.job(ids[0])["state"] != "queued", 60)
        family = service.family()
        service.process.kill()
        wait_until(lambda: not any(alive(pid) for pid in family), 10)
    with serve(tmp_path / "data", **environment) as service, PhotositeClient(service.address) as client:
        jobs = [client.wait(job_id, timeout_s=300) for job_id in ids]
        assert [job.state for job in jobs] == ["succeeded"] * 3
        assert len({job.result.sha256 for job in jobs if job.result}) == 3
        service.process.terminate()
        assert service.process.wait(30) == 0


def test_one_data_folder_is_served_once(tmp_path: Path, environment: dict[str, str]) -> None:
    with (
        serve(tmp_path / "data", **environment),
        pytest.raises(AssertionError, match="status 2"),
        serve(tmp_path / "data", **environment),
    ):
        pytest.fail("a second service started on the same data")


def test_an_outside_server_is_used_instead_of_a_private_one(
    tmp_path: Path, environment: dict[str, str], server_binary: str
) -> None:
    raw = tmp_path / "raw.dng"
    make_dng(raw, sample_mosaic(200, 300), noise_profile=(1e-3, 1e-6))
    with (
        running_server(server_binary) as url,
        serve(tmp_path / "data", **environment, PHOTOSITE_REDIS_URL=url) as service,
    ):
        assert service.client.post("/denoise", content=raw.read_bytes()).status_code == 200
        commands = service.family().values()
        assert not any(os.path.basename(server_binary) in command for command in commands)  # noqa: PTH119
        service.process.terminate()
        assert service.process.wait(30) == 0
