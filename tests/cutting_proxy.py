"""A bad line between a client and a server: passes bytes both ways, and cuts every connection after so many.

In the flow of the tests: client → **CuttingProxy** → service.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

PIECE_BYTES = 4096


class CuttingProxy(socketserver.ThreadingTCPServer):
    """Listens on a port of its own while its `with` block runs.

    Attributes:
        cut_after_bytes: Bytes from the server after which a connection is cut; none: never.
        cut_after_sent_bytes: Bytes from the client after which it is; none: never.
        cuts: Connections cut so far.
    """

    daemon_threads = True

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Line)
        self.target = target
        self.cut_after_bytes: int | None = None
        self.cut_after_sent_bytes: int | None = None
        self.cuts = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def address(self) -> str:
        """What the client is told."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Line(socketserver.BaseRequestHandler):
    """One connection; the thread that runs this passes the answers back."""

    server: CuttingProxy
    request: socket.socket

    def handle(self) -> None:
        """Pass bytes until one side hangs up, or it is time to cut."""
        with socket.create_connection(self.server.target) as onward:
            sending = threading.Thread(
                target=self._pass_on, args=(self.request, onward, lambda: self.server.cut_after_sent_bytes), daemon=True
            )
            sending.start()
            self._pass_on(onward, self.request, lambda: self.server.cut_after_bytes)
            _hang_up(self.request, onward)  # wakes the other thread
            sending.join()

    def _pass_on(self, source: socket.socket, target: socket.socket, limit: Callable[[], int | None]) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                most = limit()
                left = len(data) if most is None else most - passed
                target.sendall(data[: max(0, left)])
                passed += len(data)
                if left < len(data):
                    self.server.cuts += 1
                    _hang_up(source, target)
            target.shutdown(socket.SHUT_WR)


def _hang_up(*sides: socket.socket) -> None:
    for side in sides:
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
