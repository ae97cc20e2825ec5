"""Metrics: well-formed, named as the design says, and the workers' added where they are at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from service.jobs import JobStore
from service.monitoring import ApiMetrics

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
from service.job_records import Job
from service.monitoring import WorkerMetrics
from service.schemas import DenoiseParameters, FileSchema
job = Job(id="0" * 32, attempt=2, published_at=1, started_at=4, parameters=DenoiseParameters(),
          input=FileSchema(name="a.dng", bytes=1, sha256=""))
metrics = WorkerMetrics()
metrics.observe_start(job)
metrics.observe_end(job, "succeeded", 2.0)
"""


class TwoQueued(JobStore):
    """A store with two waiting jobs and one that runs."""

    def __init__(self) -> None:
        pass

    def count_queued(self, queue: str) -> int:
        """Two, both to be denoised."""
        return 2 if queue == "denoise" else 0

    def count_running(self) -> int:
        """One."""
        return 1


def samples(text: bytes) -> dict[str, float]:
    """The values by name and labels; a family that comes twice is an error."""
    families = list(text_string_to_metric_families(text.decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    return {
        sample.name + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_queue_is_asked_when_prometheus_asks() -> None:
    found = samples(ApiMetrics(TwoQueued(), None).render())
    assert found["photosite_queue_depth,queue=denoise"] == 2
    assert found["photosite_queue_depth,queue=finetune"] == 0
    assert found["photosite_jobs_running"] == 1


def test_the_workers_numbers_are_added_where_their_files_lie(tmp_path: Path) -> None:
    for _ in range(2):  # two processes of a worker
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", WORKER], env=environment, check=True)
    found = samples(ApiMetrics(TwoQueued(), tmp_path).render())
    assert found["photosite_jobs_total,kind=denoise,outcome=succeeded"] == 2
    assert found["photosite_redeliveries_total,kind=denoise"] == 2
    assert found["photosite_queue_wait_seconds_sum,kind=denoise"] == 6
    assert found["photosite_job_duration_seconds_sum,kind=denoise"] == 4
    assert found["photosite_jobs_in_progress"] == 0


def test_all_names_begin_with_photosite_but_those_of_the_process() -> None:
    for name in samples(ApiMetrics(TwoQueued(), None).render()):
        assert name.startswith(("photosite_", "process_", "python_info"))
