"""What a worker process has at hand for its work.

In the flow: worker process → **workshop** → pipeline, rendering. Naming it imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from service.captures import CaptureStore
    from service.jobs import JobStore
    from service.monitoring import WorkerMetrics
    from service.pictures import PictureStore
    from service.settings import Settings
    from service.storage import BlobStore
    from service.worker.opened import OpenedRaws
    from service.worker.turns import DeviceTurns
    from training.engines.base import Engine
    from training.raw.cells import SensorKind
    from training.registry import ModelRef, Registry


class Models(Protocol):
    """Where engines come from."""

    def registry(self, tenant: str) -> Registry:
        """The models that a tenant sees."""

    def get(self, name: str | None, tenant: str, sensor: SensorKind = "bayer") -> tuple[ModelRef, Engine]:
        """The engine of NAME, NAME@VERSION, or None for what a sensor's mosaics get, among what a tenant sees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """What the steps need, made once per worker process."""

    settings: Settings
    jobs: JobStore
    captures: CaptureStore
    blobs: BlobStore
    models: Models
    metrics: WorkerMetrics
    turns: DeviceTurns
    pictures: PictureStore
    opened: OpenedRaws
