"""The line from a client to the service: one request at a time, tried again where that is safe, errors as ours.

In the flow: PhotositeClient → **Connection** → HTTP → service.

What is safe to send again: everything if no connection came about; after that only what changes nothing (GET, HEAD)
and what the server knows to be the same request (Idempotency-Key). A refusal that says when to come back (423, 429 or
503 with Retry-After: RFC 9110, section 10.2.3) is obeyed, whatever was asked. All waiting for one answer together stays
within the client's patience.
"""

from __future__ import annotations

import random
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from service.errors import ServerUnreachableError, ServiceError, error_of_code
from service.schemas import ProblemSchema
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.client.transfers import FileBody
    from training.errors import PhotositeError

FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 5.0
FIRST_CONTACT_S = 3.0
"""Patience with a server that never answered: more likely its address is wrong than that it is about to start."""
IDLE_CONNECTION_S = 2.0
"""Connections are closed after so much idleness: before the server does it, which could hit the next request."""
GATEWAY_STATUSES = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
REFUSAL_STATUSES = frozenset({HTTPStatus.LOCKED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_Schema = TypeVar("_Schema", bound=BaseModel)
_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Patience:
    """How long to go on trying: pauses that double, and an end to them."""

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self.renew()

    def renew(self) -> None:
        """Begin anew: there was a sign of life."""
        self._until = time.monotonic() + self._budget_s
        self._pause_s = FIRST_PAUSE_S

    def limit(self, budget_s: float) -> None:
        """Give up earlier."""
        self._until = min(self._until, time.monotonic() + budget_s)

    def pause(self, error: PhotositeError, retry_after_s: float | None = None) -> None:
        """Sleep before the next attempt.

        Args:
            error: Raised if no patience is left for it.
            retry_after_s: Seconds that the server asked for; none: the next of our own pauses, shortened by chance, so
                that many clients do not return at once.
        """
        pause_s = retry_after_s
        if pause_s is None:
            pause_s = self._pause_s * random.uniform(0.5, 1)  # noqa: S311  (nothing secret)
            self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)
        if time.monotonic() + pause_s > self._until:
            raise error
        time.sleep(pause_s)


class Connection:
    """Requests to one server."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = 30,
        patience_s: float = 60,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._answered = False
        self.patience_s = patience_s
        self._timeout_s = timeout_s
        self._client = httpx.Client(
            base_url=_check_url(url),
            headers=_authorisation(api_key),
            timeout=timeout_s,
            limits=httpx.Limits(keepalive_expiry=IDLE_CONNECTION_S),
            transport=transport,
        )
        self.address = str(self._client.base_url.copy_with(userinfo=b""))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        body: FileBody | None = None,
        read_timeout_s: float | None = None,
        retry: bool = True,
        whole: bool = False,
        **options: Any,
    ) -> Iterator[httpx.Response]:
        """Send a request, again where that is safe, until it is answered.

        Args:
            method: Its method.
            path: Below the server's address.
            body: What is sent along.
            read_timeout_s: Seconds of silence after which the answer counts as broken; none: the client's timeout.
            retry: Whether to try again at all.
            whole: Have the whole answer before it is handed over.
            options: More of httpx's own for the request.

        Yields:
            An answer that is no error. Unless `whole`, its body is still to come, and may break (httpx.TransportError).

        Raises:
            ServerUnreachableError: There is no answer.
            PhotositeError: The server's own error.
        """
        patience = Patience(self.patience_s if retry and (body is None or body.repeatable) else 0)
        timeout = httpx.Timeout(self._timeout_s, read=read_timeout_s or self._timeout_s)
        while True:
            content = body.pieces() if body else None
            request = self._client.build_request(method, path, content=content, timeout=timeout, **options)
            try:
                response = self._client.send(request, stream=True)
                if whole and response.is_success:
                    response.read()
            except httpx.TransportError as error:
                self._outlast(error, patience, repeatable=_is_repeatable(request))
                continue
            self._answered = True
            with closing(response):
                if response.is_success:
                    yield response
                    return
                refusal = _error_of(response)
            if not _is_passing(response, repeatable=_is_repeatable(request)):
                raise refusal
            patience.pause(refusal, parse_retry_after(response.headers.get("retry-after", "")))

    def fetch(self, schema: type[_Schema], method: str, path: str, *, retry: bool = True, **options: Any) -> _Schema:
        """Ask for something that a schema describes; arguments and errors as those of `open`."""
        with self.open(method, path, retry=retry, whole=True, **options) as response:
            return validate(schema, response.content)

    def _outlast(self, error: httpx.TransportError, patience: Patience, *, repeatable: bool) -> None:
        """Sleep before the next attempt, if there may be one."""
        unreachable = self.unreachable(error)
        if not (repeatable or isinstance(error, _NEVER_CONNECTED)):
            raise unreachable from error
        if not self._answered:
            patience.limit(FIRST_CONTACT_S)
        patience.pause(unreachable)

    def unreachable(self, error: httpx.TransportError) -> ServerUnreachableError:
        """What a broken line means to whoever waits."""
        reason = str(error) or type(error).__name__
        if isinstance(error, _NEVER_CONNECTED):
            return ServerUnreachableError(f"the server {self.address} cannot be reached: {reason}", detail=repr(error))
        return ServerUnreachableError(f"the line to the server {self.address} broke: {reason}", detail=repr(error))


def _check_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"server: {url!r} is no address: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigError(f"server: wanted an address as http://127.0.0.1:8000 (got {url!r})")
    return url


def _authorisation(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not (api_key.isascii() and api_key.isprintable()):
        raise ConfigError("api_key: the key has characters that a header cannot carry")
    return {"Authorization": f"Bearer {api_key}"}


def _is_repeatable(request: httpx.Request) -> bool:
    """Whether a request does no harm if it was taken already."""
    return request.method in {"GET", "HEAD"} or "Idempotency-Key" in request.headers


def _is_passing(response: httpx.Response, *, repeatable: bool) -> bool:
    """Whether the same request may be answered otherwise later, and does no harm if it was taken all the same."""
    told_when = parse_retry_after(response.headers.get("retry-after", "")) is not None
    refused = response.status_code in REFUSAL_STATUSES and told_when
    return refused or (repeatable and response.status_code in GATEWAY_STATUSES)


def _error_of(response: httpx.Response) -> PhotositeError:
    """The error that an answer tells of: ours, or that of something in between."""
    status = f"{response.status_code} {response.reason_phrase}".strip()
    try:
        problem = ProblemSchema.model_validate_json(response.read())
    except (ValidationError, httpx.TransportError):
        if response.status_code in GATEWAY_STATUSES:
            return ServerUnreachableError(f"{response.url.host} answered {status}, and not in the service's words")
        return ServiceError(f"{response.url.host} answered {status}; is it a Photosite server?")
    return error_of_code(problem.code, problem.detail)


def validate(schema: type[_Schema], text: str | bytes) -> _Schema:
    """Read an answer's JSON.

    Raises:
        ServiceError: It is something else.
    """
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        message = "the server's answer makes no sense here; is it a Photosite server, of the same version?"
        raise ServiceError(message, detail=str(error)) from error


def parse_retry_after(header: str) -> float | None:
    """Read `Retry-After`: seconds, or a date; none for anything else.

    >>> parse_retry_after("5")
    5.0
    """
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
