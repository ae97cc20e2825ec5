"""The models that a tenant may use, its default among them, and the end of its own."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path

from service.api.dependencies import CallerDependency
from service.api.errors import declare_problems
from service.models import TenantModels
from service.schemas import ModelDetailSchema, ModelListSchema, ModelName, ModelSchema

ModelPath = Annotated[ModelName, Path(description="NAME for the newest version, or NAME@VERSION")]

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", responses=declare_problems(401, 503))
def list_models(caller: CallerDependency) -> ModelListSchema:
    """All versions of all models, by name, oldest version first."""
    return TenantModels(caller.services.settings, caller.tenant).listing()


@router.get("/{model}", responses=declare_problems(401, 404, 422, 503))
def show_model(model: ModelPath, caller: CallerDependency) -> ModelDetailSchema:
    """One model and its whole manifest."""
    return TenantModels(caller.services.settings, caller.tenant).show(model)


@router.put("/{model}/default", responses=declare_problems(401, 404, 409, 422, 503))
def set_default_model(model: ModelPath, caller: CallerDependency) -> ModelSchema:
    """Use this model wherever a request of yours names none."""
    return TenantModels(caller.services.settings, caller.tenant).set_default(model)


@router.delete("/{model}", status_code=204, responses=declare_problems(401, 403, 404, 409, 422, 503))
def delete_model(model: ModelPath, caller: CallerDependency) -> None:
    """Delete one version of a model of yours, or all of them; not the default, nor one that a job still needs."""
    services = caller.services
    TenantModels(services.settings, caller.tenant).delete(model, partial(services.jobs.unfinished, caller.tenant))
