"""A TCP proxy that does to connections what networks do."""

import asyncio
import contextlib
import socket
import struct
import time
from typing import Literal

from tests.faults.background import Background

Direction = Literal["up", "down"]  # to the server; to the client


class Proxy:
    """Stands before `target`, a port of this machine. What it does may be changed at any time.

    `delay_s`: how long each piece is held back, on its way up and on its way down.
    `dropped`: directions in which bytes are swallowed; both: a black hole.
    `is_refusing`: whether those who connect are reset at once.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay_s = 0.0
        self.dropped: set[Direction] = set()
        self.is_refusing = False
        self.connected_at: list[float] = []
        self._cuts = 0
        self.cuts_made = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._background = Background()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> "Proxy":
        self._background.__enter__()
        self._background.run(self._listen())
        return self

    def __exit__(self, *exc: object) -> None:
        if self._server is not None:
            self._background.loop.call_soon_threadsafe(self._server.close)
        self.reset()
        self._background.__exit__(*exc)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def reset(self) -> None:
        """Resets every connection, to both sides."""
        self._background.run(self._reset_all())

    async def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    def cut_replies(self, count: int) -> None:
        """Each of the next `count` pieces from the server ends in its middle, and its connection
        with it."""
        self._cuts, self.cuts_made = count, 0

    def connects_per_second(self) -> int:
        """The most connections that were made in one second."""
        starts = sorted(self.connected_at)
        return max((sum(at <= t < at + 1 for t in starts) for at in starts), default=0)

    @property
    def open(self) -> int:
        """Connections that clients hold now."""
        return len(self._open) // 2

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected_at.append(time.monotonic())
        if self.is_refusing:
            return _reset(writer)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return _reset(writer)
        both = {writer, to_server}
        self._open |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, to_server, "up", both))
                group.create_task(self._pass(from_server, writer, "down", both))
        finally:
            self._open -= both
            for side in both:
                side.close()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        direction: Direction,
        both: set[asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if direction in self.dropped:
                    continue
                if direction == "down" and self._cuts:
                    self._cuts -= 1
                    self.cuts_made += 1
                    sink.write(piece[: max(1, len(piece) // 2)])
                    break
                sink.write(piece)
                await sink.drain()
        for side in both:
            side.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
