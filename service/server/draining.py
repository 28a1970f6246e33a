"""Between being told to stop and stopping: what is on its way here is still answered.

uvicorn, told to stop, closes its listening socket and every connection that is idle at that
moment, though a load balancer may just have sent a request over one. So first comes a while in
which everything is accepted and answered as always, but /readyz says 503, live streams end, and
each answer carries `Connection: close`: whoever sends knows where not to send the next.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any, Protocol

LOOK_S = 0.05


class Connection(Protocol):
    """One that is open."""

    def drain(self) -> None:
        """From now on each answer is its last."""


class Draining:
    """The drain of one app.

    Args:
        seconds: how long it lasts; it is over sooner when nobody is connected any more.
        end_streams: ends what has no end of its own.

    `connections`: those that are open, as the server keeps them.
    """

    def __init__(self, seconds: float, end_streams: Callable[[], None]) -> None:
        self.is_on = False
        self.connections: Collection[Connection] = ()
        self._seconds = seconds
        self._end_streams = end_streams

    @contextlib.contextmanager
    def before_signals(self) -> Iterator[None]:
        """SIGTERM or SIGINT begins the drain, and whoever was listening to them is told after it;
        or at once, by a second SIGINT."""
        loop = asyncio.get_running_loop()
        others: dict[int, Any] = {}  # uvicorn's

        def told(number: int, frame: FrameType | None) -> None:
            if self.is_on:
                if number == signal.SIGINT:
                    others[number](number, frame)
                return
            self.is_on = True
            loop.call_soon_threadsafe(self._begin, loop, lambda: others[number](number, None))

        for known in (signal.SIGINT, signal.SIGTERM):
            others[known] = signal.signal(known, told)
        try:
            yield
        finally:
            for number, other in others.items():
                signal.signal(number, other)

    def _begin(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
        self._end_streams()
        for connection in list(self.connections):
            connection.drain()
        ends_at = loop.time() + self._seconds

        def look() -> None:
            if self.connections and loop.time() < ends_at:
                loop.call_later(LOOK_S, look)
            else:
                then()

        look()
