"""What serves where the fast path does not fit the uvicorn that is installed."""

import asyncio
from typing import cast

from service.server.timeouts import TimeoutProtocol


class AsgiProtocol(TimeoutProtocol):
    """Answers every request through the app, within the limits of size and time of the fast path,
    of which it uses nothing."""

    def on_message_begin(self) -> None:
        """A request has begun."""
        self.awaits, self.head_bytes = "head", None
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        self.awaits, self.silent_bytes = "body", 0
        super().on_headers_complete()
        if not self.is_upgrade_offered:
            self.cycle.transport = cast(asyncio.Transport, self.lingering_transport)
            if self.is_draining:
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Some of its body has come."""
        self.silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is here."""
        if self.is_upgrade_offered:
            return
        self.awaits, self.head_bytes = "", None
        if self.is_lingering:
            self.transport.close()
        super().on_message_complete()
