"""The page's session over HTTP: a key once, then a cookie; nothing for another site's page; gone with its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import redis
from service_process import serve, wait_until

from service.sessions import LIFETIME_S
from service.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration

HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def guarded(server_binary: str, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that asks for keys."""
    folder = tmp_path_factory.mktemp("guarded") / "data"
    settings = {"PHOTOSITE_REDIS_SERVER": server_binary, "PHOTOSITE_MODELS_DIR": str(models_dir)}
    with serve(folder, **settings) as first, redis.Redis.from_url(first.redis_url, decode_responses=True) as client:
        Tenants(client).create_key("studio")  # or it would refuse to start
    with serve(folder, PHOTOSITE_REQUIRE_KEYS="true", **settings) as running:
        yield running


@pytest.fixture
def store(guarded: RunningService) -> Iterator[redis.Redis]:
    """The service's own Redis."""
    with redis.Redis.from_url(guarded.redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def browser(guarded: RunningService) -> Iterator[httpx.Client]:
    """A browser that has not signed in."""
    with httpx.Client(base_url=guarded.address, timeout=30, trust_env=False) as client:
        yield client


def sign_in(browser: httpx.Client, store: redis.Redis, tenant: str = "studio") -> str:
    """Sign in with a new key; gives its id."""
    key, secret = Tenants(store).create_key(tenant)
    answer = browser.post("/session", json={"key": secret}, headers=HERE)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"authenticated": True, "keys_required": True, "tenant": tenant}
    return key.id


def test_a_key_once_and_the_page_is_signed_in(browser: httpx.Client, store: redis.Redis) -> None:
    assert browser.get("/session").json() == {"authenticated": False, "keys_required": True, "tenant": None}
    assert browser.get("/jobs").status_code == 401
    sign_in(browser, store)
    assert browser.get("/jobs").json() == {"jobs": [], "next_cursor": None}
    assert browser.get("/session").json() == {"authenticated": True, "keys_required": True, "tenant": "studio"}
    assert browser.delete("/session", headers=HERE).status_code == 204
    assert browser.get("/jobs").status_code == 401


def test_the_cookie_is_out_of_reach_and_only_its_digest_is_kept(browser: httpx.Client, store: redis.Redis) -> None:
    _, secret = Tenants(store).create_key("studio")
    cookie = browser.post("/session", json={"key": secret}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert f"Max-Age={LIFETIME_S}" in cookie
    assert "Secure" not in cookie, "this is http"
    token = cookie.partition("=")[2].partition(";")[0]
    for key in store.scan_iter("*"):
        assert token not in key
        assert store.type(key) != "string" or token not in store.get(key)
    behind_proxy = browser.post("/session", json={"key": secret}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in behind_proxy.headers["set-cookie"]


def test_a_wrong_key_begins_nothing(browser: httpx.Client) -> None:
    answer = browser.post("/session", json={"key": "ps_000000000000_" + "A" * 43})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "set-cookie" not in answer.headers


def test_a_session_ends_with_its_key(browser: httpx.Client, store: redis.Redis) -> None:
    key_id = sign_in(browser, store)
    Tenants(store).revoke(key_id)
    assert browser.get("/jobs").status_code == 401
    assert browser.get("/session").json()["authenticated"] is False


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {},
    ],
)
def test_another_sites_page_changes_nothing(browser: httpx.Client, store: redis.Redis, headers: dict[str, str]) -> None:
    sign_in(browser, store)
    for method, address in (("POST", "/denoise"), ("DELETE", "/batches/roll"), ("PUT", "/models/tiny/default")):
        answer = browser.request(method, address, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), (method, address)
    assert browser.delete("/batches/roll", headers={"Origin": str(browser.base_url).rstrip("/")}).status_code == 404
    assert browser.get("/jobs", headers=headers).status_code == 200, "reading is no change"


def test_each_browser_sees_its_own_tenants(browser: httpx.Client, store: redis.Redis, raw: Path) -> None:
    sign_in(browser, store, "first")
    capture = browser.post("/captures", content=raw.read_bytes(), headers=HERE).json()
    address = f"/captures/{capture['id']}/preview"
    wait_until(lambda: browser.get(address).headers["content-type"] == "image/jpeg", 60)
    browser.cookies.clear()
    sign_in(browser, store, "second")
    assert (browser.get(address).status_code, browser.get("/jobs").json()["jobs"]) == (404, [])


def test_without_keys_nobody_signs_in_but_other_sites_stay_out(service: RunningService) -> None:
    shown = service.client.get("/session").json()
    assert shown == {"authenticated": False, "keys_required": False, "tenant": "local"}
    assert service.client.delete("/batches/none").status_code == 404
    answer = service.client.delete("/batches/none", headers={"Origin": "https://elsewhere.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
