"""Courtesy: uploads, which keep this process busy, step aside while a question waits that is answered in no time.

In the flow: GET request → **noted** → answer; upload's piece → **step aside** → next piece.

One process reads all connections in turn. Four uploads as fast as the line carries them make each turn long, and a
question takes several turns; so they ask for nothing more while one is being answered, each for a short time only.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAUSE_S = 0.002
LONGEST_S = 0.05
"""Per piece of some 100 kB: uploads get on, however many questions there are."""


class Courtesy:
    """How many questions wait for the beginning of their answer."""

    def __init__(self) -> None:
        self._waiting = 0

    def begin(self) -> None:
        """A question has come."""
        self._waiting += 1

    def end(self) -> None:
        """Its answer begins."""
        self._waiting -= 1

    async def step_aside(self) -> None:
        """Return when no question waits, or when this has taken long enough."""
        left = round(LONGEST_S / PAUSE_S)
        while self._waiting and left:
            left -= 1
            await asyncio.sleep(PAUSE_S)


class CourtesyMiddleware:
    """Notes questions: requests that send nothing and change nothing."""

    def __init__(self, app: ASGIApp, courtesy: Courtesy) -> None:
        self._app = app
        self._courtesy = courtesy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; note it until its answer begins."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        waiting = True

        def end() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._courtesy.end()

        async def send_and_end(message: Message) -> None:
            end()
            await send(message)

        self._courtesy.begin()
        try:
            await self._app(scope, receive, send_and_end)
        finally:
            end()
