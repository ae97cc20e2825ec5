"""The tasks that a worker offers: each takes a job's id, or a picture's ticket, and nothing else.

In the flow: queue → **task** → pipeline. Importing this module imports no torch: that happens in each worker process
after the fork, since a parent that has touched an accelerator breaks its children, and only where a network is needed
(`ModelCache`).
"""

from __future__ import annotations

import logging
import os
import signal
from importlib import import_module
from typing import TYPE_CHECKING, Any

from celery.signals import worker_process_init, worker_process_shutdown

from service import monitoring, tether
from service.captures import CaptureStore
from service.job_records import LOCAL_TENANT
from service.jobs import JobStore
from service.pictures import PictureStore
from service.queue import LONG_QUEUES, RENDER_TASK, TASK_NAMES
from service.redis_access import connect_redis
from service.storage import make_blob_store
from service.traces import start_tracing, stop_tracing
from service.worker.celery_app import make_celery_app
from training.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery import Celery

    from service.settings import Settings
    from service.worker.workshop import Workshop

PATIENCE_S = 120
"""So long a finished picture waits for a Redis that is away; then it is done again once Redis is back."""

RENDER_TIME_LIMIT_S = 120
"""Seconds after which the process that renders a picture is ended."""

logger = logging.getLogger(__name__)


class WorkerProcess:
    """One process of a worker: its workshop is made after the fork, once.

    Args:
        settings: The service's settings.
        denoises: Whether pictures are denoised here.
    """

    def __init__(self, settings: Settings, *, denoises: bool) -> None:
        self._settings = settings
        self._denoises = denoises
        self._workshop: Workshop | None = None

    def start(self, **_signal: Any) -> None:
        """Get ready to work: load what the first job would wait for, torch and the default model or the renderer."""
        tether.die_with_parent(signal.SIGKILL)
        start_tracing(self._settings, "photosite-worker")
        workshop = self.workshop
        if not self._denoises:
            import_module("service.worker.rendering")  # numpy and decoders: after the fork, as torch
            return
        try:
            workshop.models.get(None, LOCAL_TENANT)
        except ModelError as error:
            logger.warning("no default model yet: %s", error.message)

    def end(self, **_signal: Any) -> None:
        """Leave traces and metrics in order."""
        stop_tracing()
        monitoring.forget_worker_process(os.getpid())

    @property
    def workshop(self) -> Workshop:
        """What jobs need."""
        if self._workshop is None:
            self._workshop = make_workshop(self._settings)
        return self._workshop

    def work_on(self, queue: str) -> Callable[[str], None]:
        """What to do with a queue's messages: a job of any kind."""

        def work(job_id: str) -> None:
            from service.worker.pipeline import run_job  # noqa: PLC0415  (what it imports belongs after the fork)

            run_job(queue, job_id, self.workshop)

        return work

    def render(self, ticket: str) -> None:
        """Make the picture that a ticket asks for."""
        from service.worker.rendering import render_ticket  # noqa: PLC0415  (the same)

        render_ticket(ticket, self.workshop)


def make_workshop(settings: Settings) -> Workshop:
    """Connect to what jobs need."""
    from service.worker.model_cache import ModelCache  # noqa: PLC0415  (what they import belongs after the fork)
    from service.worker.opened import OpenedRaws  # noqa: PLC0415
    from service.worker.turns import DeviceTurns  # noqa: PLC0415
    from service.worker.workshop import Workshop  # noqa: PLC0415

    jobs = JobStore(connect_redis(settings), settings, PATIENCE_S)
    metrics = monitoring.WorkerMetrics()
    blobs = make_blob_store(settings, jobs.ledger.announce)
    return Workshop(
        settings=settings,
        jobs=jobs,
        captures=CaptureStore(jobs),
        blobs=blobs,
        models=ModelCache(settings, metrics),
        metrics=metrics,
        turns=DeviceTurns(settings.data_dir / "turns"),
        pictures=PictureStore(jobs.redis),
        opened=OpenedRaws(blobs, settings.opened_raws_bytes),
    )


def make_worker_app(settings: Settings, queues: Sequence[str] = tuple(TASK_NAMES)) -> Celery:
    """The Celery app with its tasks, for a worker on these queues."""
    app = make_celery_app(settings)
    process = WorkerProcess(settings, denoises=set(queues) != {"preview"})
    for queue, name in TASK_NAMES.items():
        limit_s = settings.long_job_time_limit_s if queue in LONG_QUEUES else settings.job_time_limit_s
        app.task(name=name, time_limit=limit_s)(process.work_on(queue))
    app.task(name=RENDER_TASK, time_limit=RENDER_TIME_LIMIT_S)(process.render)
    worker_process_init.connect(process.start, weak=False)
    worker_process_shutdown.connect(process.end, weak=False)
    return app
