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

from training.errors import ConfigError

if TYPE_CHECKING:
    from redis.client import Pipeline

    from service.job_records import Job
    from service.schemas import BatchEndSchema
    from service.settings import Settings


DUE_KEY = "ps:webhooks"
RETRY_DELAYS_S = (5, 30, 120, 600, 3600, 6 * 3600)
"""Seconds from each failure to the next attempt; after the last one the delivery is given up."""
BATCH_QUIET_S = 2.0
"""Seconds after the end of a job of a batch before it is looked whether that was the last one."""
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
    batch: str | None = None
    """The batch that is to be looked at, to see whether it has ended; such an entry is nothing to send itself."""
    url: str = ""
    body: str = ""
    """JSON: what the job, or the batch, was when it ended."""
    due: float
    """When it is to be sent next; while it is being sent, until when that may last."""
    attempt: int = 0
    """Times it was taken to be sent."""

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


def queue_delivery(pipeline: Pipeline, job: Job, now: float) -> None:
    """Queue the commands by which a finished job's owner is told of it; to be called once, as the job ends.

    A job of a batch only has its batch looked at, `BATCH_QUIET_S` later: whoever hands in many jobs, one after the
    other, is not to hear of the end each time that the workers have caught up.
    """
    if job.batch:
        write_delivery(
            pipeline,
            Delivery(id=f"batch:{job.tenant}:{job.batch}", tenant=job.tenant, batch=job.batch, due=now + BATCH_QUIET_S),
        )
    elif job.webhook:
        write_delivery(
            pipeline,
            Delivery(
                id=f"job_{job.id}", tenant=job.tenant, url=job.webhook, body=job.to_schema().model_dump_json(), due=now
            ),
        )


def batch_deliveries(tenant: str, batch: str, jobs: list[Job], end: BatchEndSchema, now: float) -> list[Delivery]:
    """What is to be sent when all of a batch's jobs are finished: one message to each address that they name.

    The same jobs give the same ids: should the batch be looked at twice, receivers can tell. More jobs under the same
    name are another end.
    """
    urls = dict.fromkeys(job.webhook for job in jobs if job.webhook)
    body = end.model_dump_json()
    return [
        Delivery(id=f"batch_{_digest(tenant, batch, url, *end.jobs)}", tenant=tenant, url=url, body=body, due=now)
        for url in urls
    ]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


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


def format_secret(secret: bytes) -> str:
    """Undo `parse_secret`."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def secret_of(settings: Settings, tenant: str) -> bytes:
    """The secret that a tenant shares with us, made from the service's own: no tenant can sign for another.

    Raises:
        ConfigError: The service has none.
    """
    if settings.webhook_secret is None:
        raise ConfigError("PHOTOSITE_WEBHOOK_SECRET: webhooks need it")
    root = parse_secret(settings.webhook_secret.get_secret_value())
    return hmac.digest(root, f"photosite webhooks of {tenant}".encode(), hashlib.sha256)


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
