"""Streams of events that are open: each keeps a request for as long as a job lasts, so that a tenant has so many only.

In the flow: GET …/events → **check** → stream, **counted** while it is written.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import QuotaExceededError

RETRY_S = 10


class Streams:
    """Those of this process.

    Args:
        at_most: How many a tenant may have.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._open: Counter[str] = Counter()

    def check(self, tenant: str) -> None:
        """Whether a tenant may have one more.

        Raises:
            QuotaExceededError: It may not.
        """
        if self._open[tenant] >= self._at_most:
            raise QuotaExceededError(f"{self._open[tenant]} streams of events are open already", retry_after_s=RETRY_S)

    @contextmanager
    def counted(self, tenant: str) -> Iterator[None]:
        """Count one for the length of the block."""
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]
