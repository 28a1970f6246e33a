"""OpenTelemetry traces, with the extra `otel`: a span for each request but single heartbeats and
live streams, and within it one for each call of Redis that the request waits for.

The ready-made instrumentations of ASGI and redis-py work, but name spans by their raw path, keep
query strings and client addresses, which this service writes nowhere, and make a trace of each
background poll. Nothing of OpenTelemetry is imported unless it is switched on.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger(__name__)


def provider_from_env(environ: Mapping[str, str]) -> "TracerProvider | None":
    """What OpenTelemetry's own variables ask for: OTEL_TRACES_EXPORTER is `otlp` or `console`, and
    OTEL_SDK_DISABLED is not `true`. The others it reads by itself."""
    kind = environ.get("OTEL_TRACES_EXPORTER", "none").strip().lower()
    if kind in ("none", "") or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import export
    except ImportError:
        log.warning("no_traces", reason="OTEL_TRACES_EXPORTER asks for the extra otel")
        return None
    if kind not in ("otlp", "console"):
        log.warning("no_traces", reason="OTEL_TRACES_EXPORTER must be otlp, console or none")
        return None
    name = environ.get("OTEL_SERVICE_NAME", "presence")
    provider = trace.TracerProvider(
        resource=Resource.create({"service.name": name, "service.version": __version__})
    )
    exporter: Any = (
        OTLPSpanExporter() if kind == "otlp" else export.ConsoleSpanExporter(out=sys.stderr)
    )
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    return provider


class Tracing:
    """The spans of one app.

    Args:
        is_trusted: whether a request's `traceparent` is believed: it may ask for a trace.
    """

    def __init__(self, provider: "TracerProvider", is_trusted: Callable[[Scope], bool]) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("presence", __version__)
        self._is_trusted = is_trusted
        self.shutdown = provider.shutdown

    @contextlib.contextmanager
    def call(self, script: str) -> Iterator[None]:
        """A span around a call of Redis; none where nobody traces a request just now."""
        if not self._trace.get_current_span().is_recording():
            yield
            return
        attributes = {"db.system.name": "redis", "db.stored_procedure.name": script}
        kind = self._trace.SpanKind.CLIENT
        with self._tracer.start_as_current_span(script, kind=kind, attributes=attributes):
            yield

    def around(self, app: ASGIApp) -> ASGIApp:
        """The app with a span for each request."""
        trace = self._trace

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            # A stream lasts for hours, and the poller that it starts would write into its trace; a
            # heartbeat travels in a call with others.
            if scope["type"] != "http" or scope["path"].endswith(("/live", "/heartbeat")):
                await app(scope, receive, send)
                return
            carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            parent = self._propagator.extract(carrier) if self._is_trusted(scope) else None
            with self._tracer.start_as_current_span(
                scope["method"], parent, kind=trace.SpanKind.SERVER, record_exception=False
            ) as span:

                async def send_traced(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        route = scope.get("route")
                        template = route.path if isinstance(route, Route) else "none"
                        span.update_name(f"{scope['method']} {template}")
                        span.set_attributes({
                            "http.request.method": scope["method"],
                            "http.route": template,
                            "http.response.status_code": message["status"],
                        })  # fmt: skip
                        if message["status"] >= 500:
                            span.set_status(trace.StatusCode.ERROR)
                    await send(message)

                trace_id = f"{span.get_span_context().trace_id:032x}"
                with structlog.contextvars.bound_contextvars(trace_id=trace_id):
                    await app(scope, receive, send_traced)

        return traced
