"""What is refused before anything is kept: what is certain to fail later.

In the flow: receive → **check** → keep → record → publish.
"""

from pathlib import Path

from service.api.dependencies import Services
from service.errors import InvalidRequestError
from training.errors import AlreadyDenoisedError, ModelError
from training.raw.dng import read_metadata


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
    try:
        services.registry(tenant).resolve(name)
    except ModelError as error:
        if name is None:
            raise
        raise InvalidRequestError(f"{where}: {error.message}") from error


def check_raw(path: Path, *, force: bool) -> None:
    """Refuse a file that cannot be denoised, as far as its directories tell; no pixel is decoded.

    Raises:
        RawError: Which kind, and why.
    """
    denoised_by = read_metadata(path).denoised_by
    if denoised_by and not force:
        raise AlreadyDenoisedError(f"the file was denoised by {denoised_by} already; add force=true to do it again")
