"""What serves where nothing else fits the uvicorn that is installed."""

from service.server.protocol import MOST_HEAD_BYTES, PlainProtocol

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class MinimalProtocol(PlainProtocol):
    """What serves where nothing else fits the uvicorn that is installed. Heads and trailers have a
    limit all the same; it needs no more of uvicorn than the names by which the parser calls it.
    Time has none but uvicorn's own, of idle connections."""

    _silent_bytes = 0  # since the last end of a head, piece of a body or end of a message

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
        """A head has ended."""
        self._silent_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """There is more than a head."""
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The message has ended."""
        self._silent_bytes = 0
        super().on_message_complete()
