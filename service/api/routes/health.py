"""Probes: whether this process lives, and whether it can take work."""

from collections.abc import Callable

from fastapi import APIRouter, Response

from service.api.dependencies import ServicesDependency
from service.api.errors import declare_problems, problem
from service.schemas import HealthSchema
from training.errors import PhotositeError

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def show_live() -> HealthSchema:
    """Whether the process answers; says nothing about its surroundings."""
    return HealthSchema(status="alive", checks={})


@router.get("/ready", response_model=HealthSchema, responses=declare_problems(503))
def show_ready(services: ServicesDependency) -> HealthSchema | Response:
    """Whether the job store and the data folder can be used."""
    checks = {"redis": _check(services.jobs.check), "storage": _check(services.blobs.check)}
    failed = [name for name, outcome in checks.items() if outcome != "ok"]
    if failed:
        detail = f"not ready: {', '.join(failed)}"
        return problem(503, "not_ready", detail, headers={"Retry-After": "5"}, checks=checks)
    return HealthSchema(status="ready", checks=checks)


def _check(check: Callable[[], None]) -> str:
    try:
        check()
    except PhotositeError as error:
        return error.message
    return "ok"
