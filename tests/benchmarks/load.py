"""A crowd for a service: `make load`. 200 clients of four tenants hand in raws of mixed sizes for five minutes.

One of the tenants is greedy: it has most of the clients. Printed: requests, their latencies, what was refused and how,
the memory of API and workers over time, jobs done for each tenant, and how many accepted jobs were lost: none may be.

Exit code 1 where a promise is broken: a 5xx that is not 503, a refusal without Retry-After, a job that did not succeed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from dng_factory import make_dng, sample_mosaic
from service_process import IMPATIENT, USUAL, RunningService, serve
from tiny_models import publish_model

if TYPE_CHECKING:
    from collections.abc import Sequence

NOISE = (1e-3, 1e-6)
SIZES = {"small": (128, 192), "medium": (512, 768), "large": (1600, 2400)}
"""Rows and columns; 40 kB, 0.7 MB and 7 MB."""
SHARES = {"small": 70, "medium": 20, "large": 3, "no raw": 7}
"""Of a hundred uploads."""
TENANTS = {"greedy": 0.7, "one": 0.1, "two": 0.1, "three": 0.1}
"""Shares of the clients."""
ENDED = {"succeeded", "failed", "cancelled"}
SAMPLE_S = 5.0
DRAIN_S = 600.0


@dataclass(slots=True)
class Figures:
    """What is seen from outside."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of each kind of request."""
    accepted: dict[str, str] = field(default_factory=dict)
    """The tenant of each job."""
    ended: dict[str, str] = field(default_factory=dict)
    """The state of each job that has ended."""
    waits: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from acceptance to the end, by tenant."""
    broken: Counter[str] = field(default_factory=Counter)
    """Promises that were."""
    memory: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, and MiB of the API and of all workers."""


@dataclass(slots=True)
class Client:
    """One of the crowd."""

    tenant: str
    line: httpx.AsyncClient
    raws: dict[str, bytes]
    figures: Figures
    chance: random.Random

    async def run(self, until: float) -> None:
        """Hand in one raw after the other, and see each done."""
        while time.monotonic() < until:
            size = self.chance.choices(list(SHARES), SHARES.values())[0]
            with suppress(httpx.TransportError):
                await self._hand_in(size)

    async def _hand_in(self, size: str) -> None:
        path = f"/denoise?model=tiny&strength={self.chance.uniform(0.5, 1):.6f}"  # never the same work twice
        answer = await self._ask(f"upload of {size}", "POST", path, content=self.raws[size])
        if size == "no raw" and answer.status_code < 500 and answer.status_code != 429:
            if answer.status_code not in {415, 422}:
                self.figures.broken[f"{answer.status_code} for what is no raw"] += 1
            return
        if answer.status_code in {429, 503}:
            await asyncio.sleep(min(5.0, float(answer.headers.get("retry-after", 1))))
            return
        if answer.status_code != 202:
            self.figures.broken[f"{answer.status_code} for a raw"] += 1
            return
        job_id, since = str(answer.json()["id"]), time.monotonic()
        self.figures.accepted[job_id] = self.tenant
        await self.follow(job_id, time.monotonic() + DRAIN_S)
        self.figures.waits[self.tenant].append(time.monotonic() - since)

    async def follow(self, job_id: str, until: float) -> None:
        """Ask for a job's state until it has ended; then fetch the result."""
        while time.monotonic() < until:
            await asyncio.sleep(1 + self.chance.random())
            answer = await self._ask("state", "GET", f"/jobs/{job_id}")
            if answer.is_success and answer.json()["state"] in ENDED:
                self.figures.ended[job_id] = answer.json()["state"]
                await self._ask("result", "GET", f"/jobs/{job_id}/result")
                return

    async def _ask(self, kind: str, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        started = time.monotonic()
        answer = await self.line.request(method, path, content=content, headers={"Prefer": "respond-async"})
        self.figures.seconds[kind].append(time.monotonic() - started)
        self.figures.statuses[answer.status_code] += 1
        if answer.status_code >= 500 and answer.status_code != 503:
            self.figures.broken[f"{answer.status_code}"] += 1
        if answer.status_code in {429, 503} and int(answer.headers.get("retry-after", "0")) <= 0:
            self.figures.broken[f"{answer.status_code} without Retry-After"] += 1
        return answer


async def crowd(service: RunningService, keys: dict[str, str], clients: int, seconds: float, folder: Path) -> Figures:
    """Let them in, and wait until every job has ended."""
    figures, raws = Figures(), make_raws(folder)
    started = time.monotonic()
    sampling = asyncio.create_task(sample_memory(service, figures, started))
    lines = {
        tenant: httpx.AsyncClient(
            base_url=service.address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=120,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )
        for tenant, key in keys.items()
    }
    many = [tenant for tenant, share in TENANTS.items() for _ in range(round(clients * share))]
    people = [
        Client(tenant, lines[tenant], raws, figures, random.Random(i))  # noqa: S311  (nothing secret)
        for i, tenant in enumerate(many)
    ]
    await asyncio.gather(*(client.run(started + seconds) for client in people))
    for job_id in set(figures.accepted) - set(figures.ended):  # whose client lost its line
        owner = next(client for client in people if client.tenant == figures.accepted[job_id])
        await owner.follow(job_id, time.monotonic() + DRAIN_S)
    sampling.cancel()
    for line in lines.values():
        await line.aclose()
    return figures


def make_raws(folder: Path) -> dict[str, bytes]:
    """One of each size, and one that is none."""
    made = {
        name: make_dng(folder / f"{name}.dng", sample_mosaic(*shape), noise_profile=NOISE)
        for name, shape in SIZES.items()
    }
    return {name: path.read_bytes() for name, path in made.items()} | {"no raw": b"no raw" * 20_000}


async def sample_memory(service: RunningService, figures: Figures, started: float) -> None:
    """Note how much memory API and workers take."""
    while True:
        family = await asyncio.to_thread(service.family)
        api = sum(resident_mib(pid) for pid, words in family.items() if " api " in f"{words} ")
        workers = sum(resident_mib(pid) for pid, words in family.items() if "worker" in words or "sandbox" in words)
        figures.memory.append((time.monotonic() - started, api, workers))
        await asyncio.sleep(SAMPLE_S)


def resident_mib(pid: int) -> int:
    """Memory of a process; 0 where it has just ended."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() >> 20
    return 0


def print_figures(figures: Figures, seconds: float) -> bool:
    """Print what was seen; whether all promises were kept."""
    print(f"{figures.statuses.total()} requests in {seconds:.0f} s: {dict(sorted(figures.statuses.items()))}")
    for kind, times in sorted(figures.seconds.items()):
        cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [times[0]] * 99
        print(f"  {kind:18} {len(times):6} p50 {1000 * cuts[49]:7.0f} ms  p99 {1000 * cuts[98]:7.0f} ms")
    print("tenant    jobs  median seconds to the end")
    for tenant in TENANTS:
        waits = figures.waits[tenant]
        print(f"  {tenant:7} {len(waits):5}  {statistics.median(waits) if waits else float('nan'):6.1f}")
    print(
        "memory of API and workers, MiB:", *(f"{at:.0f}s {api}+{workers}" for at, api, workers in figures.memory[::6])
    )
    lost = [job_id for job_id in figures.accepted if figures.ended.get(job_id) != "succeeded"]
    print(f"{len(figures.accepted)} jobs accepted, {len(lost)} lost; broken promises: {dict(figures.broken) or 'none'}")
    return not lost and not figures.broken


def make_keys(data_dir: Path) -> dict[str, str]:
    """A key for each tenant, made as operators do."""
    command = [sys.executable, "-m", "service", "keys", "create"]
    environment = {**os.environ, "PHOTOSITE_DATA_DIR": str(data_dir)}
    made = {}
    for tenant in TENANTS:
        done = subprocess.run([*command, tenant], env=environment, capture_output=True, text=True, check=True)
        (made[tenant],) = re.findall(r"\bps_\S+", done.stdout)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--queued", type=int, default=100, help="PHOTOSITE_MAX_QUEUED_JOBS")
    parser.add_argument("--queued-per-tenant", type=int, default=30, help="PHOTOSITE_MAX_QUEUED_JOBS_PER_TENANT")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ps-load-") as name:
        folder = Path(name)
        publish_model(folder / "models", "tiny")
        data_dir = folder / "data"
        keys = make_keys(data_dir)
        settings = {
            **dict.fromkeys(IMPATIENT, ""),
            **USUAL,
            "PHOTOSITE_MODELS_DIR": str(folder / "models"),
            "PHOTOSITE_REQUIRE_KEYS": "true",
            "PHOTOSITE_MAX_QUEUED_JOBS": str(options.queued),
            "PHOTOSITE_MAX_QUEUED_JOBS_PER_TENANT": str(options.queued_per_tenant),
            "OMP_NUM_THREADS": "1",
        }
        with serve(data_dir, **settings) as service:
            began = time.monotonic()
            figures = asyncio.run(crowd(service, keys, options.clients, 60 * options.minutes, folder))
            return 0 if print_figures(figures, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main())
