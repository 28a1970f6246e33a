"""OpenTelemetry: what is traced, and what is not."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from service.app import create_app
from service.settings import Settings
from service.store.sweeper import POLL_S
from tests.browser.site import LiveService
from tests.servers import Server

SITE = "http://x/v1/sites/blog"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """Those that have ended."""
    return InMemorySpanExporter()


@pytest.fixture
async def http(
    spans: InMemorySpanExporter, valkey: Server, key_prefix: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app that is traced."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    environ = {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_TRUSTED_PROXIES": "10.0.0.1/32",
    }
    app = create_app(Settings.from_env(environ), traces=provider)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=("10.0.0.1", 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport) as client:
            client.headers["x-test"] = "1"
            yield client


def told(spans: InMemorySpanExporter) -> list[tuple[str, str | None]]:
    """Each span's name, and that of the one it is in."""
    ended = spans.get_finished_spans()
    names = {span.context.span_id: span.name for span in ended if span.context}
    return [(span.name, names.get(span.parent.span_id) if span.parent else None) for span in ended]


def only(spans: InMemorySpanExporter, kind: SpanKind) -> ReadableSpan:
    """The one span of a kind."""
    (span,) = [span for span in spans.get_finished_spans() if span.kind is kind]
    return span


def beat() -> dict[str, Any]:
    return {"sessionId": str(uuid.uuid4()), "currentPath": "/private"}


async def test_a_read(http: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    """The request, and within it what it waited for; no value that a client chose."""
    answer = await http.get(f"{SITE}/active?path=/private&key=secret")
    assert told(spans) == [("count", "GET /v1/sites/{site}/active"),
                           ("GET /v1/sites/{site}/active", None)]  # fmt: skip
    server, client = only(spans, SpanKind.SERVER), only(spans, SpanKind.CLIENT)
    assert dict(server.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v1/sites/{site}/active",
        "http.response.status_code": 200,
    }
    assert dict(client.attributes or {}) == {
        "db.system.name": "redis",
        "db.stored_procedure.name": "count",
    }
    assert "x-request-id" in answer.headers


async def test_writes(http: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    """A batch, a view and a goodbye; never a heartbeat, which is the hot way."""
    assert (await http.post(f"{SITE}/heartbeat", json=beat())).status_code == 204
    assert (await http.post(f"{SITE}/heartbeat?counts=1", json=beat())).status_code == 200
    assert told(spans) == []
    session = {"sessionId": str(uuid.uuid4())}
    for path, body in (
        ("heartbeats", {"heartbeats": [beat()]}),
        ("views", {**session, "path": "/"}),
        ("leave", session),
    ):
        assert (await http.post(f"{SITE}/{path}", json=body)).is_success
    assert told(spans) == [
        ("heartbeat", "POST /v1/sites/{site}/heartbeats"),
        ("POST /v1/sites/{site}/heartbeats", None),
        ("view", "POST /v1/sites/{site}/views"),
        ("POST /v1/sites/{site}/views", None),
        ("leave", "POST /v1/sites/{site}/leave"),
        ("POST /v1/sites/{site}/leave", None),
    ]


async def test_a_parent_is_believed_of_proxies_only(
    http: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    """For it may ask for a trace where none would be made."""
    headers = {"traceparent": PARENT}
    await http.get(f"{SITE}/active", headers=headers)
    server = only(spans, SpanKind.SERVER)
    assert server.context is not None
    assert f"{server.context.trace_id:032x}" == PARENT.split("-")[1]
    spans.clear()
    cast(Any, http)._transport.client = ("192.0.2.1", 1)
    await http.get(f"{SITE}/active", headers=headers)
    assert only(spans, SpanKind.SERVER).parent is None


async def test_failures(http: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    """The caller's fault is none of ours."""
    assert (await http.get("http://x/nothing/here")).status_code == 404
    assert only(spans, SpanKind.SERVER).name == "GET none"
    assert only(spans, SpanKind.SERVER).status.status_code is StatusCode.UNSET


async def test_the_background_is_not_traced(
    http: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    """Nobody asked for a sweep, and a live stream has no end."""
    await http.post(f"{SITE}/heartbeats", json={"heartbeats": [beat()]})
    spans.clear()
    await asyncio.sleep(3 * POLL_S)  # in which it sweeps
    assert told(spans) == []


def test_off_costs_nothing() -> None:
    """It is not even imported; redis-py looks for parts of it by itself."""
    code = (
        "import sys; from service.app import create_app; from service.settings import Settings;"
        "create_app(Settings.from_env({'PRESENCE_REDIS_URL': 'memory://'}));"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry.exporter')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("disabled", ["", "true"])
def test_on_by_the_environment(
    valkey: Server,
    key_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disabled: str,
) -> None:
    """By OpenTelemetry's own variables; what was not sent yet is sent at the end."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "presence-of-a-test")
    monkeypatch.setenv("OTEL_SDK_DISABLED", disabled)
    service = LiveService(tmp_path, valkey.url, KEY_PREFIX=key_prefix)
    try:
        service.start()
        assert service.get("/v1/sites/blog/active").status_code == 200
        service.stop()
        is_traced = '"name": "GET /v1/sites/{site}/active"' in service.log
        assert is_traced == ("presence-of-a-test" in service.log) == (not disabled)
    finally:
        service.close()


def test_an_unknown_exporter_is_told(
    valkey: Server, key_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not stop the service."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    service = LiveService(tmp_path, valkey.url, KEY_PREFIX=key_prefix)
    try:
        service.start()
        assert "must be otlp, console or none" in service.log
    finally:
        service.close()
