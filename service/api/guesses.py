"""Wrong keys by address: who tries many is refused for a while, before anybody is asked whether the next one is right.

A key has 256 random bits and will not be guessed; this keeps those who try from costing anything, and shows them in the
log. Counted in this process's memory; keys that were right here lately stay right, whoever else tries from the same
address. In the flow: request → **guesses** → tenants.

Source: OWASP ASVS 4.0, 2.2.1 (anti-automation).
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import time
from collections import OrderedDict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from starlette.concurrency import run_in_threadpool

from service.errors import AuthenticationError, QuotaExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

Found = TypeVar("Found")
Name = TypeVar("Name")
Value = TypeVar("Value")

SPAN_S = 60.0
MOST_REMEMBERED = 10_000
"""Addresses, and right keys, that are kept in mind; beyond it the oldest are forgotten."""

logger = logging.getLogger(__name__)


class Guesses:
    """Wrong keys of the last minute.

    Args:
        at_most: How many an address may try in a minute; 0 for any number.
        clock: Seconds that only grow.
    """

    def __init__(self, at_most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_most = at_most
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._right: OrderedDict[bytes, None] = OrderedDict()

    async def judge(self, request: Request, key: str, check: Callable[[str], Found]) -> Found:
        """What `check` says of a key, unless the request's address has had too many wrong ones.

        Raises:
            AuthenticationError: The key is wrong.
            QuotaExceededError: Too many were.
        """
        address, digest = origin_of(request), hashlib.sha256(key.encode()).digest()
        if digest not in self._right:
            self._refuse_many(address)
        try:
            found = await run_in_threadpool(check, key)
        except AuthenticationError:
            self._right.pop(digest, None)
            self._note(address)
            raise
        _remember(self._right, digest, None)
        return found

    def _refuse_many(self, address: str) -> None:
        times = self._wrong.get(address)
        if not self._at_most or times is None or len(times) < self._at_most:
            return
        left_s = SPAN_S - (self._clock() - times[0])
        if left_s > 0:
            message = f"{self._at_most} wrong keys came from this address within a minute"
            raise QuotaExceededError(message, retry_after_s=max(1, round(left_s)))

    def _note(self, address: str) -> None:
        times = self._wrong.get(address) or deque(maxlen=max(1, self._at_most))
        times.append(self._clock())
        _remember(self._wrong, address, times)
        if len(times) == self._at_most:
            logger.warning("wrong keys: %d from %s", len(times), address or "an unknown address")


def origin_of(request: Request) -> str:
    """Where a request comes from; of IPv6 the network of 64 bits, all of which one customer has."""
    host = request.client.host if request.client else ""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.version == 6:
            return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def _remember(known: OrderedDict[Name, Value], name: Name, value: Value) -> None:
    known[name] = value
    known.move_to_end(name)
    if len(known) > MOST_REMEMBERED:
        known.popitem(last=False)
