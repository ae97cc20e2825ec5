"""Graphics cards as Prometheus sees them: memory and utilisation, where there are any.

In the flow: beside it; a worker's /metrics. They are read through NVIDIA's management library (NVML), which makes no
CUDA context: the process that answers /metrics forks, and one that has touched CUDA breaks its children. Its Python
package (`nvidia-ml-py`, the extra "gpu") and the driver may both be missing; then there is nothing to tell.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

logger = logging.getLogger(__name__)


def load_nvml() -> Any | None:
    """NVML's Python package, started; None where it or the driver is missing."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        logger.info("no graphics cards are watched: %s", error)
        return None
    return nvml


class GpuCollector(Collector):
    """Looks at the graphics cards when Prometheus asks."""

    def __init__(self, nvml: Any | None = None) -> None:
        self._nvml = nvml or load_nvml()

    def collect(self) -> Iterator[Metric]:
        """Memory in use, memory in all, and utilisation of each card; nothing where there is none."""
        if self._nvml is None:
            return
        used = GaugeMetricFamily("photosite_gpu_memory_used_bytes", "Memory in use on the card.", labels=["gpu"])
        size = GaugeMetricFamily("photosite_gpu_memory_size_bytes", "Memory of the card.", labels=["gpu"])
        busy = GaugeMetricFamily(
            "photosite_gpu_utilisation_ratio", "Share of the last second in which the card computed.", labels=["gpu"]
        )
        try:
            for index in range(self._nvml.nvmlDeviceGetCount()):
                card = self._nvml.nvmlDeviceGetHandleByIndex(index)
                memory = self._nvml.nvmlDeviceGetMemoryInfo(card)
                used.add_metric([str(index)], memory.used)
                size.add_metric([str(index)], memory.total)
                busy.add_metric([str(index)], self._nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100)
        except self._nvml.NVMLError as error:
            logger.warning("the graphics cards cannot be read: %s", error)
            return
        yield from (used, size, busy)
