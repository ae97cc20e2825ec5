"""The tasks that a worker offers: each takes a job's id and nothing else.

In the flow: queue → **task** → pipeline. Importing this module imports no torch: that happens in each worker process
after the fork (`make_workshop`), since a parent that has touched an accelerator breaks its children.
"""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING, Any

from celery.signals import worker_process_init, worker_process_shutdown

from service import monitoring, tether
from service.captures import CaptureStore
from service.job_records import LOCAL_TENANT
from service.jobs import JobStore
from service.queue import LONG_QUEUES, TASK_NAMES
from service.redis_access import connect_redis
from service.storage import make_blob_store
from service.worker.celery_app import make_celery_app
from training.errors import ModelError

if TYPE_CHECKING:
    from celery import Celery

    from service.settings import Settings
    from service.worker.pipeline import Workshop

PATIENCE_S = 120
"""So long a finished picture waits for a Redis that is away; then it is done again once Redis is back."""

logger = logging.getLogger(__name__)


class WorkerProcess:
    """One process of a worker: its workshop is made after the fork, once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workshop: Workshop | None = None

    def start(self, **_signal: Any) -> None:
        """Get ready to work: import torch and load the default model, so that the first job need not wait for it."""
        tether.die_with_parent(signal.SIGKILL)
        try:
            self.workshop.models.get(None, LOCAL_TENANT)
        except ModelError as error:
            logger.warning("no default model yet: %s", error.message)

    def end(self, **_signal: Any) -> None:
        """Leave the metrics in order."""
        monitoring.forget_worker_process(os.getpid())

    @property
    def workshop(self) -> Workshop:
        """What jobs need."""
        if self._workshop is None:
            self._workshop = make_workshop(self._settings)
        return self._workshop

    def work(self, job_id: str) -> None:
        """Do a job of any kind."""
        from service.worker.pipeline import run_job  # noqa: PLC0415  (imports torch: only after the fork)

        run_job(job_id, self.workshop)


def make_workshop(settings: Settings) -> Workshop:
    """Connect to what jobs need."""
    from service.worker.model_cache import ModelCache  # noqa: PLC0415  (imports torch: only after the fork)
    from service.worker.pipeline import Workshop  # noqa: PLC0415
    from service.worker.turns import DeviceTurns  # noqa: PLC0415

    jobs = JobStore(connect_redis(settings), settings, PATIENCE_S)
    metrics = monitoring.WorkerMetrics()
    return Workshop(
        settings=settings,
        jobs=jobs,
        captures=CaptureStore(jobs),
        blobs=make_blob_store(settings, jobs.ledger.announce),
        models=ModelCache(settings, metrics),
        metrics=metrics,
        turns=DeviceTurns(settings.data_dir / "turns"),
    )


def make_worker_app(settings: Settings) -> Celery:
    """The Celery app with its tasks, for a worker."""
    app = make_celery_app(settings)
    process = WorkerProcess(settings)
    for queue, name in TASK_NAMES.items():
        limit_s = settings.long_job_time_limit_s if queue in LONG_QUEUES else settings.job_time_limit_s
        app.task(name=name, time_limit=limit_s)(process.work)
    worker_process_init.connect(process.start, weak=False)
    worker_process_shutdown.connect(process.end, weak=False)
    return app
