"""The Celery app: the only place that makes one.

In the flow: job → queue → **Celery** → worker. Celery moves messages and keeps the worker processes; what a job's state
is, and whose it is, says the job record (`service/jobs.py`), so there is no result backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery
from kombu import Queue

from service.lines import PRIORITY_STEPS
from service.queue import TASK_NAMES

if TYPE_CHECKING:
    from service.settings import Settings


def broker_url(redis_url: str) -> str:
    """The address as kombu spells it.

    >>> broker_url("unix:///run/photosite/s.sock")
    'redis+socket:///run/photosite/s.sock'
    """
    return "redis+socket://" + redis_url.removeprefix("unix://") if redis_url.startswith("unix://") else redis_url


def make_celery_app(settings: Settings) -> Celery:
    """A Celery app without tasks: enough to publish by name; `tasks.py` adds the tasks for a worker."""
    app = Celery("photosite", set_as_current=False)
    app.conf.update(
        broker_url=broker_url(settings.redis_url),
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=2,
        broker_connection_max_retries=None,  # a worker outlives the longest outage
        broker_transport_options={
            "global_keyprefix": "ps:broker:",
            "visibility_timeout": settings.visibility_timeout_s,
            "queue_order_strategy": "priority",
            "priority_steps": PRIORITY_STEPS,
            "sep": ":",  # of a queue's list and its priority, for whoever looks at the lists
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 2,
        },
        result_backend=None,
        task_ignore_result=True,
        accept_content=["json"],
        task_serializer="json",
        task_queues=[Queue(name) for name in TASK_NAMES],
        task_create_missing_queues=False,
        task_default_queue="denoise",
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=True,
        task_time_limit=settings.job_time_limit_s,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.worker_concurrency,
        worker_soft_shutdown_timeout=settings.soft_shutdown_s,
        worker_enable_soft_shutdown_on_idle=False,
        # A job goes on while Redis is away: whose it is says its lease, and the message that comes again does no harm.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_proc_alive_timeout=120,  # a process imports torch and loads the default model before it reports in
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app
