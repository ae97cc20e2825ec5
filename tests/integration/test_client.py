"""The client and `photosite denoise --server` against the real service: the same files as without, whatever breaks."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from cutting_proxy import CuttingProxy
from dng_factory import make_dng, sample_mosaic
from service_process import MAX_UPLOAD_BYTES, alive, serve, wait_until

from service.cli import main
from service.client import PhotositeClient
from service.errors import InvalidRequestError, JobConflictError, JobNotFoundError
from service.schemas import DenoiseParameters
from training.denoise import DenoiseOptions, denoise_file
from training.engines import load_engine
from training.errors import AlreadyDenoisedError, RawError, RawTooLargeError, UnreadableRawError
from training.raw.dng import read_metadata
from training.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service_process import RunningService

    from training.engines.base import Engine

pytestmark = pytest.mark.integration

SLOW = DenoiseParameters(model="slow")


@pytest.fixture
def client(service: RunningService) -> Iterator[PhotositeClient]:
    with PhotositeClient(service.address) as client:
        yield client


@pytest.fixture
def engine(models_dir: Path) -> Engine:
    """The default model, in this process."""
    return load_engine(default_registry(models_dir).resolve(None), "cpu")


@pytest.fixture
def here_as_there(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process use the service's models."""
    monkeypatch.setenv("PHOTOSITE_MODELS_DIR", str(models_dir))


@pytest.mark.usefixtures("here_as_there")
def test_the_command_gives_the_same_bytes_and_words_as_without_a_server(
    service: RunningService, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here.dng", tmp_path / "there.dng"
    options = ["--noise", "2e-3,1e-5", "--strength", "0.7", "--json"]
    assert main(["denoise", str(raw), *options, "-o", str(here), "--device", "cpu"]) == 0
    assert main(["denoise", str(raw), *options, "-o", str(there), "--server", service.address]) == 0
    assert there.read_bytes() == here.read_bytes()
    local, remote = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert remote.keys() == local.keys()
    assert {name for name in local if local[name] != remote[name]} <= {"output", "seconds"}


def test_upload_stages_and_download_are_told(client: PhotositeClient, big_raw: Path, tmp_path: Path) -> None:
    sent: list[Any] = []
    received: list[Any] = []
    stages: list[Any] = []
    job = client.denoise(
        big_raw,
        tmp_path / "out.dng",
        SLOW,
        on_sent=lambda *passed: sent.append(passed),
        on_job=lambda job: stages.append((job.state, job.stage, job.progress)),
        on_received=lambda *passed: received.append(passed),
    )
    size = big_raw.stat().st_size
    assert sent == sorted(sent)
    assert (len(sent) > 10, sent[-1]) == (True, (size, size))
    assert any(stage == "network" and 0 < share < 1 for _, stage, share in stages)
    assert stages[-1] == ("succeeded", "done", 1)
    assert job.result
    assert received[-1] == (job.result.bytes, job.result.bytes)
    assert job.input.name == "big.dng"


def test_a_server_may_be_asked_to_wait_and_the_result_fetched_later(
    client: PhotositeClient, raw: Path, tmp_path: Path
) -> None:
    with raw.open("rb") as file:
        job = client.submit(file, wait_s=60)
    assert job.state == "succeeded"
    assert client.wait(job.id, timeout_s=60) == job
    client.download(job.id, tmp_path / "out.dng")
    assert read_metadata(tmp_path / "out.dng").denoised_by == "photosite"


def test_a_job_can_be_cancelled(client: PhotositeClient, big_raw: Path, tmp_path: Path) -> None:
    job = client.submit(big_raw, SLOW)
    for current in client.follow(job.id):
        if current.stage == "network":
            assert client.cancel(job.id).state == "cancelled"
    assert current.state == "cancelled"
    with pytest.raises(JobConflictError, match="cancelled"):
        client.download(job.id, tmp_path / "out.dng")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["text", "empty", "denoised", "corrupt"])
def test_a_bad_file_is_the_same_error_as_without_a_server(
    client: PhotositeClient, engine: Engine, corrupt_raw: Path, tmp_path: Path, kind: str
) -> None:
    bad = tmp_path / "bad.dng"
    if kind == "denoised":
        make_dng(bad, sample_mosaic(96, 128), noise_profile=(1e-3, 1e-6))
        denoise_file(bad, bad, engine=engine, options=DenoiseOptions())
    else:
        bad.write_bytes({"text": b"not a raw file\n", "empty": b"", "corrupt": corrupt_raw.read_bytes()}[kind])
    with pytest.raises(RawError) as here:
        denoise_file(bad, tmp_path / "out.dng", engine=engine, options=DenoiseOptions())
    with pytest.raises(RawError) as there:
        client.denoise(bad, tmp_path / "out.dng")
    assert type(there.value) is type(here.value)
    assert type(there.value) in {UnreadableRawError, AlreadyDenoisedError}
    assert not (tmp_path / "out.dng").exists()
    if kind in {"text", "empty"}:  # a mark can be forced in other words there; what corrupt pixels hold is chance
        assert there.value.message == here.value.message


def test_a_refused_request_says_why(client: PhotositeClient, raw: Path) -> None:
    with pytest.raises(InvalidRequestError, match="there is no model 'nobody'"):
        client.submit(raw, DenoiseParameters(model="nobody"))
    with pytest.raises(JobNotFoundError):
        client.wait("0" * 32)
    assert client.health().checks == {"redis": "ok", "storage": "ok"}


def test_an_upload_beyond_the_limit_is_refused_by_name(client: PhotositeClient) -> None:
    """The answer comes while the client still sends."""
    for _ in range(5):
        with pytest.raises(RawTooLargeError, match="larger than"):
            client.submit(io.BytesIO(bytes(MAX_UPLOAD_BYTES + 8_000_000)))


def test_a_large_upload_beyond_the_limit_is_refused_before_it_is_sent(
    client: PhotositeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.jobs.RESUMABLE_BYTES", 1_000_000)
    sent: list[Any] = []
    with pytest.raises(RawTooLargeError, match="larger than"):
        client.submit(io.BytesIO(bytes(MAX_UPLOAD_BYTES + 1)), on_sent=lambda *passed: sent.append(passed))
    assert sent == []


def test_a_download_over_a_line_that_breaks_ends_in_a_whole_file(
    service: RunningService, raw: Path, tmp_path: Path
) -> None:
    url = service.client.base_url
    with CuttingProxy((url.host, url.port or 80)) as proxy, PhotositeClient(proxy.address) as client:
        job = client.wait(client.submit(raw).id)
        assert job.result
        proxy.cut_after_bytes = job.result.bytes // 3
        client.download(job.id, tmp_path / "out.dng")
        assert proxy.cuts >= 3
    with PhotositeClient(service.address) as client:
        client.download(job.id, tmp_path / "straight.dng")
    assert (tmp_path / "out.dng").read_bytes() == (tmp_path / "straight.dng").read_bytes()


def test_a_large_upload_over_a_line_that_breaks_goes_on_where_it_broke(
    service: RunningService, big_raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.jobs.RESUMABLE_BYTES", 1_000_000)
    url = service.client.base_url
    size = big_raw.stat().st_size
    sent: list[Any] = []
    with CuttingProxy((url.host, url.port or 80)) as proxy, PhotositeClient(proxy.address) as client:
        proxy.cut_after_sent_bytes = 2_500_000
        job = client.submit(big_raw, SLOW, on_sent=lambda *passed: sent.append(passed))
        assert proxy.cuts >= 2
        proxy.cut_after_sent_bytes = None
        client.cancel(job.id)
    assert job.input
    assert job.input.name == "big.dng"
    assert job.input.sha256 == hashlib.sha256(big_raw.read_bytes()).hexdigest()
    assert sent[-1] == (size, size)
    assert min(passed for passed, _ in sent[len(sent) // 2 :]) > 256 * 1024, "it began anew"


def test_a_wait_outlasts_a_restart_of_the_server(
    server_binary: str, models_dir: Path, big_raw: Path, tmp_path: Path
) -> None:
    environment = {"PHOTOSITE_REDIS_SERVER": server_binary, "PHOTOSITE_MODELS_DIR": str(models_dir)}
    with (
        serve(tmp_path / "data", **environment) as first,
        PhotositeClient(first.address) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        job = client.submit(big_raw, SLOW)
        finished = pool.submit(client.wait, job.id)
        wait_until(lambda: first.job(job.id)["stage"] == "network", 60)
        family = first.family()
        first.process.kill()
        wait_until(lambda: not any(alive(pid) for pid in family), 10)
        with serve(tmp_path / "data", port=first.client.base_url.port or 80, **environment):
            assert finished.result(timeout=200).state == "succeeded"
            assert client.job(job.id).attempt == 2
