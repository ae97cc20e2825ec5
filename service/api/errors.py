"""Every error answer as `application/problem+json`.

In the flow: any exception of a route → **problem** → client.

Source: RFC 9457, "Problem Details for HTTP APIs"; `code` is our extension member and stable.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

from service.errors import AuthenticationError, InvalidRequestError, ServiceError, phrase_of, status_of, status_of_code
from service.job_records import Job
from service.schemas import ProblemSchema
from training.errors import PhotositeError

PROBLEM_MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499
METHOD_NOT_ALLOWED = 405
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def declare_headers(**described: str) -> dict[str, Any]:
    """What a route's `responses` say about headers that an answer always has; Name_of_one="its meaning"."""
    return {
        name.replace("_", "-"): {"description": meaning, "required": True, "schema": {"type": "string"}}
        for name, meaning in described.items()
    }


_CODES_BY_STATUS = {
    404: "not_found",
    METHOD_NOT_ALLOWED: "method_not_allowed",
    413: "raw_too_large",
    416: "range_not_satisfiable",
}
_RETRY_AFTER = declare_headers(Retry_After="Seconds after which trying again makes sense")
_PROBLEM_HEADERS = {
    401: declare_headers(WWW_Authenticate="Bearer"),
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}

logger = logging.getLogger(__name__)


def problem(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """An error answer; `members` are further members of the problem."""
    body = ProblemSchema(title=phrase_of(status), status=status, detail=detail, code=code)
    return JSONResponse(
        {**body.model_dump(), **members}, status_code=status, headers=headers, media_type=PROBLEM_MEDIA_TYPE
    )


def problem_of(error: PhotositeError) -> JSONResponse:
    """The answer to an error of ours."""
    retry_after_s = error.retry_after_s if isinstance(error, ServiceError) else None
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if isinstance(error, AuthenticationError):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status_of(error), error.code, error.message, headers=headers)


def problem_of_failed(job: Job, headers: Mapping[str, str]) -> JSONResponse:
    """The answer to somebody who waits for a job that failed."""
    code, message = (job.error.code, job.error.message) if job.error else ("internal_error", "the job failed")
    return problem(status_of_code(code), code, message, headers=headers)


def declare_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's `responses` say about its error answers; `Api` adds the schema to the description."""
    return {status: declare_problem(status) for status in (*statuses, 500)}


def declare_problem(status: int) -> dict[str, Any]:
    """The same of one status."""
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemSchema.__name__}"}}}
    declared = {"description": phrase_of(status), "content": content}
    return {**declared, "headers": _PROBLEM_HEADERS[status]} if status in _PROBLEM_HEADERS else declared


async def _answer_photosite_error(_request: Request, error: Exception) -> Response:
    known = cast("PhotositeError", error)
    if known.detail:
        logger.warning("%s: %s (%s)", known.code, known.message, known.detail)
    return problem_of(known)


async def _answer_validation_error(_request: Request, error: Exception) -> Response:
    return problem_of(invalid_request(cast("RequestValidationError", error).errors()))


def invalid_request(entries: Sequence[Mapping[str, Any]], *where: str) -> InvalidRequestError:
    """Pydantic's errors as ours.

    Args:
        entries: What pydantic lists.
        where: What it was given, if that does not say it itself.
    """
    told = [entry for entry in entries if not _follows_from_another(entry, entries)]
    return InvalidRequestError("; ".join(_describe({**entry, "loc": (*where, *entry["loc"])}) for entry in told))


def _follows_from_another(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list is too short only because what was in it is wrong, which another entry says."""
    place = tuple(entry["loc"])
    inside = (tuple(other["loc"]) for other in entries if other is not entry)
    return entry["type"] == "too_short" and any(other[: len(place)] == place for other in inside)


def _describe(entry: Mapping[str, Any]) -> str:
    where: Sequence[Any] = entry["loc"]
    reason = str(entry["msg"]).removeprefix("Value error, ")  # pydantic's word for a sentence of ours
    return f"{'.'.join(str(part) for part in where)}: {reason}"


def problem_of_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer where a library only gives an HTTP status."""
    code = _CODES_BY_STATUS.get(status, "invalid_request" if status < 500 else "internal_error")
    return problem(status, code, detail, headers=headers)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    known = cast("HTTPException", error)
    headers = known.headers
    if known.status_code == METHOD_NOT_ALLOWED:
        headers = {"Allow": _allowed_methods(request)}
    return problem_of_status(known.status_code, f"{request.method} {request.url.path}: {known.detail}", headers)


def _allowed_methods(request: Request) -> str:
    """What `Allow` says of an address; the router only knows the methods of the first of its routes."""
    routes = cast("Sequence[BaseRoute]", request.app.routes)
    scope = {
        **request.scope,
        "root_path": request.scope.get("app_root_path", request.scope.get("root_path", "")),
    }  # a mount has put itself there
    files = any(isinstance(route, Mount) and route.matches(scope)[0] != Match.NONE for route in routes)
    known = {method for method in METHODS if _matches(routes, {**scope, "method": method})}
    allowed = {"GET", "HEAD"} if files else known | ({"HEAD"} if "GET" in known else set())
    return ", ".join(method for method in METHODS if method in allowed)


def _matches(routes: Sequence[BaseRoute], scope: Scope) -> bool:
    return any(route.matches(scope)[0] == Match.FULL for route in routes)


async def _answer_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)  # nobody reads it; without it the log shows a traceback


async def _answer_unexpected(_request: Request, _error: Exception) -> Response:
    return problem(500, "internal_error", "an unexpected error; the log says more")


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception by a problem."""
    app.add_exception_handler(PhotositeError, _answer_photosite_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(ClientDisconnect, _answer_disconnect)
    app.add_exception_handler(Exception, _answer_unexpected)
