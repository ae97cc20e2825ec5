"""Below a proxy's path: the application knows where it stands, and addresses in answers lead back through the proxy.

In the flow: client → proxy hands `/photosite/jobs` on, as it is or without `/photosite` → **app** → proxy → client.

Source: ASGI's specification, HTTP connection scope: `root_path` is where the application is mounted; `path` holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def local_path(scope: Scope) -> str:
    """A request's path as our own routes have it.

    >>> local_path({"path": "/photosite/jobs", "root_path": "/photosite"})
    '/jobs'
    """
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class ProxyPathMiddleware:
    """Tells the application the proxy's path, taken off by the proxy or not, and puts it in front of `Location`.

    Args:
        app: What answers.
        root_path: The proxy's path, as "/photosite"; empty where there is none.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the path that its client sees, and change the head of its answer."""
        if scope["type"] != "http" or not self._root_path:
            await self._app(scope, receive, send)
            return
        left = (scope["path"] + "/").startswith(self._root_path + "/")
        path = scope["path"].removeprefix(self._root_path) if left else scope["path"]
        scope["root_path"] = self._root_path
        scope["path"] = self._root_path + (path or "/")

        async def send_with_path(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                location = headers.get("location", "")
                if location.startswith("/") and not location.startswith("//"):
                    headers["location"] = self._root_path + location
            await send(message)

        await self._app(scope, receive, send_with_path)
