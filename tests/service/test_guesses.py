"""Wrong keys: a few are an accident, many are refused unseen, and those who have the right one do not notice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from starlette.requests import Request

from service.api.guesses import MOST_REMEMBERED, SPAN_S, Guesses, origin_of
from service.errors import AuthenticationError, QuotaExceededError


@dataclass
class Door:
    """One key fits; counts who asks, and has a clock of its own."""

    guesses: Guesses = field(init=False)
    now: float = 0
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.guesses = Guesses(3, lambda: self.now)

    def check(self, key: str) -> str:
        """Whose key it is."""
        self.asked.append(key)
        if key != "right":
            raise AuthenticationError("no")
        return "studio"

    def try_key(self, key: str, host: str = "192.0.2.1") -> str:
        """Present a key from an address."""
        return asyncio.run(self.guesses.judge(from_address(host), key, self.check))


def from_address(host: str | None) -> Request:
    """A request from an address."""
    return Request({"type": "http", "headers": [], "client": None if host is None else (host, 1234)})


@pytest.fixture
def door() -> Door:
    return Door()


def use_up(door: Door, host: str = "192.0.2.1") -> None:
    """Try as many wrong keys as are allowed."""
    for number in range(3):
        with pytest.raises(AuthenticationError):
            door.try_key(f"wrong {number}", host)


def test_many_wrong_keys_are_refused_unseen(door: Door) -> None:
    use_up(door)
    with pytest.raises(QuotaExceededError, match="3 wrong keys") as refused:
        door.try_key("wrong once more")
    assert refused.value.retry_after_s == SPAN_S
    assert len(door.asked) == 3


def test_after_a_minute_it_may_be_tried_again(door: Door) -> None:
    use_up(door)
    door.now = SPAN_S + 1
    assert door.try_key("right") == "studio"
    use_up(door)


def test_other_addresses_are_not_concerned(door: Door) -> None:
    use_up(door)
    assert door.try_key("right", "192.0.2.2") == "studio"


def test_a_key_that_was_right_stays_right_beside_somebody_who_guesses(door: Door) -> None:
    door.try_key("right")
    use_up(door)
    assert door.try_key("right") == "studio"


def test_a_key_that_was_right_and_was_revoked_is_a_wrong_one(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.try_key("right")
    use_up(door)

    def revoked(_key: str) -> str:
        raise AuthenticationError("revoked")

    monkeypatch.setattr(door, "check", revoked)
    with pytest.raises(AuthenticationError):
        door.try_key("right")
    with pytest.raises(QuotaExceededError):
        door.try_key("right")


def test_a_whole_ipv6_network_counts_as_one(door: Door) -> None:
    assert origin_of(from_address("2001:db8::1")) == origin_of(from_address("2001:db8::ffff:2")) == "2001:db8::/64"
    assert origin_of(from_address("2001:db8:0:1::1")) != origin_of(from_address("2001:db8::1"))
    assert origin_of(from_address(None)) == ""


def test_no_limit_is_no_limit() -> None:
    door = Door()
    door.guesses = Guesses(0)
    for _ in range(100):
        with pytest.raises(AuthenticationError):
            door.try_key("wrong")


def test_memory_is_bounded(door: Door) -> None:
    for number in range(MOST_REMEMBERED + 10):
        door.guesses._note(f"10.0.{number >> 8}.{number & 255}")
    assert len(door.guesses._wrong) == MOST_REMEMBERED
