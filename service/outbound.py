"""Calls to addresses that somebody else chose: only to the public internet, and only where the check looked.

In the flow: a request's `webhook` → **check_url** … webhook sender → **GuardedTransport** → the owner's receiver.

Without this, whoever can name an address could have the service call what only the service can reach: a cloud's
metadata, a database, itself ("server-side request forgery"). An address is checked twice: its text when the request is
made, and what its host resolves to when it is called. The connection then goes to exactly the checked numbers, under
the host's own name for TLS and `Host`, so that a name that resolves differently the second time gains nothing.

Source: IANA's special-purpose address registries (RFC 6890), as Python's `ipaddress` has them; RFC 6052 (NAT64).
"""

from __future__ import annotations

import re
import socket
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

import httpx
from anyio import CapacityLimiter, to_thread

from service.errors import InvalidRequestError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

MAX_URL_LENGTH = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}
FIRST_FREE_PORT = 1024
"""Ports below belong to other protocols (SMTP, SSH …), which must not be sent what looks like a command of theirs."""
MAX_TRIED_ADDRESSES = 3

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = (
    IPv4Network("192.88.99.0/24"),  # relays of 6to4, and
    IPv6Network("2002::/16"),  # 6to4 itself: an IPv4 address that somebody else's router unpacks
    IPv6Network("3fff::/20"),  # documentation (RFC 9637); `ipaddress` learnt it late
)
"""What `is_global` lets through."""
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_ENDS_IN_NUMBER = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)$")
_LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa")

Address = IPv4Address | IPv6Address


def is_public(address: Address) -> bool:
    """Whether an address is one single machine's on the public internet.

    >>> is_public(ip_address("8.8.8.8")), is_public(ip_address("::ffff:10.0.0.1"))
    (True, False)
    """
    if isinstance(address, IPv6Address):
        embedded = _embedded_ipv4(address)
        if embedded:
            return is_public(embedded)
        if address not in _GLOBAL_UNICAST:
            return False
    special = address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not special


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a connection to this one ends at, if it is a way of writing one."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def check_url(text: str, *, allow_private: bool) -> str:
    """Refuse an address that is not to be called, as far as its text tells.

    Args:
        text: The address as it came with a request.
        allow_private: Allow http, private addresses and every port.

    Returns:
        The address, in its canonical spelling and without a fragment.

    Raises:
        InvalidRequestError: It is no address, or none that is called.
    """
    url = _parse(text)
    schemes = ("https", "http") if allow_private else ("https",)
    if url.scheme not in schemes or not url.host:
        raise InvalidRequestError(f"wanted an address that begins with {schemes[0]}:// and a host")
    if url.userinfo:
        raise InvalidRequestError("wanted an address without user name and password; deliveries are signed")
    _check_host(_ascii_host(url), allow_private=allow_private)
    _check_port(url, allow_private=allow_private)
    return str(url.copy_with(fragment=None))


def _parse(text: str) -> httpx.URL:
    if len(text) > MAX_URL_LENGTH:
        raise InvalidRequestError(f"wanted an address of at most {MAX_URL_LENGTH} characters")
    try:
        return httpx.URL(text)
    except httpx.InvalidURL as error:
        raise InvalidRequestError("wanted an address as https://example.com/path", detail=str(error)) from error


def _check_host(host: str, *, allow_private: bool) -> None:
    literal = _literal(host)
    if literal is None and (_ENDS_IN_NUMBER.search(host) or not _HOST_NAME.fullmatch(host)):
        raise InvalidRequestError(f"{host[:100]!r} is no host")  # a resolver may read 0x7f.1 as 127.0.0.1
    if allow_private:
        return
    if literal is not None and not is_public(literal):
        raise InvalidRequestError(f"the address {host} is not on the public internet")
    local = any(host == name or host.endswith(f".{name}") for name in _LOCAL_NAMES)
    if literal is None and (local or "." not in host):
        raise InvalidRequestError("wanted the full name of a host on the public internet")


def _check_port(url: httpx.URL, *, allow_private: bool) -> None:
    port, usual = _port(url), DEFAULT_PORTS[url.scheme]
    if not (port == usual or (1 if allow_private else FIRST_FREE_PORT) <= port <= 65535):
        raise InvalidRequestError(f"wanted port {usual}, or one from {FIRST_FREE_PORT} to 65535")


def _ascii_host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").rstrip(".").lower()


def _port(url: httpx.URL) -> int:
    return DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host) if "%" not in host else None  # %: an IPv6 scope, which is this machine's own affair
    except ValueError:
        return None


async def resolve(host: str, port: int) -> list[str]:
    """A host's addresses, as the system's resolver has them; a literal address is its own."""
    # A thread of its own, left behind when time is up: in a shared pool a few slow names would hold up everybody's.
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests, each over a connection of its own to an address that has been checked.

    A host is resolved once per request, and refused if *any* of its addresses is not public.

    Args:
        allow_private: Whether addresses other than public ones may be called too.
        resolver: Where addresses come from.
        tls: How certificates are checked; none: against the public authorities, or those of `SSL_CERT_FILE`.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolver: Callable[[str, int], Awaitable[list[str]]] = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        # No connection is kept: the pool knows it by its numeric address, and would hand one host's to another.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or httpx.create_ssl_context(), limits=limits, trust_env=False
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check, connect and send.

        Raises:
            InvalidRequestError: The address is not to be called.
            httpx.TransportError: It cannot be reached.
        """
        check_url(str(request.url), allow_private=self._allow_private)
        host = _ascii_host(request.url)
        addresses = await self._checked_addresses(host, _port(request.url))
        failed: httpx.TransportError = httpx.ConnectError(f"{host} has no address")
        for address in addresses[:MAX_TRIED_ADDRESSES]:
            try:
                return await self._transport.handle_async_request(_pin(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing was sent: the next one may be tried
                failed = error
        raise failed

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def _checked_addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that no resolver takes
            raise httpx.ConnectError(f"{host} cannot be resolved: {error}") from error
        if not self._allow_private:
            for address in addresses:
                literal = _literal(address)
                if literal is None or not is_public(literal):
                    raise InvalidRequestError(f"{host} is not on the public internet", detail=address)
        return addresses


def _pin(request: httpx.Request, host: str, address: str) -> httpx.Request:
    """The same request, to a numeric address; its `Host` and the name in the certificate stay."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
