"""What a key must be allowed to do for each route: one table, for the requests and for their description.

In the flow: request → key → **scopes** → route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.api.sessions import SAFE_METHODS
from service.errors import PermissionDeniedError

if TYPE_CHECKING:
    from service.tenants import Scope

_TO_CHANGE: dict[str, frozenset[Scope]] = {
    "/denoise": frozenset({"denoise"}),
    "/uploads": frozenset({"denoise", "train"}),
    "/jobs/finetune": frozenset({"train"}),
    "/jobs/validate": frozenset({"train"}),
    "/jobs": frozenset({"denoise", "train"}),
    "/batches": frozenset({"denoise"}),
    "/captures": frozenset({"train"}),
    "/models": frozenset({"models"}),
}
"""By the beginning of the path, the first that fits. To cancel a job is given to all who can have handed one in."""
_TO_LOOK: frozenset[Scope] = frozenset({"read"})
_UPLOADS = "/uploads"


def scopes_for(method: str, path: str) -> frozenset[Scope]:
    """The scopes of which a key must have one.

    Args:
        method: The request's method.
        path: The route's path, "/jobs/{job_id}".

    Raises:
        KeyError: No scope lets anybody do that; there is no such route.

    >>> sorted(scopes_for("DELETE", "/jobs/{job_id}"))
    ['denoise', 'train']
    """
    if method not in SAFE_METHODS:
        return _TO_CHANGE[next((start for start in _TO_CHANGE if path.startswith(start)), path)]
    if path in {_UPLOADS, f"{_UPLOADS}/{{upload_id}}"}:  # who uploads in pieces asks how much has come
        return _TO_LOOK | _TO_CHANGE[_UPLOADS]
    return _TO_LOOK


def check_scopes(scopes: frozenset[str], method: str, path: str) -> None:
    """Refuse what a key was not made for.

    Raises:
        PermissionDeniedError: It has none of the scopes that are needed.
    """
    needed = scopes_for(method, path)
    if not needed & scopes:
        raise PermissionDeniedError(f"the API key is not for that: it needs the scope {' or '.join(sorted(needed))}")
