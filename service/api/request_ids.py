"""A name for each request: in its answer's head, and in every log line that is written while it is answered.

In the flow: uvicorn → **request id** → middleware → routes.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders

from service.api.middleware import PROBES
from service.api.proxy import local_path
from service.logs import log_fields

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"
_USABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")

logger = logging.getLogger(__name__)


class RequestIdMiddleware:
    """Takes a proxy's X-Request-Id, or makes one; says in one log line how the request ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on under its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, started, code = request_id_of(scope), time.monotonic(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with log_fields(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                level = logging.DEBUG if local_path(scope).startswith(PROBES) else logging.INFO
                taken_s = time.monotonic() - started
                logger.log(level, "%s %s: %d after %.3f s", scope["method"], quote(scope["path"]), code, taken_s)


def request_id_of(scope: Scope) -> str:
    """The id that the request brings, if it can stand in a log line; else a new one."""
    brought = Headers(scope=scope).get(HEADER, "")
    return brought if _USABLE.fullmatch(brought) else secrets.token_hex(8)
