"""What metrics are read from, without a Redis and without a graphics card; and every series that there can be.

In the flow of the tests: **series** → every expression of a rule or a dashboard names only these.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from service.errors import BrokerUnavailableError
from service.gpu import GpuCollector
from service.jobs import JobStore
from service.monitoring import ApiMetrics, WorkerMetrics

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"), "unknown": ("",)}


class TwoQueued(JobStore):
    """A store with two waiting jobs and one that runs."""

    def __init__(self) -> None:
        pass

    def count_queued(self, queue: str) -> int:
        """Two, both to be denoised."""
        return 2 if queue == "denoise" else 0

    def oldest_wait_s(self, queue: str) -> float:
        """Seven seconds and a half."""
        return 7.5 if queue == "denoise" else 0.0

    def count_running(self) -> Counter[str]:
        """One."""
        return Counter(denoise=1)


class NoRedis(TwoQueued):
    """A store whose Redis is away."""

    def count_running(self) -> Counter[str]:
        """Nobody knows."""
        raise BrokerUnavailableError("gone")


class FakeNvml:
    """NVIDIA's library, with two cards of which the second cannot be read once `broken`."""

    NVMLError = RuntimeError

    def __init__(self) -> None:
        self.broken = False

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802  (NVIDIA's own name, and so are the next)
        """Two."""
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        """Its number."""
        return index

    def nvmlDeviceGetMemoryInfo(self, card: int) -> SimpleNamespace:  # noqa: N802
        """One gigabyte, or two, of eight."""
        if self.broken and card:
            raise self.NVMLError
        return SimpleNamespace(used=(card + 1) * 1e9, total=8e9)

    def nvmlDeviceGetUtilizationRates(self, card: int) -> SimpleNamespace:  # noqa: N802
        """Idle, or half busy."""
        return SimpleNamespace(gpu=50 * card)


def series() -> dict[str, set[str]]:
    """All series that API and workers can have, each with the names of its own labels."""
    api = ApiMetrics(TwoQueued(), None, Path("/")).registry
    worker = WorkerMetrics()
    gpu = CollectorRegistry()
    gpu.register(GpuCollector(FakeNvml()))
    collectors: list[Any] = [*api._collector_to_names, *gpu._collector_to_names]
    collectors += [*vars(worker).values(), *vars(worker._quality).values()]
    found: dict[str, set[str]] = {}
    for collector in collectors:
        if not hasattr(collector, "collect"):
            continue
        for family in collector.collect():
            labels = set(getattr(collector, "_labelnames", ()))
            labels |= {label for sample in family.samples for label in sample.labels} - {"le"}
            for suffix in SUFFIXES[family.type]:
                found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found
