"""What docker-compose.yml describes, as processes on this machine: the same commands and settings, without containers.

In the flow of the tests: docker-compose.yml → **Deployment** → HTTP, Prometheus' own HTTP.

What a container would see stands in for it: a service's name becomes 127.0.0.1 with a port of its own, a volume a
folder. Prometheus reads the repository's own configuration and rules; only where it finds its targets is changed, and
its intervals, which are a fifteenth (an alert's patience: a sixtieth), so that nobody waits for minutes.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx
import yaml
from ci_programs import ROOT
from service_process import descendants, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STAND_INS = ROOT / "tests" / "stand_ins"
QUICK_S = 60.0


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def interpolate(value: Any) -> str:
    """A compose file's value where no variable is set: `${NAME:-default}` is its default, `$$` a `$`.

    >>> interpolate("${PHOTOSITE_PORT:-8000} $$")
    '8000 $'
    """
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)).replace("$$", "$")


@dataclass(slots=True)
class Member:
    """One process of the deployment."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    grace_s: float
    log: Path
    metrics_port: int | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says goes to its log."""
        with self.log.open("ab") as log:
            environment = {**os.environ, **self.environment}
            self.process = subprocess.Popen(self.command, env=environment, stdout=log, stderr=log, cwd=self.log.parent)

    def stop(self) -> int:
        """End it as an engine does: SIGTERM, and SIGKILL once its time is over; gives its status."""
        assert self.process
        self.process.terminate()
        try:
            return self.process.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def kill(self) -> None:
        """End it and its children as a crash of their host does."""
        assert self.process
        for pid in descendants(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@dataclass(slots=True)
class Deployment:
    """All processes of one host; within its `with` block.

    Args:
        folder: Where their data and logs lie.
        settings: What differs from the compose file, for API and workers.
        redis_server: The program.
        prometheus: The program.
    """

    folder: Path
    settings: Mapping[str, str]
    redis_server: str
    prometheus: str
    members: dict[str, Member] = field(default_factory=dict)
    key: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
        self.ports = {name: free_port() for name in ("redis", "api", "api-metrics", "prometheus")}
        try:
            self._make_secrets()
            self._add_redis()
            self._make_key()
            self._add("api", "api", ["api", "--host", "127.0.0.1", "--port", str(self.ports["api"])])
            wait_until(self.is_ready, QUICK_S)
            for name, service in (
                ("denoise-1", "worker-denoise"),
                ("denoise-2", "worker-denoise"),
                ("preview", "worker-preview"),
                ("train", "worker-train"),
            ):
                self._add(name, service, self.services[service]["command"])
            self._add_prometheus()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for member in self.members.values():
            if member.process and member.process.poll() is None:
                member.kill()

    @property
    def address(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self.ports['api']}"

    def is_ready(self) -> bool:
        """Whether the API takes work."""
        return _is_ok(f"{self.address}/health/ready")

    def worker_answers(self, name: str) -> bool:
        """Whether a worker tells its metrics, which it does before it takes jobs."""
        return _is_ok(f"http://127.0.0.1:{self.members[name].metrics_port}/metrics")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers to an expression."""
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/query"
        answer = httpx.get(url, params={"query": expression}, timeout=30, trust_env=False).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def firing(self, alert: str) -> list[dict[str, str]]:
        """The labels of an alert's instances that fire."""
        return [result["metric"] for result in self.query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')]

    def _environment(self, service: str) -> dict[str, str]:
        """A service's variables, with places on this machine in the place of a container's."""
        given = {name: interpolate(value) for name, value in self.services[service]["environment"].items()}
        (password,) = (self.folder / "secrets" / "redis_password").read_text(encoding="utf-8").split()
        places = {
            "PHOTOSITE_REDIS_URL": f"redis://:{password}@127.0.0.1:{self.ports['redis']}/0",
            "PHOTOSITE_DATA_DIR": str(self.folder / "data"),
            "PHOTOSITE_METRICS_HOST": "127.0.0.1",
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "secrets" / "aws_credentials"),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", STAND_INS))),
        }
        return {**given, **places, **self.settings}

    def _make_secrets(self) -> None:
        script = (ROOT / "docker" / "make-secrets.sh").read_text(encoding="utf-8")
        for volume in ("photosite", "grafana", "minio"):
            folder = self.folder / ("secrets" if volume == "photosite" else volume)
            folder.mkdir(parents=True)
            script = script.replace(f"/secrets/{volume}", str(folder))
        subprocess.run(["sh", "-c", script], check=True)

    def _make_key(self) -> None:
        environment = {**os.environ, **self._environment("api")}
        command = [sys.executable, "-m", "service", "keys", "create", "studio"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        (self.key,) = re.findall(r"\bps_\S+|\bphotosite_\S+", done.stdout) or done.stdout.split()[-1:]

    def _add(self, name: str, service: str, words: list[str]) -> None:
        environment, port = self._environment(service), free_port()
        for variable in ("PHOTOSITE_API_METRICS_PORT", "PHOTOSITE_WORKER_METRICS_PORT"):
            if variable in environment:
                environment[variable] = str(port)
        grace_s = float(self.services[service]["stop_grace_period"].removesuffix("s"))
        command = [sys.executable, "-m", "service", *words]
        self._start(Member(name, command, environment, grace_s, self.folder / f"{name}.log", port))

    def _add_redis(self) -> None:
        (self.folder / "redis").mkdir()
        (self.folder / "data").mkdir()
        words = [
            word.replace("/run/secrets", str(self.folder / "secrets")) for word in self.services["redis"]["command"]
        ]
        words = [str(self.folder / "redis") if word == "/data" else word for word in words]
        command = [self.redis_server, *words, "--bind", "127.0.0.1", "--port", str(self.ports["redis"])]
        grace_s = float(self.services["redis"]["stop_grace_period"].removesuffix("s"))
        self._start(Member("redis", command, {}, grace_s, self.folder / "redis.log"))
        wait_until(lambda: _listens(self.ports["redis"]), QUICK_S)

    def _add_prometheus(self) -> None:
        folder = self.folder / "prometheus"
        folder.mkdir()
        source = ROOT / "docker" / "prometheus"
        config = yaml.safe_load((source / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = dict.fromkeys(config["global"], "1s")
        for scraped in config["scrape_configs"]:
            scraped.pop("dns_sd_configs")
            wanted = "api" if scraped["job_name"] == "photosite-api" else "worker"
            ports = [
                member.metrics_port
                for member in self.members.values()
                if member.metrics_port and (member.name == "api") == (wanted == "api")
            ]
            scraped["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        rules = (source / "rules.yml").read_text(encoding="utf-8")
        rules = re.sub(r"\bfor: (\d+)([mh])$", r"for: \1s", rules, flags=re.MULTILINE)
        (folder / "rules.yml").write_text(rules, encoding="utf-8")
        command = [
            self.prometheus,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
        ]
        self._start(Member("prometheus", command, {}, 20, self.folder / "prometheus.log"))
        wait_until(self.prometheus_is_ready, QUICK_S)

    def prometheus_is_ready(self) -> bool:
        """Whether Prometheus answers questions."""
        return _is_ok(f"http://127.0.0.1:{self.ports['prometheus']}/-/ready")

    def _start(self, member: Member) -> None:
        self.members[member.name] = member
        member.start()


def _is_ok(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=10, trust_env=False).status_code == httpx.codes.OK
    return False


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def seconds_since(started: float) -> float:
    """For what is printed."""
    return round(time.monotonic() - started, 1)
