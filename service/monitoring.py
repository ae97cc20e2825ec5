"""What Prometheus is told: every metric's name, in one place.

In the flow: beside it; the API counts requests and asks the job store for the queue, the workers count jobs.

A worker is several processes: they share their numbers through files in `PROMETHEUS_MULTIPROC_DIR`, which must be set
before this module is imported (`photosite worker` does that). The API's own numbers lie in its memory. No label ever
holds what a client chose or what is its own: jobs, tenants, models.
"""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from service.errors import BrokerUnavailableError
from service.gpu import GpuCollector
from service.queue import TASK_NAMES
from service.schemas import JobKind
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from service.job_records import Job
    from service.jobs import JobStore

HTTP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
JOB_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
UPLOAD_BUCKETS = (1e6, 5e6, 1e7, 2.5e7, 5e7, 1e8, 2.5e8, 5e8)
SHOT_NOISE_BUCKETS = (1e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
READ_NOISE_BUCKETS = (1e-9, 1e-8, 1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2)
CORRELATION_BUCKETS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
OUTCOMES = ("succeeded", "failed", "queued", "cancelled", "abandoned")
"""How an attempt ends; queued: given back for another one; abandoned: it was no longer ours."""

logger = logging.getLogger(__name__)


class ApiMetrics:
    """What the API counts.

    Args:
        jobs: Asked for the queues whenever Prometheus asks.
        worker_metrics_dir: Folder of the workers' metric files, where they are at hand.
        data_dir: Folder whose disk is watched; none: no disk is.
    """

    def __init__(self, jobs: JobStore, worker_metrics_dir: Path | None, data_dir: Path | None = None) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(JobCollector(jobs))
        if data_dir:
            registry.register(DiskCollector(data_dir))
        if worker_metrics_dir:
            registry.register(WorkerFilesCollector(worker_metrics_dir))
        self.requests = Counter(
            "photosite_http_requests", "HTTP requests answered.", ["route", "method", "code"], registry=registry
        )
        self.duration = Histogram(
            "photosite_http_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ["route", "method"],
            buckets=HTTP_BUCKETS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "photosite_http_requests_in_progress", "HTTP requests being answered.", registry=registry
        )
        self.upload_bytes = Histogram(
            "photosite_upload_bytes", "Size of accepted uploads.", buckets=UPLOAD_BUCKETS, registry=registry
        )
        self.webhooks = Counter("photosite_webhooks", "Webhooks sent, by how it ended.", ["outcome"], registry=registry)
        self.rejected = Counter(
            "photosite_rejected", "Requests to denoise that were refused, by error code.", ["reason"], registry=registry
        )
        self.lapsed_leases = Counter(
            "photosite_lapsed_leases",
            "Running jobs that their worker let go of without a word: it was killed, or froze.",
            ["queue"],
            registry=registry,
        )
        for queue in TASK_NAMES:
            self.lapsed_leases.labels(queue)  # a counter that begins at 1 shows no increase

    def observe_lapse(self, job: Job) -> None:
        """A running job's lease has lapsed, and the job was sent again."""
        self.lapsed_leases.labels(job.queue).inc()

    def render(self) -> bytes:
        """All of them as Prometheus' text, with the worker's where its files are at hand."""
        return generate_latest(self.registry)


class JobCollector(Collector):
    """Looks at the queue when Prometheus asks; gives nothing while Redis cannot be reached."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[Metric]:
        """The number of jobs that wait and that run, and how long the oldest has waited, by queue."""
        depth = GaugeMetricFamily("photosite_queue_depth", "Jobs that wait.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "photosite_queue_oldest_seconds", "Time that the oldest waiting job has waited.", labels=["queue"]
        )
        running = GaugeMetricFamily("photosite_jobs_running", "Jobs that run, in all workers.", labels=["queue"])
        try:
            counts = self._jobs.count_running()
            for queue in TASK_NAMES:
                depth.add_metric([queue], self._jobs.count_queued(queue))
                oldest.add_metric([queue], self._jobs.oldest_wait_s(queue))
                running.add_metric([queue], counts[queue])
        except BrokerUnavailableError as error:
            logger.warning("no queue metrics: %s", error.detail)
            return
        yield from (depth, oldest, running)


class DiskCollector(Collector):
    """Looks at the data folder's disk when Prometheus asks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Size and free bytes; nothing while the folder is not there."""
        try:
            usage = shutil.disk_usage(self._folder)
        except OSError:
            return
        yield GaugeMetricFamily("photosite_data_size_bytes", "Size of the data folder's disk.", value=usage.total)
        yield GaugeMetricFamily("photosite_data_free_bytes", "Free space on the data folder's disk.", value=usage.free)


class WorkerFilesCollector(Collector):
    """The metrics of all worker processes that share a folder; nothing until there is one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """What their files hold."""
        if self._folder.is_dir():
            yield from worker_registry(self._folder).collect()


class WorkerMetrics:
    """What one worker process counts; make it after the fork."""

    def __init__(self) -> None:
        # Values go to the shared files by the metric's name; this registry only keeps names from being used twice.
        registry = CollectorRegistry()
        self._attempts = Counter(
            "photosite_jobs", "Attempts at jobs that ended, by outcome.", ["kind", "outcome"], registry=registry
        )
        self._in_progress = Gauge(
            "photosite_jobs_in_progress", "Jobs in this worker.", multiprocess_mode="livesum", registry=registry
        )
        self._duration = Histogram(
            "photosite_job_duration_seconds",
            "Time that an attempt at a job took.",
            ["kind"],
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self._wait = Histogram(
            "photosite_queue_wait_seconds",
            "Time from a job's last message to the start of the attempt.",
            ["kind"],
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self._stages = Histogram(
            "photosite_stage_duration_seconds",
            "Time that a stage of a job took.",
            ["kind", "stage"],
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self._redeliveries = Counter("photosite_redeliveries", "Attempts after the first.", ["kind"], registry=registry)
        self._model_failures = Counter(
            "photosite_model_load_failures",
            "Models that could not be loaded, each time it was tried.",
            registry=registry,
        )
        self._model_loads = Histogram(
            "photosite_model_load_seconds", "Time to load and check a model.", buckets=JOB_BUCKETS, registry=registry
        )
        self._renders = Histogram(
            "photosite_render_duration_seconds",
            "Time to make a picture for the screen.",
            buckets=HTTP_BUCKETS,
            registry=registry,
        )
        self._paused = Counter(
            "photosite_training_paused_seconds", "Time that trainings made way for pictures.", registry=registry
        )
        self._loss = Gauge(
            "photosite_training_loss",
            "Loss of the fine-tuning that runs, or of the last one.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self._quality = QualityMetrics(registry)
        for kind in get_args(JobKind):
            for outcome in OUTCOMES:
                self._attempts.labels(kind, outcome)  # a counter that begins at 1 shows no increase

    def observe_start(self, job: Job) -> None:
        """An attempt has begun."""
        self._in_progress.inc()
        if job.started_at is not None:
            self._wait.labels(job.kind).observe(max(0.0, job.started_at - job.published_at))
        self._redeliveries.labels(job.kind).inc(int(job.attempt > 1))

    def observe_stage(self, job: Job, stage: str, duration_s: float) -> None:
        """A stage of an attempt is over."""
        self._stages.labels(job.kind, stage).observe(duration_s)

    def observe_end(self, job: Job, outcome: str, duration_s: float) -> None:
        """An attempt has ended, in one of `OUTCOMES`."""
        self._in_progress.dec()
        self._attempts.labels(job.kind, outcome).inc()
        self._duration.labels(job.kind).observe(duration_s)

    def observe_render(self, duration_s: float) -> None:
        """A picture for the screen was made, or it was found that it cannot be."""
        self._renders.observe(duration_s)

    def observe_denoised(self, report: dict[str, Any]) -> None:
        """A picture was denoised: `DenoiseReport.to_json` tells how."""
        self._quality.observe(report)

    def observe_training(self, loss: float | None, paused_s: float) -> None:
        """A training step was done, after a pause for pictures."""
        self._paused.inc(paused_s)
        if loss is not None:
            self._loss.set(loss)

    def observe_model_load(self, duration_s: float) -> None:
        """A model was loaded and checked."""
        self._model_loads.observe(duration_s)

    def observe_model_failure(self) -> None:
        """A model could not be loaded; where the request named no version, an older one is served."""
        self._model_failures.inc()


class QualityMetrics:
    """What came, and how well it went: the first to show when pictures change, or a model does not fit them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._megapixels = Counter("photosite_megapixels", "Megapixels denoised.", registry=registry)
        self._sources = Counter(
            "photosite_noise_models", "Noise models used, by where they came from.", ["source"], registry=registry
        )
        self._shot_noise = Histogram(
            "photosite_shot_noise",
            "Shot noise of the pictures: variance per unit of signal, on [0, 1].",
            buckets=SHOT_NOISE_BUCKETS,
            registry=registry,
        )
        self._read_noise = Histogram(
            "photosite_read_noise",
            "Read noise of the pictures: variance at black, on [0, 1].",
            buckets=READ_NOISE_BUCKETS,
            registry=registry,
        )
        self._correlation = Histogram(
            "photosite_residual_correlation",
            "How alike neighbours of what was taken away are, 0 to 1: noise alone is white, detail is not.",
            buckets=CORRELATION_BUCKETS,
            registry=registry,
        )

    def observe(self, report: dict[str, Any]) -> None:
        """A picture was denoised."""
        self._megapixels.inc(report["megapixels"])
        self._sources.labels(report["noise_source"]).inc()
        self._shot_noise.observe(_mean(report["noise"]["shot_noise"]))
        self._read_noise.observe(_mean(report["noise"]["read_noise"]))
        if report["residual_correlation"] is not None:
            self._correlation.observe(report["residual_correlation"])


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def worker_registry(folder: Path) -> CollectorRegistry:
    """The metrics of all worker processes that share a folder."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return registry


def serve_metrics(host: str, port: int, registry: CollectorRegistry) -> None:
    """Answer /metrics on a port of its own, in a thread.

    Raises:
        ConfigError: The address is in use, or not ours.
    """
    try:
        start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigError(f"/metrics: cannot listen on {host}, port {port}: {error.strerror}") from error


def serve_worker_metrics(host: str, port: int, folder: Path) -> None:
    """Answer /metrics for all processes of this worker, and for the graphics cards that it sees."""
    registry = worker_registry(folder)
    registry.register(GpuCollector())
    serve_metrics(host, port, registry)


def forget_worker_process(pid: int) -> None:
    """Take a process that ended out of the gauges."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
