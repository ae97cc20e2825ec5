"""Sessions of the page: who signed in with a key in a browser, without that keeping the key.

In the flow: key → **session** → cookie → request → tenant.

A session is a random token; only its SHA-256 is kept, with the id of the key that began it, so that it ends with that
key. Keys in Redis: `ps:session:{sha256}` the key's id, which expires.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING, cast

from service.redis_access import redis_errors
from service.tenants import id_of_key

if TYPE_CHECKING:
    from redis import Redis

    from service.tenants import Access, Tenants

LIFETIME_S = 12 * 3600
"""Seconds since its last use after which a session ends."""
RENEWAL_S = 600
"""A session is prolonged when so much of its time has gone: every write is fsynced by Redis."""
_TOKEN = re.compile(r"[\w-]{43}")


class Sessions:
    """All sessions.

    Every method raises BrokerUnavailableError when Redis cannot be reached.
    """

    def __init__(self, redis: Redis, tenants: Tenants) -> None:
        self._redis = redis
        self._tenants = tenants

    def begin(self, key: str) -> tuple[str, str]:
        """Begin a session with a key.

        Returns:
            Its token, and the tenant.

        Raises:
            AuthenticationError: The key is none of ours, or was revoked.
        """
        access, token = self._tenants.authenticate(key), secrets.token_urlsafe(32)
        with redis_errors():
            self._redis.set(_record(token), id_of_key(key), ex=LIFETIME_S)
        return token, access.tenant

    def access_of(self, token: str) -> Access | None:
        """Whose session it is, and what its key is for; None if it has ended, or its key was revoked."""
        if not _TOKEN.fullmatch(token):
            return None
        with redis_errors():
            key_id = cast("str | None", self._redis.get(_record(token)))
            if key_id is None:
                return None
            access = self._tenants.access_of_key(key_id)
            if access is None:
                self._redis.delete(_record(token))
            elif self._redis.ttl(_record(token)) < LIFETIME_S - RENEWAL_S:
                self._redis.expire(_record(token), LIFETIME_S)
        return access

    def end(self, token: str) -> None:
        """End a session; harmless if there is none."""
        with redis_errors():
            self._redis.delete(_record(token))


def _record(token: str) -> str:
    return f"ps:session:{hashlib.sha256(token.encode()).hexdigest()}"
