"""Webhooks: how they are signed, and when they are sent again."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks import JITTER, RETRY_DELAYS_S, Delivery, parse_secret, retry_delay_s, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  (the one of the specification's examples)


def make_delivery(**changes: object) -> Delivery:
    """A delivery as it is first written."""
    fields = {"id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "tenant": "a", "url": "https://example.com/", "due": 1.5}
    return Delivery.model_validate({**fields, "body": '{"test": 2432232314}', **changes})


def test_a_delivery_comes_back_as_it_was_written() -> None:
    delivery = make_delivery(body='{"name": "Grüße"}', attempt=3)
    assert Delivery.from_hash(delivery.to_hash()) == delivery


def test_the_signature_is_that_of_the_specification() -> None:
    # The same by hand:  printf 'ID.TIMESTAMP.BODY' | openssl dgst -sha256 -mac HMAC -macopt hexkey:… -binary | base64
    assert sign(parse_secret(SECRET), make_delivery(), 1614265330) == {
        "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "Webhook-Timestamp": "1614265330",
        "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def transcribed_hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 as RFC 2104, section 2, writes it down."""
    padded = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


@given(secret=st.binary(min_size=24, max_size=64), body=st.text(), timestamp=st.integers(0, 2**40))
def test_a_signature_is_what_the_rfc_computes(secret: bytes, body: str, timestamp: int) -> None:
    delivery = make_delivery(body=body) if body.isprintable() else make_delivery(body="{}")
    expected = transcribed_hmac(secret, f"{delivery.id}.{timestamp}.{delivery.body}".encode())
    version, _, signature = sign(secret, delivery, timestamp)["Webhook-Signature"].partition(",")
    assert (version, base64.b64decode(signature, validate=True)) == ("v1", expected)


def test_a_signature_depends_on_id_time_body_and_secret() -> None:
    secret, delivery = parse_secret(SECRET), make_delivery()
    signatures = [
        sign(*arguments)["Webhook-Signature"]
        for arguments in (
            (secret, delivery, 1),
            (secret, delivery, 2),
            (secret, make_delivery(id="other"), 1),
            (secret, make_delivery(body="{}"), 1),
            (secret[::-1], delivery, 1),
        )
    ]
    assert len(set(signatures)) == len(signatures)


@given(secret=st.binary(min_size=24, max_size=64))
def test_a_secret_is_read_as_it_was_written(secret: bytes) -> None:
    assert parse_secret("whsec_" + base64.b64encode(secret).decode()) == secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "password",
        SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_not!base64" * 3,
        SECRET + "ü",
    ],
)
def test_a_weak_or_broken_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("wanted whsec_ and the base64 of 24 to 64")):
        parse_secret(text)


def test_the_pauses_grow_and_have_an_end() -> None:
    pauses = [retry_delay_s(attempt, 0.5) for attempt in range(1, 8)]
    assert pauses == [5, 30, 120, 600, 3600, 21600, None]


@pytest.mark.parametrize("attempt", range(1, 1 + len(RETRY_DELAYS_S)))
def test_a_pause_is_varied_within_bounds(attempt: int) -> None:
    usual_s = RETRY_DELAYS_S[attempt - 1]
    assert retry_delay_s(attempt, 0) == pytest.approx(usual_s * (1 - JITTER))
    assert retry_delay_s(attempt, 1) == pytest.approx(usual_s * (1 + JITTER))
    drawn = {retry_delay_s(attempt) or 0 for _ in range(50)}
    assert len(drawn) > 1
    assert usual_s * (1 - JITTER) <= min(drawn) <= max(drawn) <= usual_s * (1 + JITTER)
