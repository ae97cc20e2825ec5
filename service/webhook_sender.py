"""Sends webhooks: each API process takes what is due, a few at a time, and notes how it went.

In the flow: queue_delivery → **claim → sign → send → settle** → the owner's receiver. A batch is looked at first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import httpx
from starlette.concurrency import run_in_threadpool

from service.deliveries import Rooms
from service.errors import InvalidRequestError
from service.webhooks import retry_delay_s, sign
from training import __version__
from training.errors import ConfigError, PhotositeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.deliveries import DeliveryStore
    from service.webhooks import Delivery

TIMEOUT_S = 15.0
"""For one delivery as a whole: name, connection, request and answer."""
STEP_TIMEOUT_S = 5.0
"""For each step of it."""
LEASE_S = 30.0
"""Longer than a delivery can last, so that no other process begins it meanwhile."""
CONCURRENCY, PER_TENANT = 16, 4
"""Deliveries that a process makes at the same time, of all owners and of one: a receiver that does not answer must hold
up neither the others nor the receivers of others."""
POLL_S = 0.5
MAX_ANSWER_BYTES = 16 * 1024
"""So much of an answer is read, and thrown away; only its status counts."""
HEADERS = {"Content-Type": "application/json", "User-Agent": f"Photosite/{__version__}"}

logger = logging.getLogger(__name__)


class WebhookSender:
    """Makes deliveries.

    Args:
        deliveries: Where they are kept.
        secret_of: Gives the secret of a tenant.
        transport: What carries them; it is to refuse addresses that must not be called (`GuardedTransport`).
        observe: Told how each attempt ended: "delivered", "postponed" or "given_up".
    """

    def __init__(
        self,
        deliveries: DeliveryStore,
        secret_of: Callable[[str], bytes],
        transport: httpx.AsyncBaseTransport,
        observe: Callable[[str], object] = lambda _outcome: None,
    ) -> None:
        self._observe = observe
        self._deliveries = deliveries
        self._secret_of = secret_of
        self._client = httpx.AsyncClient(
            transport=transport, timeout=STEP_TIMEOUT_S, follow_redirects=False, trust_env=False, headers=HEADERS
        )
        self._sending: dict[asyncio.Task[None], str] = {}

    async def run(self) -> None:
        """Deliver for ever; cancel it to stop: what it was sending is sent again later, by whichever process."""
        async with self._client:
            try:
                while True:
                    await self._begin_due()
                    await asyncio.sleep(POLL_S)
            finally:
                for task in self._sending:
                    task.cancel()
                await asyncio.gather(*self._sending, return_exceptions=True)

    async def _begin_due(self) -> None:
        """Start as many deliveries as there is room for."""
        rooms = Rooms(CONCURRENCY, PER_TENANT, self._sending.values())
        if not rooms.left:
            return
        try:
            claimed = await run_in_threadpool(self._deliveries.claim_due, rooms, LEASE_S)
        except PhotositeError as error:
            logger.warning("webhooks: %s %s", error.message, error.detail)
            return
        except Exception:  # without this loop no webhook would be sent any more: whatever happened, it goes on
            logger.exception("webhooks: unexpected error")
            return
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery))
            self._sending[task] = delivery.tenant
            task.add_done_callback(self._sending.pop)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self.deliver(delivery)
        except PhotositeError as error:  # it cannot be settled now: its lease lapses, and it is sent once more
            logger.warning("webhook %s: %s %s", delivery.id, error.message, error.detail)
        except Exception:  # the task boundary: one delivery must not end the loop
            logger.exception("webhook %s: unexpected error", delivery.id)

    async def deliver(self, delivery: Delivery) -> None:
        """Send a delivery of ours once, and settle it.

        Raises:
            BrokerUnavailableError: It cannot be settled.
        """
        if delivery.batch:
            await run_in_threadpool(self._deliveries.conclude_batch, delivery)
            return
        status, reason = await self._send(delivery)
        delay_s = retry_delay_s(delivery.attempt)
        if httpx.codes.is_success(status):
            logger.info("webhook %s: delivered by attempt %d", delivery.id, delivery.attempt)
            self._observe("delivered")
        elif status == httpx.codes.GONE or delay_s is None:
            logger.warning("webhook %s: given up after attempt %d: %s", delivery.id, delivery.attempt, reason)
            self._observe("given_up")
        else:
            logger.info("webhook %s: again in %.0f s, attempt %d: %s", delivery.id, delay_s, delivery.attempt, reason)
            self._observe("postponed")
            await run_in_threadpool(self._deliveries.postpone, delivery, delay_s)
            return
        await run_in_threadpool(self._deliveries.remove, delivery)

    async def _send(self, delivery: Delivery) -> tuple[int, str]:
        """The answer's status, 0 if there was none, and what that means in words."""
        status, reason = 0, ""
        try:
            headers = sign(self._secret_of(delivery.tenant), delivery, int(time.time()))
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._client.stream("POST", delivery.url, content=delivery.body, headers=headers) as response,
            ):
                status, reason = response.status_code, f"HTTP {response.status_code}"
                await _read_some(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return status, reason or str(error) or type(error).__name__  # once there is a status, the rest is no matter
        except (InvalidRequestError, ConfigError) as error:
            return 0, f"{error.message} {error.detail}"
        return status, reason


async def _read_some(response: httpx.Response) -> None:
    """Read an answer's beginning, for receivers that do not like a connection that ends before they have spoken."""
    read_bytes = 0
    async for data in response.aiter_raw():
        read_bytes += len(data)
        if read_bytes >= MAX_ANSWER_BYTES:
            return
