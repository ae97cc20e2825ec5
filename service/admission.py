"""Who may hand in how much: limits of the whole service and of each tenant, and when to try again.

In the flow: request → **admission** → upload → blob → job.

Retry-After is honest: it is what the queue's last jobs took on average, times the jobs that must end first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from service.errors import QueueFullError, QuotaExceededError
from service.job_records import pace_key, queued_key, waiting_key
from service.lines import jobs_until
from service.redis_access import redis_errors

if TYPE_CHECKING:
    from service.jobs import JobStore
    from service.settings import Settings

USUAL_RETRY_S = 10
LONGEST_RETRY_S = 600


class Admission:
    """Refuses what would be too much.

    Every method raises BrokerUnavailableError when Redis cannot be reached.
    """

    def __init__(self, jobs: JobStore, settings: Settings) -> None:
        self._jobs = jobs
        self._settings = settings

    def check_job(self, tenant: str, queue: str) -> None:
        """Whether one more job may wait.

        Raises:
            QueueFullError: Too many wait in this queue.
            QuotaExceededError: Too many of this tenant's wait.
        """
        with redis_errors():
            queued = self._jobs.redis.zcard(queued_key(queue))
            waiting = self._jobs.redis.zcard(waiting_key(tenant))
        most, most_of_tenant = self._settings.max_queued_jobs, self._settings.max_queued_jobs_per_tenant
        if queued >= most:
            raise QueueFullError(
                f"{queued} jobs wait already; try again later",
                retry_after_s=self.seconds_for(queue, queued - most + 1),
            )
        if waiting >= most_of_tenant:
            with redis_errors():
                others_too = jobs_until(self._jobs.redis, queue, tenant, waiting - most_of_tenant + 1)
            raise QuotaExceededError(
                f"{waiting} of your jobs wait already; try again when some are done",
                retry_after_s=self.seconds_for(queue, others_too),
            )

    def check_storage(self, tenant: str, more_bytes: int = 1) -> None:
        """Whether a tenant may store more: so many bytes, or any at all where it is not known how many come.

        Raises:
            QuotaExceededError: It may not.
        """
        most = self._settings.max_tenant_bytes
        if most is None:
            return
        stored = self._jobs.ledger.stored_bytes(tenant)
        if stored + more_bytes > most:
            raise QuotaExceededError(
                f"{stored / 1e9:.2f} GB are stored, of {most / 1e9:.2f} GB; delete captures or jobs that are done",
                retry_after_s=LONGEST_RETRY_S,
            )

    def seconds_for(self, queue: str, count: int) -> int:
        """How long it takes until so many of a queue's jobs have ended: whole seconds, up to 600."""
        with redis_errors():
            ends = [float(end) for end in cast("list[str]", self._jobs.redis.lrange(pace_key(queue), 0, -1))]
            now = self._jobs.now()
        return round_up_seconds(count, ends, now)


def round_up_seconds(count: int, ends: list[float], now: float) -> int:
    """Seconds until so many jobs have ended.

    Args:
        count: How many.
        ends: When the last ones did, newest first.
        now: The time; since the last end passed, the pace is at least as slow as the pause.

    >>> round_up_seconds(3, [100.0, 98.0, 96.0], now=105)
    9
    """
    if not ends:
        return USUAL_RETRY_S
    seconds_each = (now - ends[-1]) / len(ends)
    return min(LONGEST_RETRY_S, max(1, math.ceil(seconds_each * count)))
