"""The data sets that the server has to measure models on: the one that ships, and those that the operator placed.

In the flow: `GET /datasets`, `POST /jobs/validate` → **data sets** → validation job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from service.schemas import MINI_DATASET, DatasetListSchema, DatasetSchema
from training.errors import ConfigError

if TYPE_CHECKING:
    from service.settings import Settings


def dataset_names(settings: Settings) -> list[str]:
    """All that a validation can name; whether blocks are in the operator's folders finds out who reads them."""
    placed = (path.name for path in settings.datasets_dir.glob("*") if path.is_dir())
    return [MINI_DATASET, *sorted(name for name in placed if name != MINI_DATASET)]


def dataset_path(settings: Settings, name: str) -> str:
    """A name as `open_validation` takes it."""
    return name if name == MINI_DATASET else str(settings.datasets_dir / name)


def list_datasets(settings: Settings) -> DatasetListSchema:
    """What each of them is."""
    return DatasetListSchema(datasets=[_describe(settings, name) for name in dataset_names(settings)])


def _describe(settings: Settings, name: str) -> DatasetSchema:
    from training.datasets.validation_sets import count_images  # noqa: PLC0415  (imports scipy: not before it is asked)

    kind: Literal["shipped", "placed"] = "shipped" if name == MINI_DATASET else "placed"
    try:
        return DatasetSchema(name=name, kind=kind, images=count_images(dataset_path(settings, name)))
    except ConfigError:
        return DatasetSchema(name=name, kind=kind, images=None)
