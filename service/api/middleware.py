"""Around every request: its metrics, the headers that keep a browser strict, and the one form of an error.

In the flow: uvicorn → **middleware** → routes.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from service.api.documentation import STYLE_DIGEST
from service.api.errors import METHODS, PROBLEM_MEDIA_TYPE, problem_of, problem_of_status
from service.api.proxy import local_path
from service.errors import OverloadedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from service.monitoring import ApiMetrics

STRICT_POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
DOCS_POLICY = f"{STRICT_POLICY}; style-src 'sha256-{STYLE_DIGEST}'"
"""The documentation is one file that holds its style itself."""
PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
"""What a photograph is looked at without."""
TUS_VERSION = "1.0.0"
PROBES = ("/health/", "/metrics")
"""Paths that machines ask for all the time: always served, not traced, hardly logged."""
_KEPT_HEADERS = frozenset({"allow", "content-range", "retry-after", "www-authenticate"})
_UPLOAD = re.compile("/uploads/[^/]+")
_ERRORS = frozenset(status.value for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST)


class SecurityHeadersMiddleware:
    """Adds the headers that keep a browser from loading, sniffing or framing anything foreign."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and change the head of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = DOCS_POLICY if local_path(scope) == "/docs" else STRICT_POLICY

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", policy)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Permissions-Policy"] = PERMISSIONS
            await send(message)

        await self._app(scope, receive, send_with_headers)


class ProblemMiddleware:
    """Puts a problem in the place of every error that a library answers in its own words (a bad Range, for one)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and replace an error's answer that is no problem."""
        replaced = False

        async def send_or_replace(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_foreign_error(message):
                replaced = True
                status = message["status"]
                kept = {name: value for name, value in Headers(raw=message["headers"]).items() if name in _KEPT_HEADERS}
                await problem_of_status(status, HTTPStatus(status).phrase, kept)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._app(scope, receive, send_or_replace if scope["type"] == "http" else send)


def _is_foreign_error(message: Message) -> bool:
    media_type = Headers(raw=message["headers"]).get("content-type")
    return message["status"] in _ERRORS and media_type != PROBLEM_MEDIA_TYPE


class TusMiddleware:
    """Adds what every answer below /uploads has, and takes another method's name for clients that cannot say PATCH.

    Source: tus 1.0.0, https://tus.io/protocols/resumable-upload, "Headers".
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and change the head of its answer."""

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Tus-Resumable"] = TUS_VERSION
                headers["Tus-Version"] = TUS_VERSION
            await send(message)

        if scope["type"] != "http" or not (local_path(scope) + "/").startswith("/uploads/"):
            await self._app(scope, receive, send)
            return
        if scope["method"] == "POST":
            scope["method"] = Headers(scope=scope).get("x-http-method-override", "POST").upper()
        await self._app(scope, receive, send_with_version)


class HeadMiddleware:
    """Answers HEAD by the head that GET has, and none of its body, but where a route knows HEAD itself.

    Source: RFC 9110, section 9.3.2.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and end the work on its answer once the head is there: a body may be long, or endless."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or _UPLOAD.fullmatch(local_path(scope)):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            scope["method"] = "HEAD"  # or the server would wait for the body
            await send(message)
            await send({"type": "http.response.body"})
            raise _HeadSentError

        scope["method"] = "GET"
        with suppress(_HeadSentError):
            await self._app(scope, receive, send_head)


class _HeadSentError(Exception):
    """The answer is complete; unwinds what was about to send the rest of it."""


class LoadMiddleware:
    """Refuses requests while too many are being served: uvicorn's own limit counts idle connections and probes, too.

    Args:
        app: What serves them.
        at_most: So many at the same time.
    """

    def __init__(self, app: ASGIApp, at_most: int) -> None:
        self._app = app
        self._at_most = at_most
        self._served = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or local_path(scope).startswith(PROBES):
            await self._app(scope, receive, send)
            return
        if self._served >= self._at_most:
            await problem_of(OverloadedError("too many requests are being served; try again soon"))(
                scope, receive, send
            )
            return
        self._served += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._served -= 1


class MetricsMiddleware:
    """Counts and times requests by route, never by address: an address holds a job's id."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, code = time.monotonic(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        with self._metrics.in_progress.track_inprogress():
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                route = getattr(scope.get("route"), "path_format", "unknown")
                method = scope["method"] if scope["method"] in METHODS else "unknown"
                self._metrics.requests.labels(route, method, str(code)).inc()
                self._metrics.duration.labels(route, method).observe(time.monotonic() - started)
