"""Listings in Redis, newest first, a page at a time.

An index is a sorted set of ids by time. A page ends with a cursor, the time and id of its last entry, so that what is
added or deleted meanwhile moves nothing. Records are read in one round trip for every chunk of ids.

In the flow: index of jobs or captures → **read_page** → HTTP listing.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from service.errors import InvalidRequestError

if TYPE_CHECKING:
    from redis import Redis

_Record = TypeVar("_Record")
_CHUNK = 200
"""Ids that are read at a time."""


@dataclass(frozen=True, slots=True)
class Page(Generic[_Record]):
    """Some records of a listing, and where the next ones begin."""

    records: list[_Record]
    cursor: str | None
    """None where there are no more."""


def read_page(
    redis: "Redis",
    index: str,
    fetch: Callable[[Sequence[str]], Sequence[_Record | None]],
    *,
    cursor: str | None,
    limit: int,
    keep: Callable[[_Record], bool] = lambda _record: True,
) -> Page[_Record]:
    """A page of a listing.

    Args:
        redis: Where it is.
        index: The sorted set's key.
        fetch: Reads the records of so many ids; None for one that is gone.
        cursor: Where an earlier page ended; None to begin.
        limit: How many records at most.
        keep: Which ones.

    Raises:
        InvalidRequestError: The cursor is none of ours.
    """
    found: list[_Record] = []
    end = ""
    for chunk in _newest_first(redis, index, cursor, min(_CHUNK, limit + 1)):
        for (record_id, created_at), record in zip(chunk, fetch([each for each, _ in chunk]), strict=True):
            if record is None or not keep(record):
                continue
            if len(found) == limit:
                return Page(found, end)
            found.append(record)
            end = _pack_cursor(created_at, record_id)
    return Page(found, None)


def _newest_first(redis: "Redis", index: str, cursor: str | None, size: int) -> Iterator[list[tuple[str, float]]]:
    """Ids and times after the cursor, in chunks."""
    until, last_id = _unpack_cursor(cursor) if cursor else (float("inf"), None)
    offset = 0
    latest: Any = "+inf" if last_id is None else until  # redis-py's types know numbers only
    while True:
        entries: list[Any] = redis.zrange(
            index, latest, "-inf", desc=True, byscore=True, offset=offset, num=size, withscores=True
        )
        if not entries:
            return
        offset += len(entries)
        # of one moment Redis sorts by id; the first ones were on the page before
        yield [(each, time) for each, time in entries if last_id is None or time != until or each < last_id]
        size = _CHUNK


def _pack_cursor(created_at: float, record_id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_at!r} {record_id}".encode()).decode().rstrip("=")


def _unpack_cursor(cursor: str) -> tuple[float, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        created_at, record_id = text.split(" ")
        return float(created_at), record_id
    except (ValueError, binascii.Error) as error:
        raise InvalidRequestError("query.cursor: it is none of this listing's") from error
