"""What every group of the client's methods is made of: the line to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.client.connection import Connection


class Calls:
    """Methods that ask a server.

    Args:
        connection: The line to it.
        timeout_s: Seconds without a byte after which a request counts as broken.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
