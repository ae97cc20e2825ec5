"""A service in a storm: jobs of all kinds handed in one after the other while faults strike at random, from one seed.

In the flow of the tests: **Storm.run** → every accepted job has ended once, as without the storm → figures.

Clients behave as good ones do: each job has an Idempotency-Key, and what is not answered is asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx
from deployment_processes import free_port
from dng_factory import make_dng, sample_mosaic
from job_kinds import NOISE, without_times
from service_process import RunningService, serve
from sidd_factory import make_blocks
from trouble import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CLIENTS = 6
PATIENCE_S = 900
RESTARTS = 20
"""Tries to start a service whose predecessor is still dying."""
RAWS = 4
STEPS = 12
"""Of each training."""
KINDS = {"denoise": 90, "cancel": 3, "capture": 4, "validate": 2, "finetune": 1}
"""Jobs of each kind in a hundred; of each but the last, which takes long, there is always at least one."""
WORKERS = ("denoise", "preview", "finetune,validate")
ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(slots=True)
class Site:
    """`photosite serve` at one address, which can be struck down and started again; within its `with` block."""

    data_dir: Path
    settings: Mapping[str, str]
    port: int = field(default_factory=free_port)
    starts: int = 0
    _running: ExitStack = field(default_factory=ExitStack)
    _service: RunningService | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._running.close()

    @property
    def service(self) -> RunningService:
        """It as it runs; started again if its supervisor has given up."""
        if self._service is None or self._service.process.poll() is not None:
            self.start()
        assert self._service
        return self._service

    def start(self) -> None:
        """Start it, or start all of it again after the death of all of it."""
        self._running.close()
        for attempt in range(RESTARTS):
            try:
                self._service = self._running.enter_context(serve(self.data_dir, port=self.port, **self.settings))
            except AssertionError:  # what was killed has not let go of the port yet
                if attempt == RESTARTS - 1:
                    raise
                time.sleep(0.5)
            else:
                break
        self.starts += 1


@dataclass(frozen=True, slots=True)
class Wish:
    """One job that a client wants done."""

    number: int
    kind: str
    raw: int
    """Which raw, of a denoising job."""


@dataclass(slots=True)
class Outcome:
    """What came of the wishes."""

    accepted: dict[str, Wish] = field(default_factory=dict)
    """By the job's id."""
    restarts: int = 0
    """Attempts beyond the first."""
    refused: Counter[int] = field(default_factory=Counter)
    """Answers that were not yet the right one, by status; 0 for none at all."""
    wrong: list[str] = field(default_factory=list)
    """What must not be, a sentence each."""
    faults: Counter[str] = field(default_factory=Counter)


class Storm:
    """Jobs and faults in a random order, the same for the same seed.

    Args:
        site: The service, its disk its own.
        folder: Where raws are made.
        seed: Decides order and places of the faults.
        may_fill: Whether its disk may be filled.
    """

    def __init__(self, site: Site, folder: Path, seed: int, *, may_fill: bool) -> None:
        self._site = site
        self._chance = random.Random(seed)  # noqa: S311  (nothing secret)
        self._lock = threading.Lock()
        self.outcome = Outcome()
        self._raws = [
            make_dng(folder / f"{i}.dng", sample_mosaic(*shape, seed=i), noise_profile=NOISE).read_bytes()
            for i, shape in enumerate([(96, 128)] * RAWS + [(512, 768)] * 2)  # the last ones to train on
        ]
        blocks = site.data_dir / "datasets" / "sidd"
        blocks.mkdir(parents=True)
        make_blocks(blocks, images=2, blocks=2, benchmark=True)
        self._captures: list[str] = []
        self._undisturbed: dict[tuple[str, int], object] = {}
        self._faults: dict[str, Callable[[], None]] = {
            "API killed": lambda: self._kill(" api "),
            "worker's child killed": lambda: self._kill_worker(1),
            "worker's parent killed": lambda: self._kill_worker(0),
            "Redis killed": lambda: self._kill("redis.sock"),
            "Redis stopped": lambda: self._freeze("redis.sock", 3),
            "worker frozen beyond its lease": self._freeze_worker,
            "upload cut": self._cut_upload,
            "download cut": self._cut_download,
            "blob store failing": self._break_store,
            "everything restarted": site.start,
        }
        if may_fill:
            self._faults["disk full"] = self._fill_disk

    def run(self, jobs: int, faults: int) -> Outcome:
        """Let it blow; returns once every accepted job has ended."""
        wishes = self._wishes(jobs)
        self._calm(wishes)
        events: list[Wish | str] = [*wishes]
        names = list(self._faults)
        struck = [names[index % len(names)] for index in range(faults)]  # each kind as often
        self._chance.shuffle(struck)
        for index, fault in enumerate(struck):  # spread evenly, so that there are always jobs to be hit
            events.insert(round((index + 0.5) * len(events) / max(1, faults)), fault)
        room = threading.Semaphore(2 * CLIENTS)
        with ThreadPoolExecutor(CLIENTS) as clients:
            for event in events:
                if isinstance(event, Wish):
                    room.acquire()
                    clients.submit(self._fulfil, event).add_done_callback(lambda _: room.release())
                else:
                    self._strike(event)
        return self.outcome

    # ---- the jobs ----------------------------------------------------------------------------------------------

    def _calm(self, wishes: list[Wish]) -> None:
        """Do one job of each kind and raw that will be asked for, without any trouble."""
        if any(wish.kind == "finetune" for wish in wishes):
            captures = [self._finish(Wish(number, "capture", number)) for number in (-1, -2)]
            self._captures = [str(job["parameters"]["capture"]) for job in captures]
        kinds = {(wish.kind.replace("cancel", "denoise"), wish.raw) for wish in wishes if wish.kind != "capture"}
        for number, (kind, raw) in enumerate(sorted(kinds)):
            wish = Wish(-10 - number, kind, raw)
            job = self._finish(wish)
            assert job["state"] == "succeeded", job
            self._undisturbed[kind, raw] = self._result(wish, job)

    def _wishes(self, jobs: int) -> list[Wish]:
        counts = {kind: max(kind != "finetune", jobs * share // 100) for kind, share in KINDS.items()}
        kinds = [kind for kind, count in counts.items() for _ in range(count)][-jobs:]
        self._chance.shuffle(kinds)
        raws = [self._chance.randrange(RAWS) if kind in {"denoise", "cancel", "capture"} else 0 for kind in kinds]
        return [Wish(number, kind, raw) for number, (kind, raw) in enumerate(zip(kinds, raws, strict=True))]

    def _fulfil(self, wish: Wish) -> None:
        try:
            job = self._finish(wish)
            allowed = {"succeeded", "cancelled"} if wish.kind == "cancel" else {"succeeded"}
            if job["state"] not in allowed:
                self._complain(f"{wish} ended as {job['state']}: {job['error']}")
            elif job["state"] == "succeeded" and wish.kind != "capture":
                wanted = self._undisturbed["denoise" if wish.kind == "cancel" else wish.kind, wish.raw]
                if self._result(wish, job) != wanted:
                    self._complain(f"{wish} has another result than without the storm")
        except Exception as error:  # noqa: BLE001  (a thread's error would be lost)
            self._complain(f"{wish}: {type(error).__name__}: {error}")

    def _complain(self, sentence: str) -> None:
        with self._lock:
            self.outcome.wrong.append(sentence)

    def _finish(self, wish: Wish) -> dict[str, Any]:
        """Hand a job in and wait for its end; gives the job as the API shows it."""
        job_id = self._hand_in(wish)
        with self._lock:
            self.outcome.accepted[job_id] = wish
        if wish.kind == "cancel":
            self._ask("DELETE", f"/jobs/{job_id}", also=(409,))
        deadline = time.monotonic() + PATIENCE_S
        while True:
            job: dict[str, Any] = self._ask("GET", f"/jobs/{job_id}").json()
            if job["state"] in ENDED:
                with self._lock:
                    self.outcome.restarts += max(0, job["attempt"] - 1)
                return job
            assert time.monotonic() < deadline, f"{job_id} is {job['state']} for ever"
            time.sleep(0.2)

    def _hand_in(self, wish: Wish) -> str:
        key = {"Idempotency-Key": f"wish-{wish.number}", "Prefer": "respond-async"}
        raw = self._raws[wish.raw]
        if wish.kind in {"denoise", "cancel"}:
            return str(self._ask("POST", "/denoise?model=tiny", headers=key, content=raw).json()["id"])
        if wish.kind == "capture":
            content = raw + wish.number.to_bytes(8, "big", signed=True)  # another file each time; readers do not mind
            capture = self._ask("POST", "/captures", headers=key, content=content).json()
            return self._describing_job(str(capture["id"]))
        if wish.kind == "validate":
            body = {"dataset": "sidd", "model": "tiny", "noise": "1e-3,1e-5"}
            return str(self._ask("POST", "/jobs/validate", headers=key, json=body).json()["id"])
        name = f"storm{wish.number}" if wish.number >= 0 else "calm"
        body = {"captures": self._captures, "base": "tiny", "steps": STEPS, "name": name, "make_default": False}
        return str(self._ask("POST", "/jobs/finetune", headers=key, json=body).json()["id"])

    def _describing_job(self, capture_id: str) -> str:
        jobs = self._ask("GET", "/jobs?kind=describe&limit=100").json()["jobs"]
        return next(str(job["id"]) for job in jobs if job["parameters"]["capture"] == capture_id)

    def _result(self, wish: Wish, job: dict[str, Any]) -> object:
        """What can be compared."""
        content = self._ask("GET", f"/jobs/{job['id']}/result").content
        if hashlib.sha256(content).hexdigest() != job["result"]["sha256"]:
            return f"another file than its record promises: {len(content)} bytes"
        if wish.kind == "validate":
            return without_times(json.loads(content))
        if wish.kind != "finetune":
            return content
        folder = self._site.data_dir / "tenants" / "local" / "models" / job["parameters"]["name"]
        return sorted(path.name for path in folder.iterdir()), (folder / "1" / "model.safetensors").read_bytes()

    def _ask(self, method: str, path: str, also: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        """The answer to a request, asked again and again until there is one."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status = 0
            with suppress(httpx.TransportError):
                url = f"http://127.0.0.1:{self._site.port}{path}"
                answer = httpx.request(method, url, timeout=30, trust_env=False, **options)
                status = answer.status_code
                if answer.is_success or status in also:
                    return answer
                assert status in {408, 429, 503}, f"{method} {path}: {status} {answer.text}"
                assert status == 408 or int(answer.headers["retry-after"]) > 0
            with self._lock:
                self.outcome.refused[status] += 1
            assert time.monotonic() < deadline, f"{method} {path}: no answer"
            time.sleep(0.3)

    # ---- the faults --------------------------------------------------------------------------------------------

    def _strike(self, fault: str) -> None:
        _ = self._site.service  # there again, if it had given up
        with suppress(ProcessLookupError, LookupError):  # what is to be struck is being started again just now
            self._faults[fault]()
            self.outcome.faults[fault] += 1

    def _find(self, words: str) -> int:
        """A process of the service by its command line."""
        found = [pid for pid, command in self._site.service.family().items() if words in f"{command} "]
        if not found:
            raise LookupError(words)
        return min(found)

    def _kill(self, words: str) -> None:
        os.kill(self._find(words), signal.SIGKILL)

    def _worker(self, which: int) -> int:
        """A worker's parent (0) or its child (1)."""
        queues = self._chance.choice(WORKERS)
        family = self._site.service.family()
        found = sorted(pid for pid, command in family.items() if command.endswith(f"--queues {queues}"))
        return found[which]

    def _kill_worker(self, which: int) -> None:
        os.kill(self._worker(which), signal.SIGKILL)

    def _freeze(self, words: str, seconds: float) -> None:
        self._stop(self._find(words), seconds)

    def _freeze_worker(self) -> None:
        self._stop(self._worker(1), 4)

    @staticmethod
    def _stop(pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def _cut_upload(self) -> None:
        raw = self._chance.choice(self._raws)
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._site.port), timeout=5) as line:
            line.sendall(f"POST /denoise HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n".encode())
            line.sendall(raw[: len(raw) // 2])

    def _cut_download(self) -> None:
        with self._lock:
            done = [job_id for job_id, wish in self.outcome.accepted.items() if wish.kind == "denoise"]
        path = f"/jobs/{self._chance.choice(done)}/result"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._site.port), timeout=5) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            line.recv(1000)

    def _break_store(self) -> None:
        """No blob can be written for a while: where new ones are begun there is no folder any more."""
        folder = self._site.data_dir / "blobs" / "unfinished"
        aside = folder.with_name("aside")
        folder.rename(aside)
        folder.touch()
        time.sleep(1)
        folder.unlink()
        aside.rename(folder)

    def _fill_disk(self) -> None:
        with filled(self._site.data_dir):
            time.sleep(1)
