"""What is refused before anything is kept: what is certain to fail later.

In the flow: receive → **check** → keep → record → publish.
"""

from collections import Counter
from pathlib import Path

from fastapi import Request

from service.api.dependencies import Services
from service.errors import InvalidRequestError
from training.errors import AlreadyDenoisedError, ConfigError, ModelError
from training.raw.dng import read_metadata
from training.raw.kinds import foreign_kind
from training.registry import ModelRef, require_bayer

REPEATABLE = frozenset({"state", "kind", "id"})
"""Query parameters that are lists."""


def check_parameters(request: Request) -> None:
    """Refuse a query that says one thing twice: FastAPI would take the last, a proxy before it perhaps the first.

    Raises:
        InvalidRequestError: It does.
    """
    times = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in times.items():
        if count > 1 and name not in REPEATABLE:
            raise InvalidRequestError(f"query.{name[:40]}: it comes {count} times")


def check_model(name: str | None, where: str, tenant: str, services: Services) -> None:
    """Refuse a model that the tenant does not see.

    Args:
        name: NAME, NAME@VERSION, or None for the default.
        where: What the client called it by.
        tenant: Who asks.
        services: The service's parts.

    Raises:
        InvalidRequestError: There is no such model.
        ModelError: There is no default.
    """
    _find_model(name, where, tenant, services)


def _find_model(name: str | None, where: str, tenant: str, services: Services) -> ModelRef:
    """The model; see `check_model`."""
    try:
        return services.registry(tenant).resolve(name)
    except ModelError as error:
        if name is None:
            raise
        raise InvalidRequestError(f"{where}: {error.message}") from error


def check_bayer_model(name: str | None, where: str, tenant: str, services: Services) -> None:
    """Refuse a model for what knows Bayer mosaics alone, if it is for other sensors; as `check_model` else.

    Raises:
        InvalidRequestError: There is no such model, or it takes no Bayer mosaics.
        ModelError: There is no default, or the model's manifest is damaged.
    """
    found = _find_model(name, where, tenant, services)
    try:
        require_bayer(found.manifest(), where)
    except ConfigError as error:
        raise InvalidRequestError(error.message) from error


def check_raw(path: Path, *, force: bool) -> None:
    """Refuse a file that cannot be denoised, as far as its directories tell; no pixel is decoded.

    What LibRaw makes of another maker's raw, a worker finds out: the API runs no decoder.

    Raises:
        RawError: Which kind, and why.
    """
    if foreign_kind(path) is not None:
        return
    denoised_by = read_metadata(path).denoised_by
    if denoised_by and not force:
        raise AlreadyDenoisedError(f"the file was denoised by {denoised_by} already; add force=true to do it again")
