"""What the routes need, made once per application and handed to them.

In the flow: create_app → **Services** → routes.
"""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from service.jobs import JobStore, connect_redis
from service.monitoring import ApiMetrics
from service.queue import JobQueue
from service.settings import Settings
from service.storage import LocalBlobStore
from service.worker.celery_app import make_celery_app
from training.registry import Registry, default_registry


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The parts of the service that the API talks to; none of them is contacted before its first use."""

    settings: Settings
    jobs: JobStore
    blobs: LocalBlobStore
    queue: JobQueue
    registry: Registry
    metrics: ApiMetrics


def make_services(settings: Settings) -> Services:
    """Connect the parts by the settings."""
    jobs = JobStore(connect_redis(settings), settings)
    return Services(
        settings=settings,
        jobs=jobs,
        blobs=LocalBlobStore(settings.blobs_dir, jobs.announce_blob),
        queue=JobQueue(make_celery_app(settings)),
        registry=default_registry(settings.all_models_dir),
        metrics=ApiMetrics(jobs, settings.worker_metrics_dir),
    )


def get_services(request: Request) -> Services:
    """Those of the application that answers this request."""
    return cast("Services", request.app.state.services)


ServicesDependency = Annotated[Services, Depends(get_services)]
