"""The head of a request, its line and headers: how long it may be, and how long it may take to come.

In the flow: connection → **head** → middleware → route; uvicorn limits neither with the parser that is used here.

Source: RFC 6585, section 5 (431 Request Header Fields Too Large); RFC 9110, section 15.5.9 (408 Request Timeout).
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.errors import problem_of_status
from service.settings import Settings


class BoundedHeadProtocol(HttpToolsProtocol):
    """A connection that is ended when a request's head is too long, or does not come.

    What arrives at a time is looked at as a whole: a head that is complete by then may be longer, by some 256 kB.
    """

    max_bytes: ClassVar[int]
    timeout_s: ClassVar[float]
    _bytes = 0
    """Of the head that is coming."""
    _deadline: asyncio.TimerHandle | None = None
    """None while no head is awaited: a body is coming, or uvicorn's own limit of idleness counts."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """The first head is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._end_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins: the first, or another on the same connection."""
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._end_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Some of it, or of a body, has come."""
        super().data_received(data)
        if self._deadline is not None:
            self._bytes += len(data)
            if self._bytes > self.max_bytes:
                self._refuse(431, f"the request's line and headers have more than {self.max_bytes} bytes")

    def _await_head(self) -> None:
        self._bytes = 0
        self._deadline = self.loop.call_later(self.timeout_s, self._give_up)

    def _end_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._bytes:
            self._refuse(408, f"the request's line and headers did not come within {self.timeout_s:g} s")
        else:
            self.transport.close()  # a browser opens connections in advance

    def _refuse(self, status: int, detail: str) -> None:
        self._end_head()
        answer = problem_of_status(status, detail, {"Connection": "close"})
        headers = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
        self.transport.write(STATUS_LINE[status] + headers + b"\r\n" + bytes(answer.body))
        self.transport.close()


def bounded_heads(settings: Settings) -> type[BoundedHeadProtocol]:
    """What uvicorn is to speak, with the limits of the settings."""
    limits = {"max_bytes": settings.max_header_bytes, "timeout_s": settings.upload_idle_timeout_s}
    return type(BoundedHeadProtocol.__name__, (BoundedHeadProtocol,), limits)
