"""The queue: messages that carry nothing but a job's id, or a picture's ticket.

In the flow: upload → blob → job → **queue** → worker.

The job record is the truth; a message only tells a worker that there is one, and the worker takes whose turn it is
(`lines.py`). A message that comes twice does no harm, and one that is lost is sent again (`sweeper.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from service.errors import BrokerUnavailableError
from service.lines import PRIORITY_INTERACTIVE

if TYPE_CHECKING:
    from celery import Celery

    from service.job_records import Job
    from service.pictures import Ticket

TASK_NAMES = {queue: f"photosite.{queue}" for queue in ("preview", "denoise", "finetune", "validate")}
"""The task of each queue; the API enqueues by these names and imports no task."""
RENDER_TASK = "photosite.render"
"""Pictures for the screen: in the queue of previews, too, but no jobs."""
LONG_QUEUES = frozenset({"finetune", "validate"})
"""Jobs of minutes and hours, which make way for the others."""

_RETRY_POLICY = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5}

logger = logging.getLogger(__name__)


class JobQueue:
    """Publishes jobs to the workers."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, job: Job) -> None:
        """Send a job's message.

        Raises:
            BrokerUnavailableError: It could not be sent within a few seconds.
        """
        self._send(TASK_NAMES[job.queue], job.id, job.queue, job.priority)

    def publish_ticket(self, ticket: Ticket) -> None:
        """Send the message of a picture that somebody waits for.

        Raises:
            BrokerUnavailableError: It could not be sent within a few seconds.
        """
        self._send(RENDER_TASK, str(ticket), "preview", PRIORITY_INTERACTIVE)

    def _send(self, task: str, argument: str, queue: str, priority: int) -> None:
        try:
            self._app.send_task(
                task, args=[argument], queue=queue, priority=priority, retry=True, retry_policy=_RETRY_POLICY
            )
        except OperationalError as error:
            raise BrokerUnavailableError("the queue cannot be reached", detail=str(error)) from error

    def publish_soon(self, job: Job) -> None:
        """Send a job's message; if that fails, leave it to the sweep: its record is written already."""
        try:
            self.publish(job)
        except BrokerUnavailableError as error:
            logger.warning("job %s: no message sent (%s); the sweep will send one", job.id, error.detail)

    def count_messages(self, queue: str) -> int:
        """Messages of any priority that no worker has taken yet.

        Raises:
            BrokerUnavailableError: The queue cannot be reached.
        """
        try:
            # Not `default_channel`: that would try to connect for ever.
            with self._app.connection_for_read() as connection, connection.channel() as opened:
                channel: Any = opened  # kombu's types lack its queue_declare
                # Not passive: with a key prefix, kombu 5.7 looks for the list under its bare name and finds none.
                return int(channel.queue_declare(queue=queue).message_count)
        except (OperationalError, RedisError) as error:
            raise BrokerUnavailableError("the queue cannot be reached", detail=str(error)) from error
