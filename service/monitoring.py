"""What Prometheus is told: every metric's name, in one place.

In the flow: beside it; the API counts requests and asks the job store for the queue, the workers count jobs.

A worker is several processes: they share their numbers through files in `PROMETHEUS_MULTIPROC_DIR`, which must be set
before this module is imported (`photosite worker` does that). The API's own numbers lie in its memory.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

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
from service.queue import TASK_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from service.job_records import Job
    from service.jobs import JobStore

HTTP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
JOB_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
UPLOAD_BUCKETS = (1e6, 5e6, 1e7, 2.5e7, 5e7, 1e8, 2.5e8, 5e8)

logger = logging.getLogger(__name__)


class ApiMetrics:
    """What the API counts."""

    def __init__(self, jobs: JobStore, worker_metrics_dir: Path | None) -> None:
        self._worker_metrics_dir = worker_metrics_dir
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(JobCollector(jobs))
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

    def render(self) -> bytes:
        """All of them as Prometheus' text, with the worker's where its files are at hand."""
        text = generate_latest(self._registry)
        if self._worker_metrics_dir and self._worker_metrics_dir.is_dir():
            text += generate_latest(worker_registry(self._worker_metrics_dir))
        return text


class JobCollector(Collector):
    """Looks at the queue when Prometheus asks; gives nothing while Redis cannot be reached."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[Metric]:
        """The number of jobs that wait, by queue, and that run."""
        depth = GaugeMetricFamily("photosite_queue_depth", "Jobs that wait.", labels=["queue"])
        try:
            for queue in TASK_NAMES:
                depth.add_metric([queue], self._jobs.count_queued(queue))
            running = self._jobs.count_running()
        except BrokerUnavailableError as error:
            logger.warning("no queue metrics: %s", error.detail)
            return
        yield depth
        yield GaugeMetricFamily("photosite_jobs_running", "Jobs that run, in all workers.", value=running)

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask Redis."""
        return []


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
        self._redeliveries = Counter("photosite_redeliveries", "Attempts after the first.", ["kind"], registry=registry)
        self._model_failures = Counter(
            "photosite_model_load_failures",
            "Models that could not be loaded, each time it was tried.",
            registry=registry,
        )

    def observe_start(self, job: Job) -> None:
        """An attempt has begun."""
        self._in_progress.inc()
        if job.started_at is not None:
            self._wait.labels(job.kind).observe(max(0.0, job.started_at - job.published_at))
        if job.attempt > 1:
            self._redeliveries.labels(job.kind).inc()

    def observe_end(self, job: Job, outcome: str, duration_s: float) -> None:
        """An attempt has ended: "succeeded", "failed", "queued" (given back) or "abandoned" (no longer ours)."""
        self._in_progress.dec()
        self._attempts.labels(job.kind, outcome).inc()
        self._duration.labels(job.kind).observe(duration_s)

    def observe_model_failure(self) -> None:
        """A model could not be loaded; where the request named no version, an older one is served."""
        self._model_failures.inc()


def worker_registry(folder: Path) -> CollectorRegistry:
    """The metrics of all worker processes that share a folder."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return registry


def serve_worker_metrics(port: int, folder: Path) -> None:
    """Answer /metrics for all processes of this worker."""
    start_http_server(port, registry=worker_registry(folder))


def forget_worker_process(pid: int) -> None:
    """Take a process that ended out of the gauges."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
