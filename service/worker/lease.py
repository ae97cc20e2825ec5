"""The lease of a running job: renewed as long as its work advances.

In the flow: claim → **lease** → denoise … → succeed.

A thread renews it every few seconds, so that a slow tile does not lose the job. It stops doing so when the work has not
advanced for long, and ends the process: native code that hangs cannot be stopped otherwise, and the job then goes to
another process.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Self

from service.errors import BrokerUnavailableError, LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from service.job_records import Job
    from service.jobs import JobStore
    from service.settings import Settings

PROGRESS_INTERVAL_S = 0.5
"""Every write is fsynced by Redis: progress is not written more often than this."""
LEAST_PROGRESS = 0.02
"""With less done, how long the rest takes cannot be told."""

logger = logging.getLogger(__name__)


def _end_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Lease:
    """Keeps a claimed job ours inside its `with` block."""

    def __init__(
        self,
        jobs: JobStore,
        job: Job,
        settings: Settings,
        *,
        on_stall: Callable[[], None] = _end_process,
        observe_stage: Callable[[str, float], None] | None = None,
    ) -> None:
        self.job = job
        self._jobs = jobs
        self._settings = settings
        self._on_stall = on_stall
        self._observe_stage = observe_stage
        self._stage, self._progress = job.stage, job.progress
        self._figures: dict[str, Any] = {}
        self._advanced_at = self._written_at = self._stage_began_at = time.monotonic()
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._away = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"lease-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._close_stage(time.monotonic())

    def advance(self, stage: str, progress: float, figures: dict[str, Any] | None = None) -> None:
        """Say that the work goes on: called between tiles and training steps.

        Args:
            stage: What is being done.
            progress: Done share of it.
            figures: What else there is to tell; without an `eta_s` of its own, that is reckoned from the progress.

        Raises:
            LeaseLostError: The job was cancelled or given to another worker; stop.
        """
        if self._lost.is_set():
            raise LeaseLostError(f"job {self.job.id} is no longer attempt {self.job.attempt}'s")
        now = time.monotonic()
        due = stage != self._stage or now - self._written_at >= PROGRESS_INTERVAL_S
        if stage != self._stage:
            self._close_stage(now)
        self._stage, self._progress, self._advanced_at = stage, min(max(progress, 0.0), 1.0), now
        self._figures = figures or {}
        if "eta_s" not in self._figures and self._progress >= LEAST_PROGRESS:
            eta_s = (now - self._stage_began_at) * (1 - self._progress) / self._progress
            self._figures = {**self._figures, "eta_s": round(eta_s, 1)}
        if self._away.is_set():
            return  # asking takes long where nobody answers: the thread does it; and `succeed` checks at last
        try:
            if due:
                self._renew()
            else:
                self._jobs.check_ours(self.job)
        except BrokerUnavailableError as error:
            self._away.set()
            logger.warning("job %s: lease not checked: %s", self.job.id, error.detail)

    def _close_stage(self, now: float) -> None:
        if self._stage and self._observe_stage:
            self._observe_stage(self._stage, now - self._stage_began_at)
        self._stage_began_at = now

    def _renew(self) -> None:
        self._written_at = time.monotonic()
        self._jobs.renew(self.job, self._stage, self._progress, self._figures)

    def _watch(self) -> None:
        while not self._ended.wait(self._settings.lease_renewal_s):
            if time.monotonic() - self._advanced_at > self._settings.stall_timeout_s:
                logger.critical(
                    "job %s: no progress for %g s in stage %r: ending this process",
                    self.job.id, self._settings.stall_timeout_s, self._stage,
                )  # fmt: skip
                self._on_stall()
                return
            try:
                self._renew()
                self._away.clear()
            except LeaseLostError:
                self._lost.set()
                return
            except BrokerUnavailableError as error:
                self._away.set()
                logger.warning("job %s: lease not renewed: %s", self.job.id, error.detail)
