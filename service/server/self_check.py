"""Whether our protocols work with the uvicorn that is installed, whose internals they use."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.api.geo import NOWHERE
from service.api.intake import Reply, Sender
from service.errors import StoreUnreachable
from service.server.fallback_protocol import AsgiProtocol
from service.server.fast_path import FastPathProtocol
from service.server.minimal_protocol import MinimalProtocol
from service.server.protocol import MOST_HEAD_BYTES
from service.store.writer import Heartbeat

log = structlog.get_logger(__name__)

ANSWER_S = 1.0
_HEARTBEAT = (
    b"POST /v1/sites/self-check/heartbeat HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)


def checked_protocol() -> type[HttpToolsProtocol]:
    """The protocol to serve with: without the fast path where that fails, and, where the limits
    of time and size fail too, little more than uvicorn's own."""
    for protocol, check, failure in (
        (FastPathProtocol, _check_fast_path, "fast_path_unusable"),
        (AsgiProtocol, _check_limits, "limits_unusable"),
    ):
        try:
            asyncio.run(check())
        except Exception as error:
            log.error(failure, uvicorn=uvicorn.__version__, cause=repr(error))
        else:
            return protocol
    return MinimalProtocol


def _config(app: Any) -> uvicorn.Config:
    config = uvicorn.Config(
        app, interface="asgi3", lifespan="off", ws="none", log_config=None, proxy_headers=False
    )
    config.load()
    config.loaded_app = app
    return config


async def _check_fast_path() -> None:
    """Sends heartbeats that succeed and one that is refused, as while Redis is away."""
    intake = _Intake()
    draining = SimpleNamespace(connections=(), is_on=False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a heartbeat took the ASGI path")

    app.state = SimpleNamespace(intake=intake, draining=draining)  # type: ignore[attr-defined]
    transport = _Transport()
    protocol = FastPathProtocol(_config(app), ServerState(), {})
    failures = _Failures()
    protocol.logger = logging.Logger("self-check")  # the cause is logged by the caller, once
    protocol.logger.addHandler(failures)
    protocol.connection_made(transport)
    try:
        # Parsed, with the same head, and parsed again.
        for request, outcome, status in (
            (_HEARTBEAT, "created", b"204"),
            (_HEARTBEAT, "refreshed", b"204"),
            (_HEARTBEAT.replace(b"localhost", b"other"), StoreUnreachable("self-check"), b"503"),
        ):
            transport.written = b""
            protocol.data_received(request)
            if intake.waiter is None:
                raise RuntimeError("a heartbeat did not take the fast path")
            waiter, intake.waiter = intake.waiter, None
            if isinstance(outcome, str):
                waiter.set_result(outcome)
            else:
                waiter.set_exception(outcome)
            async with asyncio.timeout(ANSWER_S):
                while (  # noqa: ASYNC110  # a turn of the loop at a time
                    not protocol.cycle.response_complete and not transport.is_closed
                ):
                    await asyncio.sleep(0)
            if failures.first is not None:
                raise failures.first
            if not transport.written.startswith(b"HTTP/1.1 " + status):
                raise RuntimeError(f"{status.decode()} expected, not {transport.written[:40]!r}")
            if transport.is_closed:
                raise RuntimeError(f"the connection was closed after a {status.decode()}")
    finally:
        protocol.connection_lost(None)


async def _check_limits() -> None:
    """Sends a heartbeat that the app answers, and a head without an end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body", False):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = _Transport()
    protocol = AsgiProtocol(_config(app), ServerState(), {})
    protocol.connection_made(transport)
    try:
        protocol.data_received(_HEARTBEAT)
        async with asyncio.timeout(ANSWER_S):
            while protocol.idle_since is None:  # noqa: ASYNC110  # a turn of the loop at a time
                await asyncio.sleep(0)
        if not transport.written.startswith(b"HTTP/1.1 204 ") or transport.is_closed:
            raise RuntimeError(f"204 expected, not {transport.written[:40]!r}")
        transport.written = b""
        protocol.data_received(b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MOST_HEAD_BYTES)
        if not transport.written.startswith(b"HTTP/1.1 431 ") or not transport.is_closed:
            raise RuntimeError("a head without an end was not refused")
    finally:
        protocol.connection_lost(None)


class _Intake:
    """Takes any heartbeat, and says nothing until its waiter is told."""

    waiter: Any = None

    def sender_of(self, peer: str, head: Any, fields: Any) -> Sender:
        return Sender(fields, peer, "", b"", NOWHERE)

    def begin(self, name: str, sender: Sender, body: bytes, waiter: Any) -> Any:
        self.waiter = waiter
        return Heartbeat("self-check", "/", "", "", ""), ()

    def count_buffered(self, outcome: str) -> None:
        """Counts nothing."""

    def outcome_headers(self, outcome: str) -> Any:
        return ((b"presence-status", outcome.encode()),)

    def refused(self, error: Exception, cors: Any) -> Reply:
        return Reply(503, ())


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    written = b""
    is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        """Nothing more comes by itself."""

    def resume_reading(self) -> None:
        """Nothing more comes by itself."""


class _Failures(logging.Handler):
    """Keeps the first error that is logged."""

    first: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.first is None and record.exc_info:
            self.first = record.exc_info[1]
