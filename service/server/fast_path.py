"""Heartbeats answered where their bytes come in.

For each request uvicorn makes a scope, a cycle, an event and a task, which cost more than all
that is done for a heartbeat. `FastPathProtocol` answers one that is here as a whole without them.
Any other request, a body that comes in pieces, and a client that does not keep its connection are
left to uvicorn and the app. An answer that is not a plain 204 is made here as well, and only
written by a cycle of uvicorn's. The order of answers on one connection is uvicorn's: a request
behind a heartbeat that is not answered yet waits in its queue.
"""

import asyncio
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.api.cors import EXPOSED, RawHeaders
from service.api.heartbeat_path import site_in
from service.api.intake import Intake, Reply, Sender
from service.api.request_head import COUNTED, check_host, is_host
from service.api.requests.sizes import MAX_BODY_BYTES
from service.server.protocol import TRAILERS
from service.server.repeated_head import RepeatedHead
from service.server.response_cache import ResponseCache
from service.server.timeouts import TimeoutProtocol
from service.sites import is_site_id
from service.store.writer import ACCEPTED, Heartbeat

# Of one connection, heads that are kept for the next request while none comes again: those of a
# proxy, which has many clients, do not, and are not to cost more than they must.
MOST_HEADS = 2

_responses = ResponseCache()


class _NobodyWaits:
    """Stands for the event on which an ASGI app would wait; nobody does."""

    def set(self) -> None:
        """Wakes nobody."""


class PendingHeartbeat:
    """A heartbeat on its way to Redis: what the batcher tells the outcome to, and what uvicorn
    takes for the cycle of the request that is being answered."""

    __slots__ = (
        "cors",
        "disconnected",
        "keep_alive",
        "name",
        "protocol",
        "response_complete",
    )
    message_event = _NobodyWaits()

    def __init__(self, protocol: "FastPathProtocol", name: str) -> None:
        self.protocol = protocol
        self.name = name
        self.cors: RawHeaders = ()
        self.keep_alive = True
        self.response_complete = False
        self.disconnected = False

    def done(self) -> bool:
        """Whether it was answered."""
        return self.response_complete

    def set_result(self, outcome: str, /) -> None:
        """Answers with the outcome."""
        protocol = self.protocol
        try:
            if outcome in ACCEPTED:
                intake = protocol.intake
                defaults = protocol.server_state.default_headers
                self.answer(
                    _responses.of_outcome(intake.outcome_headers(outcome), self.cors, defaults)
                )
                intake.count_buffered(outcome)
            else:
                protocol.answer_by_cycle(self, protocol.intake.outcome_reply(outcome, self.cors))
        except Exception as error:
            self._give_up(error)

    def set_exception(self, error: BaseException, /) -> None:
        """Answers with the error."""
        assert isinstance(error, Exception)
        is_counted = False
        try:
            reply = self.protocol.intake.refused(error, self.cors)
            is_counted = True
            self.protocol.answer_by_cycle(self, reply)
        except Exception as failure:
            self._give_up(failure, is_counted)

    def _give_up(self, error: Exception, is_counted: bool = False) -> None:
        # The batcher tells its waiters one after the other: those behind must be told too.
        self.protocol.logger.error("an answer failed", exc_info=error)
        self.protocol.end_unanswered(is_counted)

    def cancel(self) -> None:
        """There will be no answer: the service is being torn down."""
        self.protocol.transport.close()

    def answer(self, head: bytes) -> None:
        """Writes a 204."""
        protocol = self.protocol
        self.response_complete = True
        transport = protocol.transport
        if not transport.is_closing():
            if self.keep_alive:
                transport.write(head)
            else:
                transport.write(head[:-2] + b"connection: close\r\n\r\n")
                transport.close()
        protocol.on_response_complete()


_LONGEST_URL = len("/v1/sites/") + 63 + len("/heartbeat")


@cache
def _site_finder(public_path: str) -> Callable[[bytes], str | None]:
    """What finds the site in the URL of a heartbeat, which may be below the public path."""

    @lru_cache(maxsize=8192)
    def find_site(url: bytes) -> str | None:
        # One with a query or an escape takes the ASGI path: no site's id has either.
        name = site_in(url.decode("latin-1").removeprefix(public_path))
        return name if name is not None and is_site_id(name) else None

    return find_site


class FastPathProtocol(TimeoutProtocol):
    """uvicorn's HTTP protocol, with the way of a heartbeat cut short.

    It looks for an `intake` in the state of the app that uvicorn was given, and without one is
    uvicorn's own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        state: Any = getattr(self.app, "state", None)
        self.intake: Intake = cast(Intake, getattr(state, "intake", None))
        # uvicorn handles a root path and a limit of connections.
        is_ours = not self.root_path and not self.limit_concurrency
        self._is_on = self.intake is not None and is_ours and not self.is_draining
        self._head: list[tuple[bytes, bytes]] = []  # of the request at hand, complete
        self._fields: dict[bytes, bytes] = {}  # the same by name, of a heartbeat
        public_path = getattr(self.intake, "public_path", "")
        self._find_site = _site_finder(public_path)
        self._longest_url = _LONGEST_URL + len(public_path)
        self._name: str | None = None  # the site of the heartbeat whose body is coming in
        self._body = b""
        self._sender: Sender | None = None  # of the heartbeat that was begun last
        self._repeated: RepeatedHead | None = None
        self._heads_left = MOST_HEADS
        self._is_between = True  # no part of a request is here

    def data_received(self, data: bytes) -> None:
        """Begins a heartbeat at once whose head is that of one before it."""
        if self._repeated is not None and self._begin_repeated(self._repeated, data):
            return
        is_whole, self._sender = self._is_between, None
        super().data_received(data)
        self._is_between = not self.awaits
        if self._sender is not None and is_whole and self._is_between and self._heads_left:
            self._heads_left -= 1
            self._repeated = RepeatedHead.of(data, self._longest_url, self._sender)
            self._head, self._body = [], b""  # a connection that idles is to hold no more than that

    # Called by the parser

    def on_message_begin(self) -> None:
        """Makes no scope, which only the ASGI path needs."""
        self.awaits, self.head_bytes = "head", None
        self.url = b""
        self.headers = []
        self.idle_since = None  # one behind a request that was answered at once is there already

    def on_header(self, name: bytes, value: bytes) -> None:
        """Leaves out what uvicorn compares each header with; that is looked up once."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Takes the fast path where it can."""
        self.awaits, self.silent_bytes = "body", 0
        if self.parser.should_upgrade():
            self.is_upgrade_offered = True
            return
        self._head, self.headers = self.headers, TRAILERS
        name = self._heartbeat_site()
        if name is None:
            self._take_the_asgi_path()
        else:
            self._name, self._body = name, b""

    def on_body(self, body: bytes) -> None:
        """Collects the body of a heartbeat."""
        if self._name is None:
            self.silent_bytes = 0
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Begins the heartbeat."""
        if self.is_upgrade_offered:
            return
        self.awaits, self.head_bytes = "", None
        if self.is_lingering:
            self.transport.close()
        name = self._name
        if name is None:
            super().on_message_complete()
        elif len(self._body) > MAX_BODY_BYTES:
            self._wait_for_the_body()
            super().on_message_complete()
        else:
            self._name = None
            self._begin(name, self._body)

    # Called when the service is told to stop

    def drain(self) -> None:
        """The fast path does not say that an answer is the last."""
        super().drain()
        self._is_on = False

    def end_unanswered(self, is_counted: bool = False) -> None:
        """A heartbeat that is given up is told nothing more."""
        super().end_unanswered(is_counted)
        if isinstance(cast(object, self.cycle), PendingHeartbeat):
            self.cycle.response_complete = True

    # The fast path

    def _heartbeat_site(self) -> str | None:
        cycle = self.cycle
        if not self._is_on or self.flow.write_paused:
            return None
        if cycle is not None and not cycle.response_complete:
            return None  # a pipelined request
        parser = self.parser
        if (
            parser.get_method() != b"POST"
            or not parser.should_keep_alive()
            or parser.get_http_version() != "1.1"
        ):
            return None
        name = self._find_site(self.url) if len(self.url) <= self._longest_url else None
        if name is None:
            return None
        self._fields = dict(self._head)
        return None if b"expect" in self._fields else name

    def _begin_repeated(self, repeated: RepeatedHead, data: bytes) -> bool:
        """Begins a heartbeat with the same head as one before; False: it is for the parser."""
        cycle = self.cycle
        if self.awaits or not self._is_on or self.flow.write_paused or not cycle.response_complete:
            return False
        found = repeated.match(data)
        name = self._find_site(found[0]) if found else None
        if found is None or name is None:
            return False
        self._heads_left = MOST_HEADS
        self.head_bytes, self.idle_since = 0, None
        self._begin(name, found[1], repeated.sender)
        if self._request_timer is None:
            self._look_at_the_request_in()
        return True

    def _begin(self, name: str, body: bytes, sender: Sender | None = None) -> None:
        pending = PendingHeartbeat(self, name)
        self.cycle = cast(RequestResponseCycle, pending)
        pending.keep_alive = self._is_on
        try:
            if sender is None:
                sender = self._sender_of(self._head, self._fields)
        except Exception as error:
            self.answer_by_cycle(pending, self.intake.refused(error, EXPOSED))
            return
        begun, pending.cors = self.intake.begin(name, sender, body, pending)
        if isinstance(begun, Heartbeat):
            self._sender = sender  # its outcome is told later
        elif begun.status == 204:
            pending.answer(_responses.of(begun.headers, self.server_state.default_headers))
        else:
            self.answer_by_cycle(pending, begun)

    def _sender_of(self, head: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]) -> Sender:
        """Raises RequestError, 400, where a header is missing that HTTP/1.1 wants, or is bad."""
        # A header that is there twice, no Host or a bad one: seldom, and then it is looked at.
        if len(fields) < len(head) or not is_host(fields.get(b"host", b" ")):
            check_host(head, needs_host=True)
        return self.intake.sender_of(self.client[0] if self.client else "", head, fields)

    # The ASGI path

    def _take_the_asgi_path(self) -> None:
        url = self.url
        super().on_message_begin()
        self.url = url
        self.scope["headers"] = self._head
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self._head
        )
        super().on_headers_complete()
        self._head, self.url = [], b""  # now the app's, for as long as it needs them
        self.cycle.transport = cast(asyncio.Transport, self.lingering_transport)
        if self.is_draining:
            self.cycle.keep_alive = False

    def _watch_what_comes_in_pieces(self, size: int) -> None:
        """A body that is not complete yet is left to the ASGI path."""
        if self._name is not None:
            self._wait_for_the_body()
        super()._watch_what_comes_in_pieces(size)

    def _wait_for_the_body(self) -> None:
        body, self._name, self._body = self._body, None, b""
        self._take_the_asgi_path()
        if body:
            super().on_body(body)

    def answer_by_cycle(self, pending: PendingHeartbeat, app: ASGIApp | Reply) -> None:
        """Answers through uvicorn's cycle, which can write any answer."""
        taken_for = cast(RequestResponseCycle, pending)
        scope: Any = {
            "type": "http",
            "method": "POST",
            "http_version": "1.1",
            "path": f"/v1/sites/{pending.name}/heartbeat",
            "query_string": b"",
            "root_path": "",
            "headers": [],
            "client": self.client,
            "server": self.server,
            "scheme": self.scheme,
            COUNTED: True,
        }
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=taken_for.message_event,
            expect_100_continue=False,
            keep_alive=pending.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.disconnected = pending.disconnected
        if self.cycle is taken_for:
            self.cycle = cycle
        self._start_asgi_task(cycle, cast(Any, app))
