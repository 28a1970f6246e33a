"""What serves where nothing else fits the uvicorn that is installed."""

import asyncio
from typing import Any

from service.server.protocol import MOST_HEAD_BYTES, PlainProtocol
from service.server.timeouts import ANSWER_S, NO_ANSWER

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class MinimalProtocol(PlainProtocol):
    """What serves where nothing else fits the uvicorn that is installed: it needs no more of it
    than the names by which the parser calls it, and its cycle of request and response. Heads,
    trailers and the time for an answer have limits all the same; idle connections have uvicorn's.
    """

    _silent_bytes = 0  # since the last end of a head, piece of a body or end of a message
    _is_watched = False

    def data_received(self, data: bytes) -> None:
        """Closes the connection of whoever sends a head, or trailers, without an end."""
        self._silent_bytes += len(data)
        super().data_received(data)
        if self._silent_bytes >= MOST_HEAD_BYTES and not self.transport.is_closing():
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A head has ended: its answer is due."""
        self._silent_bytes = 0
        super().on_headers_complete()
        if not self._is_watched:
            self._is_watched = True
            self._look_again(self.cycle)

    def on_body(self, body: bytes) -> None:
        """There is more than a head."""
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The message has ended."""
        self._silent_bytes = 0
        super().on_message_complete()

    # An answer that does not begin

    def _look_again(self, cycle: Any) -> None:
        asyncio.get_running_loop().call_later(ANSWER_S, self._look, cycle)

    def _look(self, last: Any) -> None:
        """Ends what has waited since the last look; one timer for each connection."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is not last or cycle is None or cycle.response_started:
            self._look_again(cycle)
            return
        self.logger.error("a request was given up without an answer")
        cycle.disconnected = True  # an answer that comes later is not written
        if not self.pipeline:  # else it is another's answer that is missing, or half written
            self.transport.write(NO_ANSWER)
        self.transport.close()
