"""A span around every request, if traces are wished.

In the flow: uvicorn → **span** → middleware → routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from service.api.errors import METHODS
from service.api.middleware import PROBES
from service.api.proxy import local_path
from service.traces import TRACEPARENT, span

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class TraceMiddleware:
    """Traces requests by route, as part of the trace that the client names, if it names one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on inside its span."""
        if scope["type"] != "http" or local_path(scope).startswith(PROBES):
            await self._app(scope, receive, send)
            return
        code = 500

        async def send_and_note(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "unknown"
        with span(method, Headers(scope=scope).get(TRACEPARENT)) as current:
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                if current is not None:
                    route = getattr(scope.get("route"), "path_format", "unknown")
                    current.update_name(f"{method} {route}")
                    current.set_attribute("http.route", route)
                    current.set_attribute("http.response.status_code", code)
