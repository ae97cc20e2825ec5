"""Below a proxy's path: addresses in answers lead back through the proxy.

In the flow: client → proxy takes `/photosite` off → **app** → proxy → client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ProxyPathMiddleware:
    """Tells the application the path that the proxy takes off, and puts it back in front of `Location`.

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
        scope["root_path"] = self._root_path

        async def send_with_path(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                location = headers.get("location", "")
                if location.startswith("/") and not location.startswith("//"):
                    headers["location"] = self._root_path + location
            await send(message)

        await self._app(scope, receive, send_with_path)
