"""Tenants and their API keys: who is asking.

In the flow: request → **tenant** → admission → upload → …; `photosite keys` makes and revokes the keys.

A key is `ps_ID_SECRET`; only the SHA-256 of all of it is kept (the secret has 256 random bits, so that no slow hash is
needed). Keys in Redis: `ps:key:{id}` a hash, which expires once the key has a successor, `ps:keys` the ids of all,
`ps:tenants` the names of all tenants, `ps:leaving` the names of those that are being deleted (`erasure.py`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

from service.errors import AuthenticationError, ConflictError, NotFoundError
from service.job_records import LOCAL_TENANT
from service.redis_access import redis_errors
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

KEYS_KEY = "ps:keys"
TENANTS_KEY = "ps:tenants"
LEAVING_KEY = "ps:leaving"
Scope = Literal["read", "denoise", "train", "models"]
"""What a key may be for: to look and fetch; to hand in raws; captures, fine-tuning, validation; to change models."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_KEY = re.compile(r"ps_([0-9a-f]{12})_[\w-]{43}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """What is known of a key; not the key itself."""

    id: str
    tenant: str
    label: str
    """What its maker called it."""
    created_at: datetime
    scopes: tuple[str, ...] = SCOPES
    """What it may be used for."""
    expires_at: datetime | None = None
    """When it becomes worthless; none: not by itself."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "id": self.id,
            "tenant": self.tenant,
            "label": self.label,
            "scopes": list(self.scopes),
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at and self.expires_at.isoformat(),
        }


class Access(NamedTuple):
    """What a good key gives."""

    tenant: str
    """As whom."""
    scopes: frozenset[str]
    """For what."""


class Tenants:
    """All tenants and keys.

    Every method raises BrokerUnavailableError when Redis cannot be reached.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def create_key(self, tenant: str, label: str = "", scopes: Sequence[str] = SCOPES) -> tuple[ApiKey, str]:
        """Make a key; a tenant exists from its first key on.

        Args:
            tenant: Whose.
            label: What it is for, in words.
            scopes: What it may be used for.

        Returns:
            What is kept of it, and the key itself, which cannot be shown again.

        Raises:
            ConfigError: A tenant cannot be called that, or there is no such scope.
            ConflictError: The last one of that name is not completely deleted yet.
        """
        check_tenant(tenant)
        if not scopes or set(scopes) - set(SCOPES):
            raise ConfigError(f"scopes: {', '.join(scopes) or 'none'}: some of {', '.join(SCOPES)} are wanted")
        if tenant in self.leaving():
            raise ConflictError(f"{tenant} is being deleted; if that was interrupted, delete it again")
        secret = f"ps_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
        with redis_errors(), self._redis.pipeline() as pipeline:
            key = ApiKey(id=id_of_key(secret), tenant=tenant, label=label, created_at=self._now(), scopes=tuple(scopes))
            fields: dict[Any, Any] = {
                "id": key.id,
                "tenant": tenant,
                "label": label,
                "scopes": ",".join(scopes),
                "created_at": key.created_at.isoformat(),
                "sha256": _digest(secret),
            }
            pipeline.hset(_record(key.id), mapping=fields)
            pipeline.sadd(KEYS_KEY, key.id)
            pipeline.sadd(TENANTS_KEY, tenant)
            pipeline.execute()
        return key, secret

    def keys(self) -> list[ApiKey]:
        """All keys that are still worth something, by tenant and age."""
        with redis_errors():
            ids = cast("set[str]", self._redis.smembers(KEYS_KEY))
            found = [key for key_id in ids if (key := self._read(key_id))]
        return sorted(found, key=lambda key: (key.tenant, key.created_at, key.id))

    def _read(self, key_id: str) -> ApiKey | None:
        fields = cast("dict[str, str]", self._redis.hgetall(_record(key_id)))
        if not fields:
            self._redis.srem(KEYS_KEY, key_id)  # it has expired
            return None
        left_s = self._redis.ttl(_record(key_id))
        return ApiKey(
            id=fields["id"],
            tenant=fields["tenant"],
            label=fields["label"],
            created_at=datetime.fromisoformat(fields["created_at"]),
            scopes=_scopes(fields.get("scopes")),
            expires_at=self._now() + timedelta(seconds=left_s) if left_s >= 0 else None,
        )

    def _now(self) -> datetime:
        seconds, _ = self._redis.time()
        return datetime.fromtimestamp(seconds, UTC)

    def rotate(self, key_id: str, grace_s: int) -> tuple[ApiKey, str]:
        """Make a key's successor, for the same tenant and the same scopes; both are good for a while.

        Args:
            key_id: Which key is to be replaced.
            grace_s: Seconds for which it is still good; never longer than it would have been.

        Returns:
            As `create_key`.

        Raises:
            NotFoundError: There is no such key.
            ConflictError: Its tenant is being deleted.
        """
        with redis_errors():
            old = self._read(key_id)
        if old is None:
            raise NotFoundError(f"there is no key {key_id}")
        made = self.create_key(old.tenant, old.label, old.scopes)
        if grace_s <= 0:
            self.revoke(key_id)
        else:
            with redis_errors():
                self._redis.expire(_record(key_id), grace_s, lt=True)
        return made

    def revoke(self, key_id: str) -> None:
        """Make a key worthless, from the next request on.

        Raises:
            NotFoundError: There is no such key.
        """
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.delete(_record(key_id))
            pipeline.srem(KEYS_KEY, key_id)
            if not pipeline.execute()[0]:
                raise NotFoundError(f"there is no key {key_id}")

    def names(self) -> list[str]:
        """All tenants that have had a key and were not deleted."""
        with redis_errors():
            return sorted(cast("set[str]", self._redis.smembers(TENANTS_KEY)))

    def exists(self, tenant: str) -> bool:
        """Whether a tenant is one of ours, and not about to be deleted; who needs no key always is."""
        with redis_errors():
            return tenant == LOCAL_TENANT or bool(self._redis.sismember(TENANTS_KEY, tenant))

    def leaving(self) -> list[str]:
        """Tenants of which something may be left to erase."""
        with redis_errors():
            return sorted(cast("set[str]", self._redis.smembers(LEAVING_KEY)))

    def close(self, tenant: str) -> int:
        """Begin a tenant's end: strike it off the list and revoke all its keys; returns how many there were."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.sadd(LEAVING_KEY, tenant)
            pipeline.srem(TENANTS_KEY, tenant)
            pipeline.execute()
        revoked = [key.id for key in self.keys() if key.tenant == tenant]
        for key_id in revoked:
            with suppress(NotFoundError):  # somebody else revoked it
                self.revoke(key_id)
        return len(revoked)

    def forget(self, tenant: str) -> None:
        """End what `close` began: nothing of it is left."""
        with redis_errors():
            self._redis.srem(LEAVING_KEY, tenant)

    def authenticate(self, secret: str) -> Access:
        """What a key gives.

        Raises:
            AuthenticationError: It is none of ours, or was revoked.
        """
        if _KEY.fullmatch(secret):
            with redis_errors():
                fields = self._redis.hmget(_record(id_of_key(secret)), ["tenant", "scopes", "sha256"])
            tenant, scopes, digest = cast("list[str | None]", fields)
            if tenant and digest and hmac.compare_digest(digest, _digest(secret)):
                return Access(tenant, frozenset(_scopes(scopes)))
        raise AuthenticationError("the API key is not known here; it may have been revoked")

    def access_of_key(self, key_id: str) -> Access | None:
        """What a key gives that was shown before; None if it was revoked, or has expired."""
        with redis_errors():
            tenant, scopes = cast("list[str | None]", self._redis.hmget(_record(key_id), ["tenant", "scopes"]))
        return Access(tenant, frozenset(_scopes(scopes))) if tenant else None


def id_of_key(secret: str) -> str:
    """The id of a key that `Tenants.authenticate` knows.

    >>> id_of_key("ps_0123456789ab_" + 43 * "x")
    '0123456789ab'
    """
    return secret.split("_")[1]


def check_tenant(name: str) -> None:
    """Refuse what cannot be a tenant's name: it becomes part of paths and keys.

    Raises:
        ConfigError: It cannot.
    """
    if not _TENANT.fullmatch(name):
        raise ConfigError(f"tenant: {name!r} is not one of small letters, digits and '-', at most 32")


def _scopes(kept: str | None) -> tuple[str, ...]:
    """A record's scopes; keys of older versions are for everything."""
    return SCOPES if kept is None else tuple(kept.split(","))


def _record(key_id: str) -> str:
    return f"ps:key:{key_id}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
