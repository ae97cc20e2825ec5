"""Stands in for NVIDIA's library where a whole worker runs on a machine without a graphics card."""

from __future__ import annotations

from metric_sources import FakeNvml

_cards = FakeNvml()
NVMLError = FakeNvml.NVMLError
nvmlDeviceGetCount = _cards.nvmlDeviceGetCount  # noqa: N816  (NVIDIA's own names)
nvmlDeviceGetHandleByIndex = _cards.nvmlDeviceGetHandleByIndex  # noqa: N816
nvmlDeviceGetMemoryInfo = _cards.nvmlDeviceGetMemoryInfo  # noqa: N816
nvmlDeviceGetUtilizationRates = _cards.nvmlDeviceGetUtilizationRates  # noqa: N816


def nvmlInit() -> None:  # noqa: N802
    """There is nothing to start."""
