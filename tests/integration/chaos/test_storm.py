"""Faults of every kind, at random, during a stream of jobs of every kind: nothing lost, doubled or damaged.

`make chaos FAULTS=200 JOBS=1000` is the long run; its seed (`SEED=`) repeats it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from service_process import wait_until
from storm import Outcome, Site, Storm
from trouble import answers, check_nothing_left, disk_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration
DISK_BYTES = 256 << 20
SHORT = {"--faults": 11, "--storm-jobs": 25, "--seed": 1}
"""A fault of each kind."""


def all_jobs(service: RunningService) -> set[str]:
    """The ids of all jobs that there are."""
    found: set[str] = set()
    page = service.client.get("/jobs?limit=100").raise_for_status().json()
    while True:
        found |= {job["id"] for job in page["jobs"]}
        if not page["next_cursor"]:
            return found
        following = {"limit": 100, "cursor": page["next_cursor"]}
        page = service.client.get("/jobs", params=following).raise_for_status().json()


def describe(outcome: Outcome, seconds: float, starts: int) -> str:
    """The figures of a storm."""
    faults = ", ".join(f"{count} × {fault}" for fault, count in sorted(outcome.faults.items()))
    refused = ", ".join(f"{count} × {status or 'none'}" for status, count in sorted(outcome.refused.items()))
    return (
        f"{len(outcome.accepted)} jobs, {outcome.faults.total()} faults in {seconds:.0f} s ({faults}); "
        f"{outcome.restarts} further attempts, {starts} starts of all; answers to wait for: {refused or 'none'}; "
        f"lost, doubled or damaged: {len(outcome.wrong)}"
    )


def test_nothing_is_lost_doubled_or_damaged_in_a_storm(
    server_binary: str,
    service_settings: dict[str, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    measure: Callable[[str], None],
) -> None:
    faults, jobs, seed = (request.config.getoption(name, None) or usual for name, usual in SHORT.items())
    settings = {
        **service_settings,
        "PHOTOSITE_LEASE_S": "3",
        "PHOTOSITE_LEASE_RENEWAL_S": "1",
        "PHOTOSITE_MAX_ATTEMPTS": "50",
        "PHOTOSITE_REDIS_SERVER": server_binary,
    }
    started = time.monotonic()
    with ExitStack() as stack:
        try:
            folder, may_fill = stack.enter_context(disk_of(DISK_BYTES, tmp_path / "data")), True
        except pytest.skip.Exception:
            folder, may_fill = tmp_path / "data", False
        site = stack.enter_context(Site(folder, settings))
        outcome = Storm(site, tmp_path, seed, may_fill=may_fill).run(jobs, faults)
        wait_until(lambda: answers(site.service), 60)
        measure(describe(outcome, time.monotonic() - started, site.starts))
        assert outcome.wrong == []
        assert outcome.faults.total() >= faults * 0.9
        assert all_jobs(site.service) == set(outcome.accepted)
        check_nothing_left(site.service.redis_url, folder)
