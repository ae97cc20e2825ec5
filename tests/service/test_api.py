"""The API without a Redis, a worker or a socket: what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from idle_app import IDLE_APP
from pydantic import SecretStr
from starlette.responses import Response

from service.api.app import create_app
from service.api.preferences import Preference, parse_prefer
from service.api.proxy import ProxyPathMiddleware, local_path
from service.api.results import matches_etag
from service.api.routes import jobs
from service.errors import BrokerUnavailableError
from service.job_records import LOCAL_TENANT, Job
from service.logs import JsonFormatter
from service.schemas import DenoiseParameters, FileSchema
from service.settings import Settings
from service.webhooks import format_secret, parse_secret, secret_of

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

JOB_ID = "0" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path, redis_url=f"unix://{tmp_path}/nobody.sock", max_upload_bytes=1000, require_keys=False
    )


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    """One request, answered within this process."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def check_problem(response: httpx.Response, status: int, code: str) -> None:
    """Every error answer has this form."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["detail"]
    assert body["title"]


def test_an_event_stream_outlives_an_outage_of_redis(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = DenoiseParameters()
    file = FileSchema(name="in.dng", bytes=1, sha256="0" * 64)
    running = Job(id=JOB_ID, state="running", parameters=parameters, input=file)
    answers = iter(
        [running, BrokerUnavailableError("gone"), running.model_copy(update={"state": "cancelled", "revision": 1})]
    )

    def get(_tenant: str, _job_id: str) -> Job:
        answer = next(answers)
        if isinstance(answer, Job):
            return answer
        raise answer

    monkeypatch.setattr(app.state.services.jobs, "get_owned", get)
    monkeypatch.setattr(jobs, "EVENT_POLL_S", 0)
    text = ask(app, "GET", f"/jobs/{JOB_ID}/events").text
    states = [json.loads(line[6:])["state"] for line in text.splitlines() if line.startswith("data: ")]
    assert states == ["running", "cancelled"]


def test_it_lives_without_a_redis_but_is_not_ready(app: FastAPI) -> None:
    assert ask(app, "GET", "/health/live").json() == {"status": "alive", "checks": {}}
    response = ask(app, "GET", "/health/ready")
    check_problem(response, 503, "not_ready")
    assert response.json()["checks"]["storage"] == "ok"
    assert response.json()["checks"]["redis"] != "ok"
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/web/nothing.js", 404, "not_found"),
        ("PUT", "/denoise", 405, "method_not_allowed"),
        ("GET", "/jobs/not-an-id", 404, "not_found"),
        ("GET", f"/jobs/{JOB_ID}", 503, "broker_unavailable"),
        ("DELETE", f"/jobs/{JOB_ID}", 503, "broker_unavailable"),
        ("GET", f"/jobs/{JOB_ID}/result", 503, "broker_unavailable"),
        ("GET", f"/jobs/{JOB_ID}/events", 503, "broker_unavailable"),
        ("POST", "/denoise", 503, "broker_unavailable"),
        ("POST", "/uploads", 412, "unsupported_tus_version"),
        ("DELETE", "/uploads", 405, "method_not_allowed"),
        ("GET", "/jobs/results.zip", 422, "invalid_request"),
        ("GET", f"/jobs/results.zip?id={JOB_ID}", 503, "broker_unavailable"),
        ("POST", f"/denoise?upload={JOB_ID}", 503, "broker_unavailable"),
        ("POST", "/denoise?upload=../secret", 422, "invalid_request"),
        ("POST", "/denoise?strength=2", 422, "invalid_request"),
        ("POST", "/denoise?noise=much", 422, "invalid_request"),
        ("POST", "/denoise?strenght=1", 422, "invalid_request"),
        ("POST", "/denoise?model=../secret", 422, "invalid_request"),
    ],
)
def test_every_error_is_a_problem(app: FastAPI, method: str, path: str, status: int, code: str) -> None:
    check_problem(ask(app, method, path), status, code)


def test_a_refusal_names_the_parameter(app: FastAPI) -> None:
    assert "query.strength" in ask(app, "POST", "/denoise?strength=2").json()["detail"]
    refused = ask(app, "POST", "/denoise?noise=1")
    assert refused.json()["detail"] == "query.noise: wanted two numbers as SHOT,READ"


SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgMzIgYnl0ZXMgbG9uZyEh"


def test_a_webhook_is_refused_where_none_are_sent(app: FastAPI) -> None:
    refused = ask(app, "POST", "/denoise?webhook=https://example.com/")
    check_problem(refused, 422, "invalid_request")
    assert "PHOTOSITE_WEBHOOK_SECRET" in refused.json()["detail"]
    check_problem(ask(app, "GET", "/webhook-secret"), 404, "not_found")


@pytest.mark.parametrize("webhook", ["http://example.com/", "https://10.0.0.1/", "https://u:p@example.com/", "hook"])
def test_a_webhook_to_an_address_that_is_not_called_is_refused(settings: Settings, webhook: str) -> None:
    app = create_app(settings.model_copy(update={"webhook_secret": SecretStr(SECRET)}))
    refused = ask(app, "POST", "/denoise", params={"webhook": webhook})
    check_problem(refused, 422, "invalid_request")
    assert refused.json()["detail"].startswith("query.webhook: ")
    taken = ask(app, "POST", "/denoise", params={"webhook": "https://example.com/"})
    check_problem(taken, 503, "broker_unavailable")


def test_a_receiver_learns_its_tenants_secret_and_no_other(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"webhook_secret": SecretStr(SECRET)}))
    shown = ask(app, "GET", "/webhook-secret").json()["secret"]
    assert parse_secret(shown) == secret_of(app.state.services.settings, LOCAL_TENANT)
    assert len({shown, SECRET, format_secret(secret_of(app.state.services.settings, "other"))}) == 3


def test_an_unexpected_error_shows_nothing_of_the_inside(app: FastAPI) -> None:
    @app.get("/broken")
    def fail() -> None:
        raise RuntimeError("a secret")

    response = ask(app, "GET", "/broken")
    check_problem(response, 500, "internal_error")
    assert "secret" not in response.text


def test_nothing_is_stored_while_redis_is_away(app: FastAPI, tmp_path: Path) -> None:
    response = ask(app, "POST", "/denoise", content=b"II*\0")
    check_problem(response, 503, "broker_unavailable")
    assert response.headers["retry-after"] == "5"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_page_is_served_under_a_strict_policy(app: FastAPI) -> None:
    page = ask(app, "GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "blob:" not in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    for address in ("/web/app.js", "/web/style.css", "/web/icon.svg"):
        assert f'"{address}"' in page.text
        assert ask(app, "GET", address).status_code == 200


def test_the_pages_files_are_asked_for_again_and_come_small(app: FastAPI) -> None:
    first = ask(app, "GET", "/web/app.js", headers={"Accept-Encoding": "gzip"})
    assert (first.headers["cache-control"], first.headers["content-encoding"]) == ("no-cache", "gzip")
    again = ask(app, "GET", "/web/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name, media_type in (("app.js", "javascript"), ("icon.svg", "image/svg+xml")):
        assert media_type in ask(app, "GET", f"/web/{name}").headers["content-type"]


def test_the_documentation_shows_every_operation_and_asks_no_other_host(app: FastAPI) -> None:
    page = ask(app, "GET", "/docs")
    digest = base64.b64encode(
        hashlib.sha256(page.text.partition("<style>")[2].partition("</style>")[0].encode()).digest()
    )
    policy = page.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest.decode()}'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
    assert "<script" not in page.text
    description = ask(app, "GET", "/openapi.json").json()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert f'<article id="{operation["operationId"]}"><h3>{method.upper()} {path}</h3>' in page.text
            assert html.escape(operation["summary"]) in page.text
    assert "A key for: denoise or train" in page.text
    for address in re.findall(r'(?:href|src)="([^"]*)"', page.text):
        assert address.startswith(("/", "#"))
    assert "curl -X POST" in page.text
    assert "integer, 64 to 2048; else 2048" in page.text


def test_every_answer_keeps_a_browser_strict(app: FastAPI) -> None:
    for path in ("/", "/docs", "/web/app.js", "/openapi.json", f"/jobs/{JOB_ID}", "/nowhere"):
        headers = ask(app, "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "camera=()" in headers["permissions-policy"]
        for rule in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert rule in headers["content-security-policy"]


def test_metrics_count_by_route_and_not_by_address(app: FastAPI) -> None:
    ask(app, "GET", f"/jobs/{JOB_ID}")
    text = ask(app, "GET", "/metrics").text
    assert 'photosite_http_requests_total{code="503",method="GET",route="/jobs/{job_id}"} 1.0' in text
    assert JOB_ID not in text
    assert "photosite_queue_depth" not in text, "without a Redis there is no depth to tell"


def test_refusals_are_counted_by_their_code(app: FastAPI) -> None:
    ask(app, "POST", "/denoise", content=b"")
    text = ask(app, "GET", "/metrics").text
    assert 'photosite_rejected_total{reason="broker_unavailable"} 1.0' in text


def test_openapi_declares_body_answers_and_problems(app: FastAPI) -> None:
    denoise = ask(app, "GET", "/openapi.json").json()["paths"]["/denoise"]["post"]
    assert {"multipart/form-data", "image/x-adobe-dng"} <= set(denoise["requestBody"]["content"])
    assert {"200", "202", "409", "413", "415", "422", "503"} <= set(denoise["responses"])
    assert "application/problem+json" in denoise["responses"]["422"]["content"]
    assert {"model", "strength", "noise", "precision", "force"} <= {field["name"] for field in denoise["parameters"]}


def test_every_declared_error_is_a_problem(app: FastAPI) -> None:
    for path, methods in ask(app, "GET", "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], f"{method} {path} {status}"


@pytest.mark.parametrize(
    ("header", "wait_s", "applied"),
    [
        ("", 30, ""),
        ("wait=5", 5, "wait=5"),
        ("respond-async, wait=5", 0, "respond-async"),
        ("handling=lenient, Wait = 7", 7, "wait=7"),
        ("wait=100000", 120, "wait=120"),
        ("wait=soon", 30, ""),
        ("wait=-1", 30, ""),
        ("wait=0", 0, "wait=0"),
    ],
)
def test_prefer_is_read_as_rfc_7240_has_it(settings: Settings, header: str, wait_s: float, applied: str) -> None:
    assert parse_prefer(header, settings) == Preference(wait_s, applied)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ("", False),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ("*", True),
        ("abc", False),
        ('"ab"', False),
    ],
)
def test_etags_are_compared_weakly(header: str, matches: bool) -> None:
    assert matches_etag(header, "abc") is matches


def test_probes_are_answered_whatever_the_load(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_concurrent_requests": 1}))
    begun, held = asyncio.Event(), asyncio.Event()

    @app.get("/held")
    async def hold() -> None:
        begun.set()
        await held.wait()

    async def ask_at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            first = asyncio.create_task(client.get("/held"))
            await begun.wait()
            answers = [await client.get(path) for path in ("/held", "/health/live", "/nowhere")]
            held.set()
            return [*answers, await first, await client.get("/nowhere")]

    second, probe, third, first, later = asyncio.run(ask_at_once())
    for refused in (second, third):
        check_problem(refused, 503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["x-content-type-options"] == "nosniff"
    assert (probe.status_code, first.status_code, later.status_code) == (200, 200, 404)


def test_a_dripping_upload_is_given_up_by_its_average() -> None:
    """A pause is no fault where enough has come; our own slowness is not the client's."""
    from service.api.uploads import Pace

    pace = Pace(1000, 30)
    pace.count(40_000, 1)
    assert pace.patience_s == 30
    pace.count(0, 29)  # a new span begins
    assert pace.patience_s == 30
    for _ in range(10):
        pace.count(900, 1)
    assert pace.patience_s == 20
    assert "9000 bytes" in pace.complaint
    pace.count(21_000, 1)
    assert pace.patience_s == 30
    assert "nothing came" in pace.complaint
    assert Pace(0, 30).patience_s == 30


def test_a_stalled_upload_is_given_up(tmp_path: Path) -> None:
    """The request never ends: only our own timeout can end it."""
    from starlette.requests import Request

    from service.api.uploads import receive_upload
    from service.errors import UploadTimeoutError
    from service.storage import LocalBlobStore

    settings = Settings(data_dir=tmp_path, upload_idle_timeout_s=0.05)
    blobs = LocalBlobStore(tmp_path, lambda _blob: None)
    messages = [{"type": "http.request", "body": b"II*\0", "more_body": True}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def upload() -> None:
        request = Request({"type": "http", "app": IDLE_APP, "headers": [], "method": "POST"}, receive)
        async with receive_upload(request, "local", blobs, settings):
            pytest.fail("an upload that never ended was taken")

    with pytest.raises(UploadTimeoutError):
        asyncio.run(upload())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_metrics_have_a_port_of_their_own_where_that_is_wished(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"api_metrics_port": 9100}))
    check_problem(ask(app, "GET", "/metrics"), 404, "not_found")


def test_a_request_is_named_in_its_answer(app: FastAPI) -> None:
    brought = ask(app, "GET", "/health/live", headers={"X-Request-Id": "proxy-0123456789"})
    assert brought.headers["x-request-id"] == "proxy-0123456789"
    made = ask(app, "GET", "/nothing", headers={"X-Request-Id": "two\twords here"})
    assert re.fullmatch("[0-9a-f]{16}", made.headers["x-request-id"])


def test_every_request_is_one_line_of_the_log_under_its_name(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    named: list[dict[str, str]] = []
    caplog.set_level("INFO", "service.api.request_ids")
    caplog.handler.addFilter(lambda record: bool(named.append(json.loads(JsonFormatter().format(record))) or True))
    ask(app, "GET", "/jobs/a%0Ab", headers={"X-Request-Id": "proxy-0123456789"})
    [line] = [line for line in named if line["logger"] == "service.api.request_ids"]
    assert line["request_id"] == "proxy-0123456789"
    assert re.fullmatch(r"GET /jobs/a%0Ab: \d+ after \d+\.\d+ s", line["message"])


@pytest.mark.parametrize("path", ["/denoise", "/photosite/denoise", "/photosite", "/photosites"])
@pytest.mark.parametrize("root_path", ["", "/photosite"])
def test_addresses_in_answers_lead_back_through_the_proxy(root_path: str, path: str) -> None:
    async def redirect(scope: Any, receive: Any, send: Any) -> None:
        headers = {"Location": "/jobs/1", "X-Path": scope["path"], "X-Local": local_path(scope)}
        await Response(status_code=202, headers=headers)(scope, receive, send)

    headers = ask(ProxyPathMiddleware(redirect, root_path), "POST", path).headers
    seen = {"/photosite/denoise": "/denoise", "/photosite": "/"} if root_path else {}
    local = seen.get(path, path)
    assert headers["location"] == f"{root_path}/jobs/1"
    assert (headers["x-local"], headers["x-path"]) == (local, root_path + local)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/web/app.js", 200),
        ("/health/live", 200),
        ("/metrics", 200),
        ("/jobs", 503),
        (f"/jobs/{JOB_ID}/events", 503),
        ("/nowhere", 404),
        ("/denoise", 405),
    ],
)
def test_head_is_answered_as_get_without_a_body(app: FastAPI, path: str, status: int) -> None:
    whole, head = ask(app, "GET", path), ask(app, "HEAD", path)
    assert (whole.status_code, head.status_code, head.content) == (status, status, b"")
    told = {"x-request-id", "content-length"} if path == "/metrics" or status >= 400 else {"x-request-id"}
    for name in set(whole.headers) - told:
        assert head.headers[name] == whole.headers[name]


def test_the_description_names_the_proxys_path(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"root_path": "/photosite"}))
    for before in ("", "/photosite"):
        assert ask(app, "GET", f"{before}/openapi.json").json()["servers"] == [{"url": "/photosite"}]
        assert ask(app, "GET", f"{before}/health/live").status_code == 200
        assert 'src="/photosite/web/app.js"' in ask(app, "GET", f"{before}/").text
        assert ask(app, "GET", f"{before}/web/app.js").status_code == 200
