"""A proxy that shows a service below a path, as an ingress does: takes the path off, or leaves it.

In the flow of the tests: browser, client → **PathProxy** → service.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import uvicorn
from service_process import wait_until
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import Message, Receive, Scope, Send

PATIENCE_S = 300
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
"""Headers that are about one line only: RFC 9110, section 7.6.1."""


class PathProxy:
    """Passes what lies below a path on, and answers 404 to everything else, so that a wrong address is found.

    Args:
        target: Address of the service.
        path: The path, as "/photosite".
        strip: Whether to take it off.
    """

    def __init__(self, target: str, path: str, *, strip: bool) -> None:
        self._target, self._path, self._strip = target.rstrip("/"), path, strip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and its answer back as it comes."""
        asked = scope["raw_path"].decode()
        if not (asked + "/").startswith(self._path + "/"):
            await PlainTextResponse("nothing is here", 404)(scope, receive, send)
            return
        onward = (asked.removeprefix(self._path) or "/") if self._strip else asked
        address = httpx.URL(f"{self._target}{onward}", query=scope["query_string"])
        headers = [*_passed(scope["headers"]), (b"x-forwarded-proto", b"http")]
        async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
            request = client.build_request(scope["method"], address, headers=headers, content=_body(receive))
            answer = await client.send(request, stream=True)
            start: Message = {"type": "http.response.start", "status": answer.status_code}
            await send({**start, "headers": _passed(answer.headers.raw)})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})


def _passed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        yield message.get("body", b"")
        more = message.get("more_body", False)


@contextmanager
def below_a_path(target: str, path: str, *, strip: bool) -> Iterator[str]:
    """Run the proxy; gives the address below which the service is seen."""
    proxy = PathProxy(target, path, strip=strip)
    config = uvicorn.Config(proxy, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}{path}"
    finally:
        server.should_exit = True
        thread.join()
