"""JSON bodies, read strictly: what two parsers could read as two things is refused.

In the flow: request → **body** → schema → route.

Source: RFC 8259, "The JavaScript Object Notation (JSON) Data Interchange Format", sections 4, 6, 8 and 9.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from service.api.dependencies import get_services
from service.api.uploads import chunks, media_type_of
from service.errors import BodyTooLargeError, InvalidRequestError, MediaTypeError

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 32
"""Objects and lists within each other; FastAPI's parser would come to the end of Python's stack."""


class JsonRoute(APIRoute):
    """A route whose body is JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Look at the body before FastAPI does, which would answer some of this with 400, and let some of it pass."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_checked(request: Request) -> Response:
            body = await _read(request)
            if body:  # that there is none is told once it is known who asks
                _check_type(request)
                parse_json(body)

            async def receive() -> Message:
                return {"type": "http.request", "body": body}

            return await handle(Request(request.scope, receive))

        return handle_checked


async def read_json(request: Request) -> Any:
    """The body of a request that FastAPI leaves alone.

    Raises:
        MediaTypeError: It is said to be something else.
        BodyTooLargeError: It is larger than any request that makes sense.
        UploadTimeoutError: It stopped coming.
        InvalidRequestError: It is no JSON.
    """
    body = await _read(request)
    _check_type(request)
    return parse_json(body)


async def _read(request: Request) -> bytes:
    """The body, in memory.

    Raises:
        BodyTooLargeError: It is larger than any request that makes sense.
        UploadTimeoutError: It stopped coming.
    """
    body = bytearray()
    services = await get_services(request)
    async for piece in chunks(request, services.settings):
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError(f"the body is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _check_type(request: Request) -> None:
    if media_type_of(request) != "application/json":
        raise MediaTypeError("Content-Type: wanted application/json")


def parse_json(body: bytes) -> Any:
    """Read JSON in UTF-8: no name twice in an object, no NaN, no half of a character, nothing nested endlessly.

    >>> parse_json(b'{"steps": [1, 2]}')
    {'steps': [1, 2]}

    Raises:
        InvalidRequestError: It is none.
    """
    try:
        value = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # fails for half of a UTF-16 pair, which no answer could quote
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"body: no JSON: {error.msg} at character {error.pos}") from error
    except UnicodeError as error:
        raise InvalidRequestError("body: no JSON: not UTF-8, or half of a character") from error
    except RecursionError as error:
        raise InvalidRequestError(f"body: nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:  # ours, and Python's of a number with thousands of digits
        raise InvalidRequestError(f"body: {error}") from error
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON's")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        nested = [entry for entry in level if isinstance(entry, dict | list)]
        level = [inner for entry in nested for inner in (entry.values() if isinstance(entry, dict) else entry)]
        if not nested:
            return
    raise InvalidRequestError(f"body: nested deeper than {MAX_DEPTH} levels")
