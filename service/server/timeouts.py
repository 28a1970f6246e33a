"""How long a connection may take: for a request, for its answer, and for nothing at all.

uvicorn bounds only the last. Without the others a client that sends a byte now and then, or takes
nothing of what it is sent, holds a connection, its buffers and a stream's slot for as long as it
likes; and a request that the service loses would wait for ever.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.api.answers import RETRY_AFTER_S
from service.api.heartbeat_path import TEMPLATE
from service.api.middleware import labels_of
from service.api.request_head import COUNTED
from service.server.draining import Draining
from service.server.protocol import MOST_HEAD_BYTES, PlainProtocol
from service.server.refusals import refusal

REQUEST_S = 9.5  # from its first byte to its last; a body that is read is refused before (408)
ANSWER_S = 10.0  # until an answer begins
LOOK_S = 2.5  # how often a connection with a request under way is looked at
PIECE_BYTES = 4096  # of a large read that is parsed at once: the precision of the limit
LINGER_S = 2.0  # for what still comes of a request that was refused before all of it was here
SLOW_READER_S = 30.0  # a client that takes nothing for so long is cut off

_TOO_LARGE = refusal(431, f"the head of the request is longer than {MOST_HEAD_BYTES} bytes")
NO_ANSWER = refusal(503, f"there was no answer within {ANSWER_S:g} s", RETRY_AFTER_S)


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


class TimeoutProtocol(PlainProtocol):
    """uvicorn's HTTP protocol, with an end to everything.

    A subclass says where it is, as plain attributes, for this is on the way of every heartbeat:
    `awaits` when a message begins, when its head is there, and when all of it is; `head_bytes` when
    it begins and ends, and `silent_bytes` when its head or some of its body is there.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.awaits = "head"  # what of a request is still to come: its head, its body, or nothing
        # Parsed of a head, or of empty lines before the next, which may be there (RFC 9112, 2.2);
        # None: it began, or the message before it ended, in the piece that is being parsed.
        self.head_bytes: int | None = 0
        self.silent_bytes = 0  # parsed since the last byte of a body: trailers, mostly
        self.idle_since: float | None = None
        self.is_lingering = False
        self.lingering_transport: LingeringTransport
        self._asgi_cycle: RequestResponseCycle | None = None
        self._request_due: float | None = None
        self._request_timer: asyncio.TimerHandle | None = None
        self._looked_at: tuple[object, object] | None = None
        self._unanswered_s = 0.0
        self._slow_reader_timer: asyncio.TimerHandle | None = None
        self.is_draining = False
        draining: Draining | None = getattr(getattr(self.app, "state", None), "draining", None)
        if draining is not None:
            draining.connections = self.connections  # type: ignore[assignment]  # all are of one class
            self.is_draining = draining.is_on

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is due from now on."""
        super().connection_made(transport)
        self.lingering_transport = LingeringTransport(self)
        self._request_due = self.loop.time() + REQUEST_S
        self._look_at_the_request_in()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the timers, which would keep all of this for their time."""
        super().connection_lost(exc)
        for timer in (self._request_timer, self._slow_reader_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._request_timer = self._slow_reader_timer = self.timeout_keep_alive_task = None

    def _cut_off(self) -> None:
        # Not closed: that would wait until the peer takes what was written to it.
        self.transport.abort()

    # A request that is not complete, or not answered

    def data_received(self, data: bytes) -> None:
        """Parses a large read in pieces, so that its heads and trailers are counted."""
        if len(data) > PIECE_BYTES:
            for start in range(0, len(data), PIECE_BYTES):
                if self.transport.is_closing() and not self.is_lingering:
                    return
                self.data_received(data[start : start + PIECE_BYTES])
            return
        self.parse(data)
        if self.awaits:
            self._watch_what_comes_in_pieces(len(data))
        else:
            if self.head_bytes is None:
                self.head_bytes = 0
            else:
                self._count_empty_lines(len(data))
            # The rest of a body, whose request was answered before, has just come.
            if self.idle_since is None and self.cycle is not None and self.cycle.response_complete:
                self._begin_idleness()
        if self._request_timer is None:
            self._look_at_the_request_in()

    def _watch_what_comes_in_pieces(self, size: int) -> None:
        if self.head_bytes is None or self._request_due is None:  # this request began just now
            self._request_due = self.loop.time() + REQUEST_S
        if self.awaits == "head":
            self.head_bytes = counted = 0 if self.head_bytes is None else self.head_bytes + size
        else:
            self.head_bytes = 0
            self.silent_bytes = counted = self.silent_bytes + size
        if counted >= MOST_HEAD_BYTES:
            self._refuse_the_size()

    def _count_empty_lines(self, size: int) -> None:
        """Between two requests. They leave an idle connection idle."""
        self.head_bytes = counted = (self.head_bytes or 0) + size
        if counted >= MOST_HEAD_BYTES:
            self._refuse_the_size()

    def _refuse_the_size(self) -> None:
        if self.transport.is_closing():
            return
        if not self._is_busy() or (self.awaits == "body" and not self._has_begun()):
            self._refuse(_TOO_LARGE, ("none", "none", "431"))
        self.transport.close()

    def _is_busy(self) -> bool:
        """Whether a request is not answered to the end."""
        return self.cycle is not None and not self.cycle.response_complete

    def is_waiting(self) -> bool:
        """Whether a request has no answer yet, not even the beginning of one."""
        return self._is_busy() and not self._has_begun()

    def _has_begun(self) -> bool:
        """Whether an answer is being written, such as a live stream."""
        cycle = self._asgi_cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._asgi_cycle = cycle
        super()._start_asgi_task(cycle, app)

    def _look_at_the_request_in(self, seconds: float | None = None) -> None:
        after_s = LOOK_S if seconds is None else seconds
        self._request_timer = self.loop.call_later(after_s, self._look_at_the_request)

    def _look_at_the_request(self) -> None:
        """Ends what takes too long. One timer looks again and again: one for each request would
        cost as much as reading it."""
        self._request_timer = None
        if self.transport.is_closing():
            return
        now = self.loop.time()
        is_waiting, at = self.is_waiting(), (self.cycle, self._asgi_cycle)
        if is_waiting and self.awaits != "body" and at == self._looked_at:
            self._unanswered_s += LOOK_S
            if self._unanswered_s >= ANSWER_S:
                self.end_unanswered()
                return
        else:
            self._unanswered_s = 0.0
        self._looked_at = at
        if not self.awaits:
            self._request_due = None
        elif self.flow.read_paused or self._request_due is None:
            self._request_due = now + REQUEST_S  # what we do not read cannot come
        elif now >= self._request_due:
            self._cut_off()
            return
        if self.awaits or is_waiting:
            left_s = self._request_due - now if self._request_due is not None else LOOK_S
            self._look_at_the_request_in(min(left_s, LOOK_S))

    def end_unanswered(self, is_counted: bool = False) -> None:
        """Answers 503 to a request that got no answer, and closes the connection. `is_counted`:
        metrics know of it already."""
        self.logger.error("a request was given up without an answer")
        if self.cycle is not None:
            self.cycle.disconnected = True  # an answer that comes later is not written
        if not self.transport.is_closing():
            if not self._has_begun():
                scope: Any = getattr(self.cycle, "scope", None)
                route = ("POST", TEMPLATE) if scope is None else labels_of(scope)
                is_counted |= scope is not None and COUNTED in scope
                self._refuse(NO_ANSWER, None if is_counted else (*route, "503"))
                if scope is not None:
                    scope[COUNTED] = True
            self.transport.close()
        if self._request_timer is not None:
            self._request_timer.cancel()
        self._request_timer = self.loop.call_later(LINGER_S, self._cut_off)

    def _refuse(self, answer: bytes, labels: tuple[str, str, str] | None) -> None:
        """Writes an answer, and counts it if it has labels, for the app does not know of it."""
        self.transport.write(answer)
        context = self._context
        if context is not None and labels is not None:
            context.metrics.requests.labels(*labels).inc()

    @property
    def _context(self) -> Any:
        return getattr(getattr(self.app, "state", None), "context", None)

    def close_after_the_request(self) -> None:
        """Nothing more is answered; what still comes of the request is thrown away."""
        if self.awaits == "body" and not self.transport.is_closing():
            self.is_lingering = True
            self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()

    # The service is told to stop

    def drain(self) -> None:
        """From now on each answer is the connection's last, and says so."""
        self.is_draining = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """uvicorn stops: live streams, which have no end of their own, end now; a request of which
        a part is here is waited for."""
        if self._context is not None:
            self._context.hub.close()
        if self.awaits and self.headers is not None:
            self.drain()
        else:
            super().shutdown()

    # An answer that is not taken

    def pause_writing(self) -> None:
        """From now on the client has SLOW_READER_S to take some of it."""
        super().pause_writing()
        if self._slow_reader_timer is None:
            self._slow_reader_timer = self.loop.call_later(SLOW_READER_S, self._cut_off)

    def resume_writing(self) -> None:
        """The client has taken some of it."""
        super().resume_writing()
        if self._slow_reader_timer is not None:
            self._slow_reader_timer.cancel()
            self._slow_reader_timer = None

    # A connection that nobody uses

    def _unset_keepalive_if_required(self) -> None:
        """Notes that it is in use, for a request has begun. uvicorn's timer, made and cancelled
        for each request, costs as much as reading the request; a timer that is running finds out
        by itself."""
        self.idle_since = None

    def on_response_complete(self) -> None:
        """Starts the next request of the pipeline, or the time without one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.is_lingering:
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if self._request_timer is None:
                self._look_at_the_request_in()
            return
        if not self.awaits:  # else the next request has begun, or the rest of this one is to come
            self._begin_idleness()

    def _begin_idleness(self) -> None:
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
