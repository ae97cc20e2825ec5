"""Only the public internet is called, and only where the check looked."""

from __future__ import annotations

import asyncio
import socket
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING

import httpx
import pytest

from service.errors import InvalidRequestError
from service.outbound import MAX_TRIED_ADDRESSES, GuardedTransport, check_url, is_public, resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Resolver = Callable[[str, int], Awaitable[list[str]]]

PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
NOT_PUBLIC = {
    "this network": "0.0.0.0",  # noqa: S104  (an address to refuse)
    "loopback": "127.0.0.1",
    "all of loopback": "127.255.255.254",
    "private 10": "10.1.2.3",
    "private 172": "172.31.255.255",
    "private 192": "192.168.0.1",
    "carrier's NAT": "100.64.0.1",
    "a cloud's metadata": "169.254.169.254",
    "protocol assignments": "192.0.0.1",
    "6to4 relay": "192.88.99.1",
    "benchmarks": "198.18.0.1",
    "documentation": "203.0.113.7",
    "multicast": "224.0.0.1",
    "multicast with a wide scope": "239.255.255.250",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 unspecified": "::",
    "IPv6 loopback": "::1",
    "IPv6 link-local": "fe80::1",
    "IPv6 unique local": "fd00::1",
    "IPv6 site-local": "fec0::1",
    "IPv6 multicast": "ff02::1",
    "IPv6 global multicast": "ff0e::1",
    "IPv6 documentation": "2001:db8::1",
    "IPv6 documentation, the newer": "3fff::1",
    "IPv6 discard": "100::1",
    "IPv6 segment routing": "5f00::1",
    "Teredo": "2001:0:7f00:1::",
    "6to4 of loopback": "2002:7f00:1::",
    "6to4 of a public address": "2002:808:808::",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped private": "::ffff:192.168.0.1",
    "compatible loopback": "::127.0.0.1",
    "compatible public": "::8.8.8.8",
    "NAT64 of loopback": "64:ff9b::127.0.0.1",
    "NAT64 of metadata": "64:ff9b::169.254.169.254",
    "NAT64 of multicast": "64:ff9b::224.0.0.1",
    "local NAT64": "64:ff9b:1::8.8.8.8",
}
REFUSED = {
    "no address": "hello",
    "no scheme": "//example.com/",
    "http": "http://example.com/",
    "another scheme": "ftp://example.com/",
    "a script": "javascript:alert(1)",
    "a file": "file:///etc/passwd",
    "no host": "https:///path",
    "user and password": "https://user:secret@example.com/",
    "user": "https://user@example.com/",
    "a host that hides behind another": "https://example.com\\@10.0.0.1/",
    "a port of another protocol": "https://example.com:25/",
    "http's port under https": "https://example.com:80/",
    "port 0": "https://example.com:0/",
    "a port that is none": "https://example.com:65536/",
    "loopback": "https://127.0.0.1/",
    "loopback with a dot": "https://127.0.0.1./",
    "metadata": "https://169.254.169.254/latest/meta-data/",
    "IPv6 loopback": "https://[::1]/",
    "IPv6 mapped loopback": "https://[::ffff:127.0.0.1]/",
    "IPv6 with a scope": "https://[fe80::1%25eth0]/",
    "loopback in two numbers": "https://127.1/",
    "loopback in one number": "https://2130706433/",
    "loopback in hexadecimals": "https://0x7f000001/",
    "loopback in octal": "https://0177.0.0.1/",
    "loopback in escapes": "https://%31%32%37.0.0.1/",
    "loopback in circled digits": "https://①②⑦.⓪.⓪.①/",
    "this machine's name": "https://localhost/",
    "this machine's name in capitals": "https://LOCALHOST./",
    "a name below it": "https://a.localhost/",
    "a name of the local network": "https://printer.local/",
    "a cloud's inner name": "https://metadata.google.internal/",
    "a name without a domain": "https://redis/",
    "a label that is too long": f"https://{'a' * 64}.com/",
    "a host that is too long": f"https://{'a.' * 130}com/",
    "a host with an empty label": "https://a..com/",
    "a control character": "https://example.com/\n",
    "too long": "https://example.com/" + "a" * 2000,
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC.values(), ids=NOT_PUBLIC)
def test_every_other_kind_of_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
def test_an_address_that_must_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_url(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://example.com/hook?job=1&x=%20", "https://example.com/hook?job=1&x=%20"),
        ("HTTPS://Example.COM:443/a b#part", "https://example.com/a%20b"),
        ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700::1111]:4433/", "https://[2606:4700::1111]:4433/"),
    ],
)
def test_a_public_address_is_taken_in_its_canonical_spelling(url: str, canonical: str) -> None:
    assert check_url(url, allow_private=False) == canonical


@pytest.mark.parametrize("url", ["http://127.0.0.1:81/", "http://redis:8/", "https://[::1]/", "http://a.local/"])
def test_an_intranet_may_be_allowed(url: str) -> None:
    assert check_url(url, allow_private=True) == url
    with pytest.raises(InvalidRequestError):
        check_url(url, allow_private=False)


@pytest.mark.parametrize("url", ["ftp://10.0.0.1/", "http://a:b@10.0.0.1/", "http://10.0.0.1:0/", "http://0x7f.1/"])
def test_an_intranet_does_not_allow_everything(url: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_url(url, allow_private=True)


class Wire(httpx.AsyncBaseTransport):
    """Takes what would go out on the network; addresses in `dead` cannot be connected to."""

    def __init__(self, *dead: str) -> None:
        self._dead = dead
        self.sent: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Note a request, or fail to connect."""
        self.sent.append(request)
        if request.url.host in self._dead:
            raise httpx.ConnectError("refused")
        return httpx.Response(200)


class Names:
    """A resolver whose answers change from one question to the next; the last goes on for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        """The next answer."""
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def post() -> Callable[..., httpx.Response]:
    def send(url: str, names: Resolver, wire: Wire, *, allow_private: bool = False) -> httpx.Response:
        async def call() -> httpx.Response:
            guarded = GuardedTransport(allow_private=allow_private, resolver=names)
            await guarded._transport.aclose()
            guarded._transport = wire  # type: ignore[assignment]
            async with httpx.AsyncClient(transport=guarded, follow_redirects=True) as client:
                return await client.post(url, content=b"{}")

        return asyncio.run(call())

    return send


def test_the_connection_goes_to_the_checked_number_under_the_hosts_own_name(post: Callable[..., object]) -> None:
    names, wire = Names(["93.184.215.14"], ["127.0.0.1"]), Wire()
    post("https://Example.com:8443/hook?a=1", names, wire)
    (sent,) = wire.sent
    assert str(sent.url) == "https://93.184.215.14:8443/hook?a=1"
    assert sent.headers["host"] == "example.com:8443"
    assert sent.extensions["sni_hostname"] == "example.com"
    assert names.asked == [("example.com", 8443)], "asked once: a second answer could be another"


def test_a_name_that_resolves_differently_the_next_time_is_refused_then(post: Callable[..., object]) -> None:
    names, wire = Names(["93.184.215.14"], ["127.0.0.1"]), Wire()
    post("https://example.com/", names, wire)
    with pytest.raises(InvalidRequestError, match="not on the public internet"):
        post("https://example.com/", names, wire)
    assert [sent.url.host for sent in wire.sent] == ["93.184.215.14"]


@pytest.mark.parametrize(
    "answer", [["10.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::1", "93.184.215.14"], ["fe80::1%eth0"], ["nonsense"]]
)
def test_one_address_that_is_not_public_is_one_too_many(answer: list[str], post: Callable[..., object]) -> None:
    wire = Wire()
    with pytest.raises(InvalidRequestError):
        post("https://example.com/", Names(answer), wire)
    assert wire.sent == []


def test_the_text_is_checked_again_when_it_is_called(post: Callable[..., object]) -> None:
    names, wire = Names(["93.184.215.14"]), Wire()
    for url in ("http://example.com/", "https://example.com:22/", "https://127.0.0.1/"):
        with pytest.raises(InvalidRequestError):
            post(url, names, wire)
    assert (names.asked, wire.sent) == ([], [])


def test_a_redirect_is_checked_like_any_other_address(post: Callable[..., object]) -> None:
    class Redirecting(Wire):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            """Send whoever comes to a private address."""
            self.sent.append(request)
            return httpx.Response(307, headers={"Location": "https://10.0.0.1/admin"})

    wire = Redirecting()
    with pytest.raises(InvalidRequestError):
        post("https://example.com/", Names(["93.184.215.14"]), wire)
    assert len(wire.sent) == 1


def test_the_next_address_is_tried_where_nobody_answers(post: Callable[..., httpx.Response]) -> None:
    wire = Wire("2606:4700::1111")
    assert post("https://example.com/", Names(["2606:4700::1111", "1.1.1.1"]), wire).status_code == 200
    assert [sent.url.host for sent in wire.sent] == ["2606:4700::1111", "1.1.1.1"]
    assert [sent.read() for sent in wire.sent] == [b"{}", b"{}"]


def test_a_host_with_many_dead_addresses_is_given_up_soon(post: Callable[..., object]) -> None:
    addresses = [f"1.1.1.{number}" for number in range(1, 10)]
    wire = Wire(*addresses)
    with pytest.raises(httpx.ConnectError):
        post("https://example.com/", Names(addresses), wire)
    assert len(wire.sent) == MAX_TRIED_ADDRESSES


def test_a_name_that_does_not_resolve_cannot_be_connected_to(post: Callable[..., object]) -> None:
    async def know_nobody(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(httpx.ConnectError, match="Name or service not known"):
        post("https://example.com/", know_nobody, Wire())
    with pytest.raises(httpx.ConnectError, match="no address"):
        post("https://example.com/", Names([]), Wire())


def test_the_systems_resolver_is_asked() -> None:
    assert "127.0.0.1" in asyncio.run(resolve("localhost", 80))
    assert asyncio.run(resolve("8.8.8.8", 443)) == ["8.8.8.8"]
    assert asyncio.run(resolve("::1", 443)) == ["::1"]


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    released, begun = threading.Event(), threading.Event()

    def hang(*_arguments: object, **_options: object) -> list[object]:
        begun.set()
        released.wait(30)
        return []

    async def give_up() -> None:
        asked = asyncio.create_task(resolve("slow.example", 443))
        await asyncio.to_thread(begun.wait, 30)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert not released.is_set()
        released.set()

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    asyncio.run(give_up())


def test_an_allowed_intranet_is_called(post: Callable[..., object]) -> None:
    wire = Wire()
    post("http://printer/", Names(["192.168.0.9"]), wire, allow_private=True)
    assert [str(sent.url) for sent in wire.sent] == ["http://192.168.0.9/"]
    assert wire.sent[0].headers["host"] == "printer"
