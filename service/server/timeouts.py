"""How long a connection may take: for a request, for an answer, and for nothing at all.

uvicorn bounds only the last. Without the others a client that sends a byte now and then, or takes
nothing of what it is sent, holds a connection, its buffers and a stream's slot for as long as it
likes.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_S = 9.5  # from its first byte to its last; a body that is read is refused before (408)
MOST_HEAD_BYTES = 64 * 1024
LINGER_S = 2.0  # for what still comes of a request that was refused before all of it was here
SLOW_READER_S = 30.0  # a client that takes nothing for so long is cut off

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class LingeringTransport:
    """A connection's transport as the answer to one request sees it: closed only when all of the
    request is here, or after a while. Closed before, the connection would be reset by what still
    comes, and the answer lost on the way, above all to a proxy."""

    def __init__(self, protocol: "TimeoutProtocol") -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """Closes it, soon."""
        self._protocol.close_after_the_request()


class TimeoutProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with an end to everything.

    A subclass says where it is, as plain attributes, for this is on the way of every heartbeat:
    `awaits` and `head_bytes` when a message begins, when its head is there, and when all of it is.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.awaits = "head"  # what of a request is still to come: its head, its body, or nothing
        self.head_bytes: int | None = 0  # None: the head began in the piece that is being parsed
        self.idle_since: float | None = None
        self.is_lingering = False
        self.patient: LingeringTransport
        self._late: asyncio.TimerHandle | None = None
        self._slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's; the first request is due from now on."""
        super().connection_made(transport)
        self.patient = LingeringTransport(self)
        self._late = self.loop.call_later(REQUEST_S, self._cut_off)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's, with the timers, which would keep all of this for their time."""
        super().connection_lost(exc)
        for timer in (self._late, self._slow, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._late = self._slow = self.timeout_keep_alive_task = None

    def _cut_off(self) -> None:
        # Not closed: that would wait until the peer takes what was written to it.
        self.transport.abort()

    # A request that does not get done

    def data_received(self, data: bytes) -> None:
        """As uvicorn's; what comes in pieces must come soon."""
        super().data_received(data)
        if self.awaits:
            self._watch_what_comes_in_pieces(len(data))
        elif self._late is not None:
            self._late.cancel()
            self._late = None

    def _watch_what_comes_in_pieces(self, size: int) -> None:
        if self._late is None:
            self._late = self.loop.call_later(REQUEST_S, self._cut_off)
        if self.awaits != "head":
            return
        self.head_bytes = 0 if self.head_bytes is None else self.head_bytes + size
        if self.head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def close_after_the_request(self) -> None:
        """Nothing more is answered; what still comes of the request is thrown away."""
        if self.awaits == "body" and not self.transport.is_closing():
            self.is_lingering = True
            self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()

    # An answer that is not taken

    def pause_writing(self) -> None:
        """As uvicorn's; from now on the client has so long to take some of it."""
        super().pause_writing()
        if self._slow is None:
            self._slow = self.loop.call_later(SLOW_READER_S, self._cut_off)

    def resume_writing(self) -> None:
        """As uvicorn's."""
        super().resume_writing()
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    # A connection that nobody uses

    def _unset_keepalive_if_required(self) -> None:
        """Somebody uses it. uvicorn's timer, made and cancelled for each request, costs as much
        as reading the request; one that is there already finds out by itself."""
        self.idle_since = None

    def on_response_complete(self) -> None:
        """As uvicorn's, with that timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.is_lingering:
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idleness(self.timeout_keep_alive)

    def _watch_idleness(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        """Closes the connection if it has been idle for long enough, or looks again when it will
        have been."""
        self.timeout_keep_alive_task = None
        if self.idle_since is None or self.transport.is_closing():
            return  # the next answer watches again
        left_s = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._watch_idleness(left_s)
        else:
            self.transport.close()
