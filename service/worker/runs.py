"""The folders of trainings: which of them nobody goes on with.

In the flow: any job's end → **remove_ended_runs**. A run's folder is named by its job's id and attempt.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from service.errors import JobNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from service.worker.workshop import Workshop


def remove_ended_runs(workshop: Workshop) -> None:
    """Delete the runs that nobody will go on with: of jobs that have ended, and of attempts that others followed.

    Raises:
        BrokerUnavailableError: It cannot be told which these are.
    """
    for folder in workshop.settings.runs_dir.glob("*"):
        if _is_done_with(folder, workshop):
            shutil.rmtree(folder, ignore_errors=True)


def _is_done_with(run: Path, workshop: Workshop) -> bool:
    job_id = run.name.partition(".")[0]
    try:
        job = workshop.jobs.get(job_id)
    except JobNotFoundError:
        return True
    newest = run.with_name(f"{job_id}.{job.attempt}")
    return job.finished or (run != newest and newest.exists())
