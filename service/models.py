"""The models that a tenant sees, and what it may do with its own.

In the flow: request → **models** → registry; fine-tuning checks a new name here.

There are three folders, one upon the other: the package's, the operator's, and the tenant's own. The default is the
tenant's where it has chosen one, else the operator's, else the package's. Imports no torch.
"""

from __future__ import annotations

import dataclasses
import fcntl
import logging
from contextlib import contextmanager, suppress
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from service.errors import ConflictError, NotFoundError, PermissionDeniedError, StorageUnavailableError
from service.schemas import FinetuneParameters, ModelDetailSchema, ModelListSchema, ModelMetricsSchema, ModelSchema
from training.errors import ConfigError, ModelError
from training.registry import SENSOR_NAMES, ModelRef, Registry, default_registry, remove_models, set_default

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.job_records import Job
    from service.settings import Settings
    from training.manifest import Manifest

logger = logging.getLogger(__name__)


def visible_models(settings: Settings, tenant: str) -> Registry:
    """The models that a tenant sees: the package's, the operator's, and its own."""
    return default_registry(settings.all_models_dir, settings.tenant_models_dir(tenant))


def own_models(settings: Settings, tenant: str) -> Registry:
    """Those that were made for the tenant alone."""
    return Registry([settings.tenant_models_dir(tenant)])


def check_new_model_name(settings: Settings, name: str) -> None:
    """Refuse a name for a tenant's model that is the package's or the operator's: two would answer to it.

    Args:
        settings: Where models lie.
        name: The name, without a version; where the tenant has a model of that name, it gets a new version.

    Raises:
        ConflictError: It is taken.
    """
    taken = {reference.name for reference in default_registry(settings.all_models_dir).references()}
    if name in taken:
        raise ConflictError(f"the name {name} is taken by a model that everybody uses; choose another")


class TenantModels:
    """Models with one tenant's eyes.

    Args:
        settings: Where models lie.
        tenant: Who looks.
    """

    def __init__(self, settings: Settings, tenant: str) -> None:
        self._folder = settings.tenant_models_dir(tenant)
        self._registry = visible_models(settings, tenant)

    def listing(self) -> ModelListSchema:
        """All versions of all models; one whose manifest is damaged is left out, and named in the log."""
        default, found = self._default(), []
        for reference in self._registry.references():
            try:
                found.append(self._describe(reference, _read(reference), default))
            except ModelError as error:
                logger.warning("model %s: %s (%s)", reference, error.message, error.detail)
        return ModelListSchema(models=found)

    def show(self, name: str) -> ModelDetailSchema:
        """One model.

        Args:
            name: NAME for its newest version, or NAME@VERSION.

        Raises:
            NotFoundError: There is none, or it is another tenant's.
            ModelError: Its manifest is damaged.
        """
        reference = self._find(name)
        manifest = _read(reference)
        shown = self._describe(reference, manifest, self._default())
        return ModelDetailSchema(**shown.model_dump(), manifest=dataclasses.asdict(manifest))

    def set_default(self, name: str) -> ModelSchema:
        """Make a model the one that is used where this tenant's requests name none.

        Args:
            name: NAME for whichever version is the newest, or NAME@VERSION.

        Raises:
            NotFoundError: There is none, or it is another tenant's.
            ConflictError: It is for other sensors than Bayer's, which get theirs without its being the default.
            ModelError: Its manifest is damaged.
            StorageUnavailableError: It cannot be written down.
        """
        with self._changing():
            reference = self._find(name)
            manifest = _read(reference)
            if manifest.sensor != "bayer":
                raise ConflictError(
                    f"the model {reference} is for {SENSOR_NAMES[manifest.sensor]} sensors; the default is for Bayer's"
                )
            shown = self._describe(reference, manifest, reference)
            set_default(self._folder, name)
        return shown

    def delete(self, name: str, unfinished: Callable[[], list[Job]]) -> None:
        """Delete one of the tenant's own models; who has loaded it already is not disturbed.

        Args:
            name: NAME for all its versions, or NAME@VERSION.
            unfinished: Asked for the tenant's jobs that wait or run.

        Raises:
            NotFoundError: There is none, or it is another tenant's.
            PermissionDeniedError: It is the package's or the operator's.
            ConflictError: It is the default, or a job that is not finished needs it.
            StorageUnavailableError: It cannot be removed.
        """
        with self._changing():
            found = self._find(name)
            versions = [found] if "@" in name else self._versions(found.name)
            own = [reference for reference in versions if self._is_own(reference)]
            if not own:
                raise PermissionDeniedError(f"the model {name} is not yours to delete")
            if self._default() in own:
                raise ConflictError(f"the model {name} is the default; choose another default first")
            for job in unfinished():
                if self._needed(job) & set(own) or _makes(job, own):
                    raise ConflictError(f"the job {job.id} is {job.state} and needs the model {name}")
            remove_models(own)

    def _find(self, name: str) -> ModelRef:
        try:
            return self._registry.resolve(name)
        except ModelError as error:
            raise NotFoundError(error.message) from error

    def _versions(self, name: str) -> list[ModelRef]:
        return [reference for reference in self._registry.references() if reference.name == name]

    def _default(self) -> ModelRef | None:
        with suppress(ModelError):
            return self._registry.resolve()
        return None

    def _is_own(self, reference: ModelRef) -> bool:
        return reference.path.is_relative_to(self._folder)

    def _needed(self, job: Job) -> set[ModelRef]:
        """The models that a job will look up by name."""
        names = (getattr(job.parameters, field, None) for field in ("model", "base"))
        found = set()
        for name in filter(None, names):
            with suppress(ModelError):
                found.add(self._registry.resolve(name))
        return found

    def _describe(self, reference: ModelRef, manifest: Manifest, default: ModelRef | None) -> ModelSchema:
        """A model as its user sees it.

        Raises:
            ModelError: Its manifest is damaged.
        """
        try:
            return ModelSchema(
                **{name: getattr(manifest, name) for name in _SHOWN},
                name=reference.name,
                version=reference.version,
                reference=str(reference),
                created=_date(manifest.training.get("published")),
                metrics=_summary(manifest.metrics),
                default=reference == default,
                own=self._is_own(reference),
            )
        except (ValidationError, TypeError, AttributeError) as error:
            raise _damaged(reference, str(error)) from error

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Keep other processes from changing this tenant's models meanwhile: no default is ever deleted."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / ".lock").open("w", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except (OSError, ConfigError) as error:
            raise StorageUnavailableError("the folder of models cannot be written", detail=str(error)) from error


_SHOWN = ("description", "sensor", "objective", "training_data", "licence", "parent", "noise_range")


def _read(reference: ModelRef) -> Manifest:
    """A model's manifest; what is wrong with it names no path of this machine.

    Raises:
        ModelError: It is damaged.
    """
    try:
        return reference.manifest()
    except ModelError as error:
        raise _damaged(reference, error.detail or error.message) from error


def _damaged(reference: ModelRef, detail: str) -> ModelError:
    return ModelError(f"the manifest of {reference} is damaged", detail=detail)


def _makes(job: Job, models: list[ModelRef]) -> bool:
    """Whether a job is about to make a new version of one of these: the numbers of versions must not be used twice."""
    return isinstance(job.parameters, FinetuneParameters) and job.parameters.name in {model.name for model in models}


def _date(text: Any) -> date | None:
    """The day in a manifest's "2026-11-21", with or without a time after it."""
    with suppress(ValueError, TypeError):
        return date.fromisoformat(text[:10])
    return None


def _summary(metrics: dict[str, Any]) -> ModelMetricsSchema:
    """The figures that somebody who chooses a model looks at first.

    Raises:
        ValidationError, TypeError, AttributeError: They are not of the form that `photosite models publish` writes.
    """
    rows = metrics.get("psnr_by_shot_noise", {})
    try:
        gains = {level: round(row["output_db"] - row["input_db"], 3) for level, row in rows.items()}
    except KeyError as error:
        raise TypeError(f"metrics: {error} is missing") from error
    return ModelMetricsSchema(gain_db=gains, sidd=metrics.get("sidd", {}).get("mean") or {})
