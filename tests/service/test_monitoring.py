"""Metrics: well-formed, named as the design says, and the workers' added where they are at hand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from metric_sources import FakeNvml, NoRedis, TwoQueued, series
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.gpu import GpuCollector
from service.job_records import Job
from service.monitoring import ApiMetrics, serve_metrics
from service.schemas import DenoiseParameters
from training.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
from service.job_records import Job
from service.monitoring import WorkerMetrics
from service.schemas import DenoiseParameters, FileSchema
job = Job(id="0" * 32, attempt=2, published_at=1, started_at=4, parameters=DenoiseParameters(),
          input=FileSchema(name="a.dng", bytes=1, sha256=""))
metrics = WorkerMetrics()
metrics.observe_start(job)
metrics.observe_stage(job, "network", 1.5)
metrics.observe_denoised({
    "megapixels": 12, "noise_source": "tag", "residual_correlation": 0.025,
    "noise": {"shot_noise": (1e-4, 4e-4, 1e-4, 4e-4), "read_noise": (1e-6,) * 4},
})
metrics.observe_training(0.5, 1.5)
metrics.observe_render(0.25)
metrics.observe_end(job, "succeeded", 2.0)
"""


def samples(text: bytes) -> dict[str, float]:
    """The values by name and labels; a family that comes twice is an error."""
    families = list(text_string_to_metric_families(text.decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    return {
        sample.name + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_queue_is_asked_when_prometheus_asks() -> None:
    found = samples(ApiMetrics(TwoQueued(), None).render())
    assert found["photosite_queue_depth,queue=denoise"] == 2
    assert found["photosite_queue_depth,queue=finetune"] == 0
    assert found["photosite_queue_oldest_seconds,queue=denoise"] == 7.5
    assert found["photosite_jobs_running,queue=denoise"] == 1
    assert found["photosite_jobs_running,queue=validate"] == 0


def test_without_redis_there_is_no_queue_but_all_the_rest() -> None:
    found = samples(ApiMetrics(NoRedis(), None).render())
    assert not {name for name in found if name.startswith(("photosite_queue", "photosite_jobs_running"))}
    assert "photosite_http_requests_in_progress" in found


def test_a_lapsed_lease_is_counted_from_nought() -> None:
    metrics = ApiMetrics(TwoQueued(), None)
    assert samples(metrics.render())["photosite_lapsed_leases_total,queue=denoise"] == 0
    metrics.observe_lapse(Job(id="0" * 32, parameters=DenoiseParameters()))
    assert samples(metrics.render())["photosite_lapsed_leases_total,queue=denoise"] == 1


def test_the_data_folders_disk_is_watched(tmp_path: Path) -> None:
    found = samples(ApiMetrics(TwoQueued(), None, tmp_path).render())
    assert 0 < found["photosite_data_free_bytes"] <= found["photosite_data_size_bytes"]
    assert "photosite_data_free_bytes" not in samples(ApiMetrics(TwoQueued(), None, tmp_path / "gone").render())


def test_the_workers_numbers_are_added_where_their_files_lie(tmp_path: Path) -> None:
    for _ in range(2):  # two processes of a worker
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", WORKER], env=environment, check=True)
    found = samples(ApiMetrics(TwoQueued(), tmp_path).render())
    assert found["photosite_jobs_total,kind=denoise,outcome=succeeded"] == 2
    assert found["photosite_jobs_total,kind=denoise,outcome=failed"] == 0
    assert found["photosite_redeliveries_total,kind=denoise"] == 2
    assert found["photosite_queue_wait_seconds_sum,kind=denoise"] == 6
    assert found["photosite_job_duration_seconds_sum,kind=denoise"] == 4
    assert found["photosite_stage_duration_seconds_sum,kind=denoise,stage=network"] == 3
    assert found["photosite_jobs_in_progress"] == 0
    assert found["photosite_megapixels_total"] == 24
    assert found["photosite_noise_models_total,source=tag"] == 2
    assert found["photosite_shot_noise_sum"] == pytest.approx(2 * 2.5e-4)
    assert found["photosite_read_noise_bucket,le=1e-06"] == 2
    assert found["photosite_residual_correlation_bucket,le=0.02"] == 0
    assert found["photosite_residual_correlation_bucket,le=0.03"] == 2
    assert found["photosite_training_loss"] == 0.5
    assert found["photosite_render_duration_seconds_sum"] == 0.5
    assert found["photosite_training_paused_seconds_total"] == 3


def test_a_port_of_its_own_answers_and_one_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1, port {port}"):
            serve_metrics("127.0.0.1", port, ApiMetrics(TwoQueued(), None).registry)
    serve_metrics("127.0.0.1", port, ApiMetrics(TwoQueued(), None, tmp_path).registry)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
    assert samples(answer.content)["photosite_queue_depth,queue=denoise"] == 2


def test_all_names_begin_with_photosite_but_those_of_the_process() -> None:
    for name in samples(ApiMetrics(TwoQueued(), None).render()):
        assert name.startswith(("photosite_", "process_", "python_info"))


def test_no_label_holds_an_id() -> None:
    own = {name: labels for name, labels in series().items() if name.startswith("photosite_")}
    assert {"photosite_jobs_total", "photosite_gpu_memory_used_bytes", "photosite_shot_noise_bucket"} <= set(own)
    assert set.union(*own.values()) == {
        "code", "gpu", "kind", "le", "method", "outcome", "queue", "reason", "route", "source", "stage",
    }  # fmt: skip


def test_graphics_cards_are_told_apart() -> None:
    registry = CollectorRegistry()
    registry.register(GpuCollector(FakeNvml()))
    found = samples(generate_latest(registry))
    assert found["photosite_gpu_memory_used_bytes,gpu=1"] == 2e9
    assert found["photosite_gpu_memory_size_bytes,gpu=0"] == 8e9
    assert found["photosite_gpu_utilisation_ratio,gpu=1"] == 0.5


def test_cards_that_cannot_be_read_are_left_out_and_come_back() -> None:
    nvml = FakeNvml()
    collector = GpuCollector(nvml)
    nvml.broken = True
    assert list(collector.collect()) == []
    nvml.broken = False
    assert len(list(collector.collect())) == 3


def test_without_nvidias_library_there_are_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert list(GpuCollector().collect()) == []
