"""The description of the interface, and requests that say what no description allows."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from service import schemas
from service.admission import Admission
from service.api.app import create_app
from service.api.bodies import MAX_BODY_BYTES, MAX_DEPTH, parse_json
from service.api.checks import REPEATABLE
from service.errors import InvalidRequestError
from service.settings import Settings
from service.tenants import SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastapi import FastAPI

OPERATIONS = {
    "/denoise": {"post"},
    "/jobs": {"get"},
    "/jobs/{job_id}": {"get", "delete"},
    "/jobs/{job_id}/events": {"get"},
    "/jobs/{job_id}/result": {"get"},
    "/jobs/{job_id}/files/{name}": {"get"},
    "/jobs/{job_id}/preview": {"get"},
    "/jobs/{job_id}/preview-info": {"get"},
    "/jobs/results.zip": {"get"},
    "/jobs/finetune": {"post"},
    "/jobs/validate": {"post"},
    "/uploads": {"post", "options"},
    "/uploads/{upload_id}": {"head", "patch", "delete"},
    "/uploads/{upload_id}/preview": {"get"},
    "/uploads/{upload_id}/preview-info": {"get"},
    "/batches/{batch}": {"get", "delete"},
    "/captures": {"get", "post"},
    "/captures/{capture_id}": {"get", "delete"},
    "/captures/{capture_id}/thumbnail": {"get"},
    "/captures/{capture_id}/preview": {"get"},
    "/captures/{capture_id}/preview-info": {"get"},
    "/models": {"get"},
    "/models/{model}": {"get", "delete"},
    "/models/{model}/default": {"put"},
    "/datasets": {"get"},
    "/webhook-secret": {"get"},
    "/session": {"get", "post", "delete"},
    "/health/live": {"get"},
    "/health/ready": {"get"},
    "/metrics": {"get"},
}
"""What the service offers, written out: nothing comes or goes unnoticed."""
OPEN = {"/health/live", "/health/ready", "/metrics", "/session"}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemSchema"}}}
JOB_PATH = "/jobs/" + "0" * 32


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[[bool], FastAPI]:
    """Makes an application that has no Redis."""

    def make(require_keys: bool) -> FastAPI:
        return create_app(
            Settings(data_dir=tmp_path, redis_url=f"unix://{tmp_path}/nobody.sock", require_keys=require_keys)
        )

    return make


@pytest.fixture
def app(make_app: Callable[[bool], FastAPI]) -> FastAPI:
    """One that asks for no keys."""
    return make_app(False)  # noqa: FBT003  (a fixture's function has no names)


@pytest.fixture
def description(make_app: Callable[[bool], FastAPI]) -> dict[str, Any]:
    """What an application that asks for keys says of itself."""
    return make_app(True).openapi()  # noqa: FBT003  (the same)


def operations(description: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Path, method, operation."""
    return [
        (path, method, found) for path, methods in description["paths"].items() for method, found in methods.items()
    ]


def test_the_paths_are_those_of_the_design(description: dict[str, Any]) -> None:
    assert {path: set(methods) for path, methods in description["paths"].items()} == OPERATIONS


def test_every_operation_has_a_name_a_summary_and_a_described_tag(description: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(description)]
    assert len(set(names)) == len(names)
    tags = {tag["name"]: tag["description"] for tag in description["tags"]}
    for _, _, operation in operations(description):
        assert operation["operationId"].replace("_", "").isalpha()
        assert operation["summary"]
        assert not operation["summary"].endswith(".")
        assert "\n" not in operation["summary"]
        assert all(tags[tag] for tag in operation["tags"])
    assert set(tags) == {tag for _, _, operation in operations(description) for tag in operation["tags"]}


def test_every_error_is_the_one_problem(description: dict[str, Any]) -> None:
    assert description["components"]["schemas"]["ProblemSchema"]["required"] == [
        "type",
        "title",
        "status",
        "detail",
        "code",
    ]
    assert "HTTPValidationError" not in description["components"]["schemas"]
    for path, method, operation in operations(description):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert (path, method, status, answer["content"]) == (path, method, status, PROBLEM)
        if path not in OPEN:
            assert operation["responses"]["401"]["headers"]["WWW-Authenticate"]["required"]


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    def check(node: Any) -> None:
        if isinstance(node, dict) and "$ref" in node:
            assert node["$ref"].removeprefix("#/components/schemas/") in description["components"]["schemas"]
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            check(inner)

    check(description)


def test_a_key_is_asked_for_everywhere_but_where_it_is_not(make_app: Callable[[bool], FastAPI]) -> None:
    known = [{"ApiKey"}, {"Session"}]
    for require_keys, wanted in ((True, known), (False, [set(), *known])):
        description = make_app(require_keys).openapi()
        assert description["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
        for path, method, operation in operations(description):
            found = [set(each) for each in operation["security"]] if "security" in operation else None
            assert (path, method, found) == (path, method, None if path in OPEN else wanted)


def test_every_operation_names_the_scopes_that_let_one_in(description: dict[str, Any]) -> None:
    found = {
        (method, path): operation["security"][0]["ApiKey"]
        for path, method, operation in operations(description)
        if path not in OPEN
    }
    for (method, path), scopes in found.items():
        assert scopes
        assert set(scopes) <= set(SCOPES)
        assert "403" in description["paths"][path][method]["responses"]
        assert ("read" in scopes) == (method in {"get", "head", "options"}), (method, path)
    assert {(operation, *scopes) for operation, scopes in found.items() if operation[0] != "get"} >= {
        (("post", "/denoise"), "denoise"),
        (("post", "/jobs/finetune"), "train"),
        (("post", "/jobs/validate"), "train"),
        (("post", "/captures"), "train"),
        (("put", "/models/{model}/default"), "models"),
        (("delete", "/models/{model}"), "models"),
        (("delete", "/jobs/{job_id}"), "denoise", "train"),
        (("patch", "/uploads/{upload_id}"), "denoise", "train"),
        (("head", "/uploads/{upload_id}"), "denoise", "read", "train"),
    }


@pytest.mark.parametrize("path", ["/denoise", "/captures"])
def test_a_raw_comes_as_itself_or_in_a_form(description: dict[str, Any], path: str) -> None:
    content = description["paths"][path]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "image/x-adobe-dng", "application/octet-stream"}
    form = content["multipart/form-data"]
    assert form["encoding"] == {"file": {"contentType": "image/x-adobe-dng, application/octet-stream"}}
    assert form["schema"]["required"] == ["file"]


@pytest.mark.parametrize("name", ["FinetuneRequest", "ValidateRequest", "JobSchema", "ProblemSchema"])
def test_the_main_bodies_have_examples_that_are_sound(description: dict[str, Any], name: str) -> None:
    examples = description["components"]["schemas"][name]["examples"]
    assert examples
    for example in examples:
        getattr(schemas, name).model_validate(example)


def test_repeatable_parameters_are_those_that_are_lists(description: dict[str, Any]) -> None:
    lists = {
        parameter["name"]
        for _, _, operation in operations(description)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and '"array"' in json.dumps(parameter["schema"])
    }
    assert lists == REPEATABLE


def ask(
    app: FastAPI, method: str, path: str, query: bytes = b"", body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """One request, its bytes as they are given; gives status, headers and body of the answer."""
    started: dict[str, Any] = {}
    answered = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        started.update(message if message["type"] == "http.response.start" else {})
        answered.extend(message.get("body", b""))

    given = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": given,
        "server": ("test", 80),
        "client": ("test", 1),
    }
    asyncio.run(app(scope, receive, send))
    return (
        started["status"],
        {name.decode(): value.decode() for name, value in started["headers"]},
        json.loads(answered),
    )


def check_refused(answer: tuple[int, dict[str, str], dict[str, Any]], status: int = 422) -> None:
    """A problem of ours, and the client's fault."""
    found, headers, problem = answer
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert (problem["status"], bool(problem["code"] and problem["detail"])) == (status, True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"dataset": "mini", "dataset": "other"}',
        b'{"noise": NaN}',
        b'{"noise": -Infinity}',
        b'{"noise": ' + b"9" * 5000 + b"}",
        b'{"dataset": 1e999}',
        b"[" * 200_000,
        b"[" * 900 + b"]" * 900,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"\\ud800": 1}',
        b'{"dataset": "\\ud800"}',
        b'{"dataset": "\\u0000"}',
        b'{"dataset": "\xe9"}',
        b'\xef\xbb\xbf{"dataset": "mini"}',
        '{"dataset": "mini"}'.encode("utf-16"),
        b'{"dataset": "mini"',
        b'{"dataset": "mini"} {}',
        b"null",
        b"7",
        b"\x00",
        b"{" + b" " * MAX_BODY_BYTES + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_sound_json_is_refused_on_every_route(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    for question in ("check_job", "check_storage"):  # some routes ask Redis first
        monkeypatch.setattr(Admission, question, lambda *_: None)
    status = 413 if len(body) > MAX_BODY_BYTES else 422
    routes = [
        path
        for path, method, operation in operations(app.openapi())
        if method == "post" and "application/json" in operation["requestBody"]["content"]
    ]
    assert routes
    for path in routes:
        for content_type in ("application/json", "Application/JSON; charset=latin-1"):
            check_refused(ask(app, "POST", path, body=body, content_type=content_type), status)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/problem+json",
        "\xe9",
        "",
        "application/json\x00",
    ],
)
def test_a_body_of_another_type_is_refused(app: FastAPI, content_type: str) -> None:
    check_refused(ask(app, "POST", "/jobs/validate", body=b'{"dataset": "mini"}', content_type=content_type), 415)


def test_json_may_nest_as_deep_as_it_says() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.dumps(parse_json(deepest)).encode() == deepest
    for body in (b"[" + deepest + b"]", b"[" * 1_000_000):
        with pytest.raises(InvalidRequestError, match="deeper"):
            parse_json(body)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/jobs", b"limit=1&limit=2"),
        ("/jobs", b"batch=a&batch=a"),
        ("/jobs", b"batch=%00"),
        ("/jobs", b"batch=%ff%fe"),
        ("/jobs", b"batch=%ed%a0%80"),
        ("/jobs", b"batch=" + b"a" * 100_000),
        ("/jobs", b"cursor=" + b"a" * 100_000),
        ("/jobs", b"state=queued&state=%00"),
        ("/jobs", b"limit=" + b"9" * 100_000),
        ("/jobs", b"limit=NaN"),
        ("/jobs", b"a=1&a=2"),
        ("/captures", b"cursor=%00"),
        (f"{JOB_PATH}/files/%00", b""),
        (f"{JOB_PATH}/files/{'a' * 1000}", b""),
        ("/batches/a\x00", b""),
        ("/models/a@b@c", b""),
    ],
)
def test_an_address_that_makes_no_sense_is_refused(app: FastAPI, path: str, query: bytes) -> None:
    check_refused(ask(app, "GET", path, query))


@pytest.mark.parametrize(
    "query", [b"strength=1&strength=0", b"strength=nan", b"noise=%00", b"model=%ff", b"x=" + b"1" * 100_000]
)
def test_denoising_takes_no_hostile_option(app: FastAPI, query: bytes) -> None:
    check_refused(ask(app, "POST", "/denoise", query, body=b"II*"))


def test_a_parameter_that_is_a_list_may_come_again(app: FastAPI) -> None:
    status, _, _ = ask(app, "GET", "/jobs", b"state=queued&state=failed&kind=denoise&kind=validate")
    assert status == 503  # only the job store is missing


@pytest.mark.parametrize("value", ["\xe9\xff", "", "a" * 100_000, "\x01"])
def test_headers_of_any_bytes_end_in_a_problem(app: FastAPI, value: str) -> None:
    for name in ("prefer", "last_event_id", "if_none_match", "range", "idempotency_key", "x_forwarded_for"):
        status, headers, _ = ask(app, "GET", f"{JOB_PATH}/events", **{name: value})
        assert (status, headers["content-type"]) == (503, "application/problem+json")
    check_refused(ask(app, "GET", "/jobs", authorization=f"Bearer {value or 'x'}"), 401)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", JOB_PATH, "GET, HEAD, DELETE"),
        ("DELETE", "/jobs/finetune", "POST"),
        ("GET", "/jobs/validate", "POST"),
        ("PATCH", "/captures", "GET, HEAD, POST"),
        ("POST", "/models/a/default", "PUT"),
        ("POST", "/web/index.html", "GET, HEAD"),
        ("DELETE", "/jobs/results.zip", "GET, HEAD"),
        ("GET", "/uploads/" + "0" * 32, "HEAD, PATCH, DELETE"),
        ("BREW", "/health/live", "GET, HEAD"),
    ],
)
def test_a_method_that_there_is_not_tells_those_that_there_are(
    app: FastAPI, method: str, path: str, allow: str
) -> None:
    status, headers, problem = ask(app, method, path)
    assert (status, problem["code"], headers["allow"]) == (405, "method_not_allowed", allow)


@pytest.mark.parametrize(
    "path", ["/jobs/x", "/jobs/" + "A" * 32, "/captures/" + "0" * 33, JOB_PATH + "/nothing", "/\x00"]
)
def test_what_is_no_id_is_nowhere(app: FastAPI, path: str) -> None:
    check_refused(ask(app, "GET", path), 404)
