"""`photosite serve`, `photosite api`, `photosite worker`: the commands that serve requests.

Their own modules are imported when they run: `--help` loads neither FastAPI nor Celery.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.settings import Settings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
MAX_PORT = 65535
GRACEFUL_SHUTDOWN_S = 5

logger = logging.getLogger(__name__)


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three commands."""
    serve = subparsers.add_parser("serve", help="everything in one: API, page, worker and a private Redis server")
    _add_address(serve)
    serve.add_argument("--data-dir", type=Path, help="folder of uploads and results (PHOTOSITE_DATA_DIR)")
    serve.set_defaults(run=run_serve)

    api = subparsers.add_parser("api", help="the HTTP interface alone, for deployments")
    _add_address(api)
    api.add_argument("--fd", type=int, help="serve on this inherited socket instead of an address")
    api.set_defaults(run=run_api)

    worker = subparsers.add_parser("worker", help="one worker, for deployments")
    worker.add_argument(
        "--queues", default="preview,denoise", help="queues to work on, comma-separated (default: %(default)s)"
    )
    worker.set_defaults(run=run_worker)


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="TCP port, 0 for any (default: %(default)s)")


def _port(text: str) -> int:
    """Parse a port: the system takes a larger number, too, modulo 65536."""
    if not (text.isdecimal() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to {MAX_PORT}")
    return int(text)


def _prepare(data_dir: Path | None = None) -> Settings:
    """Settings and logging, the same for all three."""
    from service.logs import configure_logging  # noqa: PLC0415
    from service.settings import load_settings  # noqa: PLC0415

    if os.name != "posix":
        raise ConfigError("Photosite serves on Linux and macOS only; on Windows, run it inside WSL2")
    settings = load_settings(data_dir=data_dir)
    configure_logging(settings)
    return settings


def run_serve(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    settings = _prepare(arguments.data_dir)
    from service.embedded import Supervisor  # noqa: PLC0415

    Supervisor(settings, arguments.host, arguments.port).run()
    return 0


def run_api(arguments: argparse.Namespace) -> int:
    """Serve the HTTP interface in this process."""
    settings = _prepare()
    from service.embedded import check_keyless  # noqa: PLC0415

    if arguments.fd is None:
        check_keyless(settings, arguments.host)
    import uvicorn  # noqa: PLC0415

    from service.api.app import create_app  # noqa: PLC0415
    from service.api.heads import bounded_heads  # noqa: PLC0415
    from service.traces import start_tracing  # noqa: PLC0415

    listener = _listener(arguments)
    start_tracing(settings, "photosite-api")
    app = create_app(settings)
    if settings.api_metrics_port:
        from service.monitoring import serve_metrics  # noqa: PLC0415

        serve_metrics(settings.metrics_host, settings.api_metrics_port, app.state.services.metrics.registry)
    config = uvicorn.Config(
        app,
        http=bounded_heads(settings),
        log_config=None,
        access_log=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listener(arguments: argparse.Namespace) -> socket.socket:
    """The socket to serve on. Taken here: uvicorn's own complaint about an address in use has an exit code of its own.

    Raises:
        ConfigError: The address is in use, or not ours.
    """
    if arguments.fd is not None:
        return socket.socket(fileno=arguments.fd)
    from service.embedded import listen  # noqa: PLC0415

    listener = listen(arguments.host, arguments.port)
    logger.info("listening on %s, port %d", arguments.host, listener.getsockname()[1])
    return listener


def run_worker(arguments: argparse.Namespace) -> int:
    """Work on jobs in this process and its children."""
    settings = _prepare()
    with _metrics_folder(settings.worker_metrics_dir) as metrics_dir:
        return _work(settings, arguments.queues.split(","), metrics_dir)


@contextmanager
def _metrics_folder(configured: Path | None) -> Iterator[Path]:
    """A folder for the metric files: the configured one, which workers may share, or one that is gone afterwards."""
    if configured is None:
        with tempfile.TemporaryDirectory(prefix="photosite-metrics-") as folder:
            yield Path(folder)
    else:
        configured.mkdir(parents=True, exist_ok=True)
        yield configured


def _work(settings: Settings, queues: list[str], metrics_dir: Path) -> int:
    # billiard and prometheus_client read these when they are imported.
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # SIGTERM gives running jobs time, then hands them back
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_dir)
    # OpenMP reads this when torch is loaded. Threads that wait for one another by spinning take the processor from the
    # other worker's, which they wait for: beside it a training step took tens of times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from celery.exceptions import SecurityWarning  # noqa: PLC0415

    from service.monitoring import serve_worker_metrics  # noqa: PLC0415
    from service.queue import TASK_NAMES  # noqa: PLC0415
    from service.worker.tasks import make_worker_app  # noqa: PLC0415

    unknown = sorted(set(queues) - set(TASK_NAMES))
    if unknown:
        raise ConfigError(f"--queues: there is no queue {unknown[0]!r}; there are {', '.join(TASK_NAMES)}")
    if settings.worker_metrics_port:
        serve_worker_metrics(settings.metrics_host, settings.worker_metrics_port, metrics_dir)
    warnings.simplefilter("ignore", SecurityWarning)  # it warns root of pickle; messages are JSON only
    name = f"{os.getpid()}@{socket.gethostname()}"  # several on one machine must not share one
    app = make_worker_app(settings, queues)
    worker = app.Worker(queues=queues, hostname=name, loglevel=settings.log_level, pool="prefork", quiet=True)
    worker.start()
    return int(worker.exitcode or 0)
