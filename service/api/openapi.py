"""The description of the interface, /openapi.json: what FastAPI finds in the routes, said as clients need it.

In the flow: routes → **Api** → /openapi.json → documentation, client generators, tests.

Source: OpenAPI 3.1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from service.api.errors import declare_problem
from service.api.scopes import scopes_for
from service.schemas import FinetuneRequest, JobSchema, ProblemSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.routing import APIRoute

TAGS = [
    {"name": "denoise", "description": "A raw goes in, the same raw comes out, the noise gone."},
    {"name": "uploads", "description": "A raw in as many pieces as the line needs (tus 1.0.0)."},
    {"name": "jobs", "description": "Work that was accepted: how far it is, what it has made, how to end it."},
    {"name": "previews", "description": "Raws as pictures for the screen, before and after, rendered by a worker."},
    {"name": "captures", "description": "A customer's own noisy raws, to adapt a model to their camera."},
    {"name": "models", "description": "What denoises: published by the operator, or fine-tuned by a customer."},
    {"name": "session", "description": "The page's: a key once, then a cookie that no script can read."},
    {"name": "health", "description": "Probes and metrics; no key is needed."},
]
EXAMPLE_JOB = {
    "id": "0f5e1cbd3c5a4e3a9f3f2b1d7c6a5948",
    "kind": "denoise",
    "batch": "wedding",
    "state": "succeeded",
    "stage": "write",
    "progress": 1.0,
    "figures": {},
    "attempt": 1,
    "created_at": "2026-03-01T12:00:00Z",
    "started_at": "2026-03-01T12:00:01Z",
    "finished_at": "2026-03-01T12:00:04Z",
    "parameters": {
        "model": None,
        "strength": 1.0,
        "noise": None,
        "precision": "auto",
        "preview": "keep",
        "force": False,
    },
    "model": "photosite@1",
    "input": {"name": "IMG_0001.DNG", "bytes": 24_117_248, "sha256": 64 * "a"},
    "result": {"name": "IMG_0001-denoised.dng", "bytes": 19_922_944, "sha256": 64 * "b"},
    "files": {},
    "error": None,
    "report": {"noise_source": "tag"},
    "links": {"self": "/jobs/0f5e1cbd3c5a4e3a9f3f2b1d7c6a5948"},
}
"""Added at the end, since FastAPI strikes every null out of the examples that it finds."""
_OPERATIONS = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})


def name_operation(route: APIRoute) -> str:
    """What generated clients call a route: its function's name, as the Python and the log have it."""
    return route.name


class Api(FastAPI):
    """An application whose description has one problem for all errors, and the docstrings' first lines as summaries.

    Args:
        needs_keys: Whether a request without a key is refused; else the description says that it need not have one.
        options: FastAPI's own.
    """

    def __init__(self, *, needs_keys: bool, **options: Any) -> None:
        super().__init__(
            generate_unique_id_function=name_operation, openapi_tags=TAGS, docs_url=None, redoc_url=None, **options
        )
        self._needs_keys = needs_keys

    def openapi(self) -> dict[str, Any]:
        """The description; made once, on first use."""
        if self.openapi_schema is None:
            description = super().openapi()
            components = description.setdefault("components", {}).setdefault("schemas", {})
            components[ProblemSchema.__name__] = ProblemSchema.model_json_schema(mode="serialization")
            components[FinetuneRequest.__name__] = FinetuneRequest.model_json_schema()  # its route reads it itself
            components[JobSchema.__name__]["examples"] = [EXAMPLE_JOB]
            for path, method, operation in _operations(description):
                _summarise(operation)
                if "security" in operation:
                    scopes = sorted(scopes_for(method.upper(), path))
                    operation["security"] = [dict.fromkeys(known, scopes) for known in operation["security"]]
                    operation["responses"].setdefault("403", declare_problem(403))
                    operation["responses"].setdefault("429", declare_problem(429))  # too many wrong keys
                if not self._needs_keys and "security" in operation:
                    operation["security"].insert(0, {})
        return super().openapi()


def _operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if method in _OPERATIONS:
                yield path, method, operation


def _summarise(operation: dict[str, Any]) -> None:
    """FastAPI's summary is the function's name in capitals; ours is the docstring's first sentence."""
    summary, _, rest = operation.pop("description").partition("\n\n")
    operation["summary"] = " ".join(summary.split()).removesuffix(".")
    if rest:
        operation["description"] = rest
