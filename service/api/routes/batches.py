"""Batches: jobs that a client has given one name, with one progress."""

from typing import Annotated

from fastapi import APIRouter, Path

from service.api.dependencies import Services, ServicesDependency, TenantDependency
from service.api.errors import declare_problems
from service.errors import NotFoundError
from service.job_records import Job, describe_batch
from service.schemas import BatchName, BatchSchema

BatchPath = Annotated[BatchName, Path()]

router = APIRouter(prefix="/batches", tags=["jobs"])


@router.get("/{batch}", responses=declare_problems(401, 404, 422, 503))
def show_batch(batch: BatchPath, services: ServicesDependency, tenant: TenantDependency) -> BatchSchema:
    """How many of a batch's jobs are in which state."""
    return describe_batch(batch, _jobs(batch, tenant, services))


@router.delete("/{batch}", responses=declare_problems(401, 404, 422, 503))
def cancel_batch(batch: BatchPath, services: ServicesDependency, tenant: TenantDependency) -> BatchSchema:
    """Cancel those of a batch's jobs that are not finished."""
    for job in _jobs(batch, tenant, services):
        if not job.finished:
            services.jobs.cancel_if_unfinished(job.id)
    return describe_batch(batch, _jobs(batch, tenant, services))


def _jobs(batch: str, tenant: str, services: Services) -> list[Job]:
    jobs = services.jobs.batch(tenant, batch)
    if not jobs:
        raise NotFoundError(f"there is no batch {batch}")
    return jobs
