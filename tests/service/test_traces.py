"""Traces: nothing without an address; with one, a request and its job's attempts are one trace."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.api.app import create_app
from service.settings import Settings
from service.traces import current_traceparent, span, start_tracing, stop_tracing
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLIENTS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""W3C's own example."""


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    start_tracing(Settings(traces_url="http://127.0.0.1:4318/v1/traces"), "test", kept)
    yield kept
    stop_tracing()


def finished(exporter: InMemorySpanExporter) -> dict[str, Any]:
    """The spans by name, once all are sent."""
    from service.traces import Tracing

    assert Tracing.provider.force_flush()
    return {found.name: found for found in exporter.get_finished_spans()}


def test_without_an_address_nothing_is_traced() -> None:
    start_tracing(Settings(), "test")
    with span("denoise") as current:
        assert current is None
        assert current_traceparent() is None


def test_an_attempt_belongs_to_the_request_that_handed_the_job_in(exporter: InMemorySpanExporter) -> None:
    with span("POST /denoise", CLIENTS):
        kept = current_traceparent()
    with span("denoise", kept, job_id="1"):
        pass
    found = finished(exporter)
    request, attempt = found["POST /denoise"], found["denoise"]
    assert f"{request.context.trace_id:032x}" == CLIENTS.split("-")[1]
    assert (attempt.context.trace_id, attempt.parent.span_id) == (request.context.trace_id, request.context.span_id)
    assert attempt.attributes["job_id"] == "1"


def test_a_request_is_named_by_its_route(exporter: InMemorySpanExporter, tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path, redis_url=f"unix://{tmp_path}/nobody.sock", require_keys=False))

    async def ask(path: str) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            await client.get(path, headers={"traceparent": CLIENTS})

    for path in (f"/jobs/{'0' * 32}", "/health/live"):
        asyncio.run(ask(path))
    found = finished(exporter)
    assert set(found) == {"GET /jobs/{job_id}"}
    traced = found["GET /jobs/{job_id}"]
    assert traced.attributes["http.response.status_code"] == 503
    assert f"{traced.context.trace_id:032x}" == CLIENTS.split("-")[1]


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Something that takes spans by HTTP; gives its address, and what came."""
    came: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces", came
        finally:
            server.shutdown()
            thread.join()


def test_spans_arrive_at_the_address_before_the_process_ends() -> None:
    with collector() as (url, came):
        start_tracing(Settings(traces_url=url), "photosite-worker")
        with span("denoise"):
            pass
        stop_tracing()
        [body] = came
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    assert names["service.name"] == "photosite-worker"
    assert [found.name for scope in resource.scope_spans for found in scope.spans] == ["denoise"]


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"photosite\[traces\]"):
        start_tracing(Settings(traces_url="http://127.0.0.1:4318/v1/traces"), "test")
