"""Redis: the connection, its errors as ours, its clock.

In the flow: beside it; under every record of jobs, captures, tenants, webhooks.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from service.errors import BrokerUnavailableError
from service.settings import Settings

Found = TypeVar("Found")

PATIENCE_POLL_S = 0.5


def connect_redis(settings: Settings) -> Redis:
    """A client that gives up within seconds; nothing is sent before its first use."""
    return Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_connect_timeout=2,
        socket_timeout=5,
        health_check_interval=25,
        # A timeout is not tried again: redis-py would do so within each new connection, too, nine times in all.
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2, supported_errors=(RedisConnectionError,)),
    )


@contextmanager
def redis_errors() -> Iterator[None]:
    """Redis' errors as ours."""
    try:
        yield
    except RedisError as error:
        raise BrokerUnavailableError("the job store cannot be reached", detail=str(error)) from error


def server_time(redis: Redis) -> float:
    """Seconds since 1970 by the server's clock: clocks of different machines do not matter."""
    seconds, microseconds = redis.time()
    return seconds + microseconds / 1e6


def patiently(act: Callable[[], Found], patience_s: float) -> Found:
    """Do something that finished work depends on, as soon as Redis is there.

    Raises:
        BrokerUnavailableError: It is not there for so long.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return act()
        except BrokerUnavailableError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(PATIENCE_POLL_S)
