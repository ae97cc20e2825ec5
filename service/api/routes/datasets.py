"""The data sets that models can be measured on."""

from fastapi import APIRouter

from service import datasets
from service.api.dependencies import CallerDependency
from service.api.errors import declare_problems
from service.schemas import DatasetListSchema

router = APIRouter(prefix="/datasets", tags=["models"])


@router.get("", responses=declare_problems(401, 503))
def list_datasets(caller: CallerDependency) -> DatasetListSchema:
    """The data sets that the server has, for `POST /jobs/validate`: the one that ships, then the operator's by name."""
    return datasets.list_datasets(caller.services.settings)
