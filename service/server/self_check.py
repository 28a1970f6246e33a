"""Whether the fast path works with the uvicorn that is installed, whose internals it uses."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.api.heartbeats import Reply
from service.errors import StoreUnreachable
from service.server.fast_path import FastPathProtocol
from service.server.protocol import PlainProtocol
from service.store.writer import Heartbeat

log = structlog.get_logger(__name__)

ANSWER_S = 1.0
_HEARTBEAT = (
    b"POST /v1/sites/self-check/heartbeat HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)


def checked_protocol() -> type[HttpToolsProtocol]:
    """The protocol to serve with: uvicorn's own where the fast path fails."""
    try:
        asyncio.run(_check())
    except Exception as error:
        log.error("fast_path_unusable", uvicorn=uvicorn.__version__, cause=repr(error))
        return PlainProtocol
    return FastPathProtocol


async def _check() -> None:
    """Sends one heartbeat that succeeds and one that is refused, as while Redis is away."""
    intake = _Intake()
    draining = SimpleNamespace(connections=(), is_on=False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a heartbeat took the ASGI path")

    app.state = SimpleNamespace(intake=intake, draining=draining)  # type: ignore[attr-defined]
    config = uvicorn.Config(
        app, interface="asgi3", lifespan="off", ws="none", log_config=None, proxy_headers=False
    )
    config.load()
    config.loaded_app = app
    transport = _Transport()
    protocol = FastPathProtocol(config, ServerState(), {})
    failures = _Failures()
    protocol.logger = logging.Logger("self-check")  # the cause is logged by the caller, once
    protocol.logger.addHandler(failures)
    protocol.connection_made(transport)
    try:
        for outcome, status in (("created", b"204"), (StoreUnreachable("self-check"), b"503")):
            transport.written = b""
            protocol.data_received(_HEARTBEAT)
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


class _Intake:
    """Takes any heartbeat, and says nothing until its waiter is told."""

    waiter: Any = None

    def begin(self, name: str, peer: str, head: Any, fields: Any, body: bytes, waiter: Any) -> Any:
        self.waiter = waiter
        return Heartbeat("self-check", "/", "", "", ""), ()

    def count_hot(self, outcome: str) -> None:
        """Counts nothing."""

    def told_of(self, outcome: str) -> Any:
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
