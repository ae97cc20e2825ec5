"""Webhooks: a finished job is told to its owner's address, signed, at least once.

In the flow: succeed, fail or cancel → **queue_delivery** → (any API process) claim → send → the owner's receiver.

A delivery is written together with the job's final state, in one transaction: there is no job that ended without it. It
is sent until the receiver takes it, or `RETRY_DELAYS_S` are used up. Its id stays the same, so that a receiver can drop
what comes twice.

Keys: `ps:webhooks` ids of deliveries by the time when each is due; `ps:webhook:{id}` the delivery.

Source: Standard Webhooks 1.0.0 (headers, signature, `whsec_` secrets).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from redis.client import Pipeline


DUE_KEY = "ps:webhooks"
RETRY_DELAYS_S = (5, 30, 120, 600, 3600, 6 * 3600)
"""Seconds from each failure to the next attempt; after the last one the delivery is given up."""
JITTER = 0.2
"""Share by which a delay is varied: deliveries that failed together do not come back together."""
SECRET_PREFIX = "whsec_"  # noqa: S105  (the prefix itself is no secret)
SECRET_BYTES = (24, 64)
"""Least and greatest length of a secret."""


class Delivery(BaseModel):
    """One message to a receiver, as its record has it; times are seconds since 1970 by the Redis server's clock."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    """Stays the same however often it is sent."""
    tenant: str
    """Whose secret signs it."""
    url: str
    body: str
    """JSON: what the job was when it ended."""
    due: float
    """When it is to be sent next; while it is being sent, until when that may last."""
    attempt: int = 0
    """Times it was taken to be sent; the number of the attempt that may settle it."""

    def to_hash(self) -> dict[str, str]:
        """The fields of the record, each as JSON."""
        return {name: json.dumps(value) for name, value in self.model_dump(mode="json").items()}

    @classmethod
    def from_hash(cls, fields: dict[str, str]) -> Self:
        """Undo `to_hash`."""
        return cls.model_validate({name: json.loads(value) for name, value in fields.items()})


def delivery_key(delivery_id: str) -> str:
    """The Redis key of a delivery."""
    return f"ps:webhook:{delivery_id}"


def write_delivery(pipeline: Pipeline, delivery: Delivery) -> None:
    """Queue the commands that write a delivery and when it is due."""
    fields: dict[Any, Any] = delivery.to_hash()
    pipeline.hset(delivery_key(delivery.id), mapping=fields)
    pipeline.zadd(DUE_KEY, {delivery.id: delivery.due})


def remove_delivery(pipeline: Pipeline, delivery: Delivery) -> None:
    """Queue the commands that forget a delivery."""
    pipeline.delete(delivery_key(delivery.id))
    pipeline.zrem(DUE_KEY, delivery.id)


def retry_delay_s(attempt: int, chance: float | None = None) -> float | None:
    """Seconds until a delivery whose attempt (1, 2 …) failed is sent again; none: it is given up.

    Args:
        attempt: Which one failed.
        chance: Where in its range the delay lies, 0 … 1; none: anywhere.

    >>> retry_delay_s(1, 0.5), retry_delay_s(7)
    (5.0, None)
    """
    if attempt > len(RETRY_DELAYS_S):
        return None
    chance = random.random() if chance is None else chance  # noqa: S311  (nothing secret)
    return RETRY_DELAYS_S[attempt - 1] * (1 + JITTER * (2 * chance - 1))


def parse_secret(text: str) -> bytes:
    """Read a secret, `whsec_` and then base64, as receivers' libraries take it.

    Raises:
        ValueError: It is something else, or too short.
    """
    least, most = SECRET_BYTES
    reason = f"wanted {SECRET_PREFIX} and the base64 of {least} to {most} random bytes"
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise ValueError(reason) from error
    if not text.startswith(SECRET_PREFIX) or not least <= len(secret) <= most:
        raise ValueError(reason)
    return secret


def sign(secret: bytes, delivery: Delivery, timestamp: int) -> dict[str, str]:
    """The headers that let a receiver check who sent a delivery, and when.

    Args:
        secret: What only we and the receiver know.
        delivery: What is sent.
        timestamp: When it is sent, seconds since 1970: receivers refuse what is too old.
    """
    signed = f"{delivery.id}.{timestamp}.{delivery.body}".encode()
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {
        "Webhook-Id": delivery.id,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": f"v1,{signature}",
    }
