"""Models in memory: loaded once per process, new versions picked up without a restart.

In the flow: worker: **resolve → engine** → denoise_file.

A new version is loaded beside the old one, checked (`load_engine`: digest and golden tile), and only then served. One
that cannot be is no reason to refuse a request that did not ask for it by its version: that gets what it got before.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from service.models import visible_models
from training.errors import ModelError
from training.registry import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.monitoring import WorkerMetrics
    from service.settings import Settings
    from training.engines.base import Engine
    from training.raw.cells import SensorKind
    from training.registry import ModelRef, Registry

    Asked = tuple[str, str | None, SensorKind]
    """The tenant, the model's name, the sensor."""

REFUSED_S = 60.0
"""A model that could not be loaded is tried again after so many seconds, not for each job in between."""

logger = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """An engine, and what its files were when it was loaded."""

    engine: Engine
    identity: tuple[int, ...]


class Refusal(NamedTuple):
    """Why a model could not be loaded, and until when that is taken for granted."""

    error: ModelError
    until: float


class ModelCache:
    """The engines of the models used last.

    Args:
        settings: Where models lie, and how many are kept in memory.
        metrics: Told of models that cannot be loaded.
    """

    def __init__(self, settings: Settings, metrics: WorkerMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._engines: OrderedDict[Path, Loaded] = OrderedDict()
        self._refused: dict[Path, Refusal] = {}
        self._served: dict[Asked, ModelRef] = {}

    def registry(self, tenant: str) -> Registry:
        """The models that a tenant sees."""
        return visible_models(self._settings, tenant)

    def get(self, name: str | None, tenant: str, sensor: SensorKind = "bayer") -> tuple[ModelRef, Engine]:
        """The engine of a model; which version "the default" or a bare name means is looked up anew each time.

        Args:
            name: NAME, NAME@VERSION, or None for the one that the sensor's mosaics get.
            tenant: Who asks: its own models are looked up, too.
            sensor: Whose mosaic is to be denoised.

        Returns:
            What was asked for; where no version was named and the newest cannot be loaded, what was served before it.

        Raises:
            ModelError: There is no such model, or it cannot be loaded.
            UnsupportedRawError: None was named, and there is none for such sensors.
        """
        self._forget_deleted()
        wanted = self.registry(tenant).resolve_for(sensor, name)
        if name is not None and "@" in name:
            return wanted, self._load(wanted)
        asked = tenant, name, sensor
        found = self._first_sound(wanted, asked)
        self._served[asked] = found[0]
        return found

    def _first_sound(self, wanted: ModelRef, asked: Asked) -> tuple[ModelRef, Engine]:
        """The wanted model, or the first that can stand in for it."""
        try:
            return wanted, self._load_unless_refused(wanted)
        except ModelError as error:
            for older in self._stand_ins(wanted, asked):
                try:
                    engine = self._load_unless_refused(older)
                except ModelError:
                    continue
                logger.warning("model %s cannot be loaded, %s stays: %s %s", wanted, older, error.message, error.detail)
                return older, engine
            raise

    def _stand_ins(self, wanted: ModelRef, asked: Asked) -> Iterator[ModelRef]:
        """What the same request was served with before, then older versions of what it wants, newest first."""
        tenant, _, _ = asked
        references = self.registry(tenant).references()
        served = self._served.get(asked)
        if served in references and served != wanted:
            yield served
        older = references[: references.index(wanted)]
        yield from (reference for reference in reversed(older) if reference.name == wanted.name)

    def _load_unless_refused(self, reference: ModelRef) -> Engine:
        refusal = self._refused.get(reference.path)
        if refusal and time.monotonic() < refusal.until:
            raise refusal.error
        return self._load(reference)

    def _load(self, reference: ModelRef) -> Engine:
        """An engine from memory, or else from the disk; only then another one makes room.

        Raises:
            ModelError: It cannot be loaded.
        """
        known = self._engines.get(reference.path)
        if known is None:
            identity = _identity(reference.path)  # as it was before: whatever changes meanwhile is noticed next time
            known = Loaded(self._load_anew(reference), identity)
            self._engines[reference.path] = known
        self._engines.move_to_end(reference.path)
        while len(self._engines) > self._settings.cached_models:
            self._engines.popitem(last=False)
        return known.engine

    def _load_anew(self, reference: ModelRef) -> Engine:
        from training.engines import load_engine  # noqa: PLC0415  (torch: seconds, only where something is denoised)

        logger.info("loading model %s", reference)
        started = time.monotonic()
        try:
            engine = load_engine(reference, self._settings.device)
        except ModelError as error:
            self._metrics.observe_model_failure()
            self._refused[reference.path] = Refusal(error, time.monotonic() + REFUSED_S)
            raise
        self._metrics.observe_model_load(time.monotonic() - started)
        self._refused.pop(reference.path, None)
        return engine

    def _forget_deleted(self) -> None:
        """Free the memory of models that are not there any more."""
        for path in [path for path, loaded in self._engines.items() if _identity(path) != loaded.identity]:
            logger.info("model in %s was deleted: forgetting it", path)
            del self._engines[path]


def _identity(folder: Path) -> tuple[int, ...]:
    """Tells a version from one that was deleted and made anew under the same name; empty where there is none."""
    try:
        status = (folder / MANIFEST_NAME).stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
