"""Traces for OpenTelemetry: off unless PHOTOSITE_TRACES_URL is set, and then nothing of it is imported.

In the flow: request → **span** → job record (carries the trace's id) → worker → **span below it**.

Its packages are the extra "traces". A worker starts tracing after the fork, since the thread that sends spans does not
live through one. Source: W3C Trace Context, https://www.w3.org/TR/trace-context/, section 3.2 (`traceparent`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.settings import Settings

TRACEPARENT = "traceparent"


class Tracing:
    """What a process needs for its traces; empty until `start`."""

    provider: Any = None
    tracer: Any = None
    propagator: Any = None


def start_tracing(settings: Settings, process: str, exporter: Any | None = None) -> None:
    """Have this process send its spans, if there is an address for them.

    Args:
        settings: Where to.
        process: What this process is: "photosite-api", "photosite-worker".
        exporter: What sends them; none: HTTP, to the address.

    Raises:
        ConfigError: The packages are missing.
    """
    if settings.traces_url is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("PHOTOSITE_TRACES_URL: needs more packages: pip install 'photosite[traces]'") from error
    Tracing.provider = TracerProvider(resource=Resource.create({"service.name": process}))
    sender = exporter or OTLPSpanExporter(endpoint=settings.traces_url)
    Tracing.provider.add_span_processor(BatchSpanProcessor(sender))
    Tracing.tracer = Tracing.provider.get_tracer("photosite")
    Tracing.propagator = TraceContextTextMapPropagator()


def stop_tracing() -> None:
    """Send what is left."""
    if Tracing.provider is not None:
        Tracing.provider.shutdown()
    Tracing.provider = Tracing.tracer = Tracing.propagator = None


@contextmanager
def span(name: str, parent: str | None = None, **attributes: str) -> Iterator[Any]:
    """Trace a block; does nothing where there is no tracing.

    Args:
        name: What it is: few different ones, no ids.
        parent: `traceparent` of the span that it belongs to; none: of the block around this one, or nobody's.
        attributes: What else there is to know.

    Yields:
        The span, or None.
    """
    if Tracing.tracer is None:
        yield None
        return
    context = Tracing.propagator.extract({TRACEPARENT: parent}) if parent else None
    with Tracing.tracer.start_as_current_span(name, context=context, attributes=attributes) as current:
        yield current


def current_traceparent() -> str | None:
    """The span that this code runs in, for a record that others go on from; None where there is no tracing."""
    if Tracing.tracer is None:
        return None
    carrier: dict[str, str] = {}
    Tracing.propagator.inject(carrier)
    return carrier.get(TRACEPARENT)
