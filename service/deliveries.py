"""Deliveries that are still to be made: each is one process's own while it is being sent, and lost by no crash.

In the flow: queue_delivery → **claim_due** → send → **remove or postpone**.

As with jobs, every change is compare-and-set, and the times are the Redis server's own. A process that takes a delivery
moves its due time past the longest that sending may last: if it dies, the delivery is simply due again.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from redis.exceptions import WatchError

from service.job_records import RUNNING_KEY, batch_key, describe_batch, waiting_key
from service.redis_access import redis_errors
from service.schemas import BatchEndSchema
from service.webhooks import DUE_KEY, Delivery, batch_deliveries, delivery_key, remove_delivery, write_delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.client import Pipeline

    from service.jobs import JobStore

_LOOKED_AT = 1000
"""Due deliveries that are looked at for owners that have room."""


class Rooms:
    """Room for so many deliveries at a time: one owner's receivers that hang must not hold up the others'.

    Args:
        whole: For all owners together.
        each: For one owner, at most.
        taken: The owners of those under way, one entry for each delivery.
    """

    def __init__(self, whole: int, each: int, taken: Iterable[str] = ()) -> None:
        self._taken = Counter(json.dumps(tenant) for tenant in taken)  # as records have it
        self._left, self._each = whole - self._taken.total(), each

    @property
    def left(self) -> int:
        """For how many more there is room."""
        return self._left

    def take(self, tenant: str) -> bool:
        """Whether there is room for one more of an owner's, named as JSON; it is taken then."""
        if self._left <= 0 or self._taken[tenant] >= self._each:
            return False
        self._left -= 1
        self._taken[tenant] += 1
        return True


class DeliveryStore:
    """All deliveries; every method raises BrokerUnavailableError when Redis cannot be reached."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._redis = jobs.redis
        self._now = jobs.now

    def claim_due(self, rooms: Rooms, lease_s: float) -> list[Delivery]:
        """Take deliveries that are due; no other process gets the same ones before their lease is over.

        Args:
            rooms: How many are wanted, and of whom.
            lease_s: Seconds that they are ours.
        """

        def take(pipeline: Pipeline, delivery: Delivery, now: float) -> Delivery | None:
            if delivery.due > now:
                return None
            taken = delivery.model_copy(update={"due": now + lease_s, "attempt": delivery.attempt + 1})
            write_delivery(pipeline, taken)
            return taken

        claimed = [self._change(delivery_id, take) for delivery_id in self._due(rooms)]
        return [delivery for delivery in claimed if delivery]

    def _due(self, rooms: Rooms) -> list[str]:
        """Ids of what is due, the longest first, of owners that have room."""
        with redis_errors():
            due: list[Any] = self._redis.zrange(DUE_KEY, "-inf", self._now(), byscore=True, offset=0, num=_LOOKED_AT)
            with self._redis.pipeline(transaction=False) as pipeline:
                for delivery_id in due:
                    pipeline.hget(delivery_key(delivery_id), "tenant")
                tenants = pipeline.execute()
        return [str(delivery_id) for delivery_id, tenant in zip(due, tenants, strict=True) if rooms.take(str(tenant))]

    def conclude_batch(self, entry: Delivery) -> int:
        """Look whether a batch has ended, and if so replace its entry by what is to be sent.

        If it has not, the entry is forgotten: the next of its jobs that ends writes it anew.

        Returns:
            How many messages there are to be sent.
        """
        batch = str(entry.batch)
        jobs = [] if self._is_busy(entry.tenant, batch) else self._jobs.batch(entry.tenant, batch)
        ended = bool(jobs) and all(job.finished for job in jobs)
        messages: list[Delivery] = []

        def replace(pipeline: Pipeline, current: Delivery, now: float) -> Delivery | None:
            if current != entry:
                return None
            messages.clear()
            if ended:
                end = BatchEndSchema(**describe_batch(batch, jobs).model_dump(), jobs=[job.id for job in jobs])
                messages.extend(batch_deliveries(entry.tenant, batch, jobs, end, now))
            remove_delivery(pipeline, current)
            for message in messages:
                write_delivery(pipeline, message)
            return current

        return len(messages) if self._change(entry.id, replace) else 0

    def _is_busy(self, tenant: str, batch: str) -> bool:
        """Whether a batch certainly goes on: asked first, since that is much cheaper than to read its jobs."""
        with redis_errors():
            return any(
                self._redis.zintercard(2, [batch_key(tenant, batch), busy], limit=1)
                for busy in (waiting_key(tenant), RUNNING_KEY)
            )

    def remove(self, delivery: Delivery) -> None:
        """Forget a delivery of ours: it has arrived, or is given up."""

        def forget(pipeline: Pipeline, current: Delivery, _now: float) -> Delivery | None:
            if current != delivery:
                return None
            remove_delivery(pipeline, current)
            return current

        self._change(delivery.id, forget)

    def erase_all(self, tenant: str) -> int:
        """Forget all deliveries of a tenant, whoever is sending them; returns how many there were."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            ids: list[Any] = self._redis.zrange(DUE_KEY, 0, -1)
            found = [each for each in ids if self._redis.hget(delivery_key(each), "tenant") == json.dumps(tenant)]
            for delivery_id in found:
                pipeline.delete(delivery_key(delivery_id))
                pipeline.zrem(DUE_KEY, delivery_id)
            pipeline.execute()
        return len(found)

    def postpone(self, delivery: Delivery, delay_s: float) -> None:
        """Let a delivery of ours be tried again later."""

        def delay(pipeline: Pipeline, current: Delivery, now: float) -> Delivery | None:
            if current != delivery:
                return None
            postponed = current.model_copy(update={"due": now + delay_s})
            write_delivery(pipeline, postponed)
            return postponed

        self._change(delivery.id, delay)

    def count(self) -> int:
        """Deliveries that are still to be made."""
        with redis_errors():
            return self._redis.zcard(DUE_KEY)

    def _change(
        self, delivery_id: str, change: Callable[[Pipeline, Delivery, float], Delivery | None]
    ) -> Delivery | None:
        """Compare and set; None where `change` left the record alone, or it is gone."""
        key = delivery_key(delivery_id)
        with redis_errors(), self._redis.pipeline() as pipeline:
            while True:
                pipeline.watch(key)  # type: ignore[no-untyped-call]
                fields: dict[Any, Any] = self._redis.hgetall(key)
                if not fields:
                    return None
                pipeline.multi()
                changed = change(pipeline, Delivery.from_hash(fields), self._now())
                if changed is None:
                    return None
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                return changed
