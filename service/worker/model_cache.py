"""Models in memory: loaded once per process, new versions picked up without a restart.

In the flow: worker: **resolve → engine** → denoise_file.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from training.engines import load_engine
from training.registry import default_registry

if TYPE_CHECKING:
    from pathlib import Path

    from service.settings import Settings
    from training.engines.base import Engine
    from training.registry import ModelRef, Registry

logger = logging.getLogger(__name__)


class ModelCache:
    """The engines of the models used last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engines: OrderedDict[Path, Engine] = OrderedDict()

    def registry(self, tenant: str) -> Registry:
        """The models that a tenant sees."""
        return default_registry(self._settings.all_models_dir, self._settings.tenant_models_dir(tenant))

    def get(self, name: str | None, tenant: str) -> tuple[ModelRef, Engine]:
        """The engine of a model; which version "the default" or a bare name means is looked up anew each time.

        Args:
            name: NAME, NAME@VERSION, or None for the default.
            tenant: Who asks: its own models are looked up, too.

        Raises:
            ModelError: There is no such model, or it cannot be loaded.
        """
        ref = self.registry(tenant).resolve(name)
        if ref.path not in self._engines:
            logger.info("loading model %s", ref)
            self._engines[ref.path] = load_engine(ref, self._settings.device)
        self._engines.move_to_end(ref.path)
        while len(self._engines) > self._settings.cached_models:
            self._engines.popitem(last=False)
        return ref, self._engines[ref.path]
