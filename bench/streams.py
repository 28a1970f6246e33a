"""A client of many live streams, as a process of its own: `python -m bench.streams`.

Opens the streams, sends heartbeats one after another, each on a page of its own, and notes how
long after each acknowledgement the last stream was told of that page.
"""

import asyncio
import functools
import json
import sys
import time
from typing import Any

ADDRESS_HOLDS = 200  # streams of one address: fewer than the service allows
WAIT_S = 10.0


class Watch:
    """Which streams have been told what."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.begun = 0
        self.told = 0
        self.wanted = b"\x00"
        self.changed = asyncio.Event()


class Stream(asyncio.Protocol):
    """One stream. Its events are small, so that one is rarely split; what is left of one that is
    goes before the next piece."""

    def __init__(self, watch: Watch, number: int, site: str, origin: str) -> None:
        self._watch = watch
        address = f"10.0.{number // ADDRESS_HOLDS // 250}.{number // ADDRESS_HOLDS % 250 + 1}"
        self._request = (
            f"GET /v1/sites/{site}/live HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n"
            f"X-Forwarded-For: {address}\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        self._is_begun = False
        self._rest = b""
        self._found = b""

    def connection_made(self, transport: Any) -> None:
        """Asks."""
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Looks for what is wanted."""
        data = self._rest + data
        self._rest = data[-512:]
        watch = self._watch
        if not self._is_begun and b"event: snapshot" in data:
            self._is_begun = True
            watch.begun += 1
            watch.changed.set()
        if self._found != watch.wanted and watch.wanted in data:
            self._found = watch.wanted
            watch.told += 1
            if watch.told == watch.streams:
                watch.changed.set()


async def run(port: int, streams: int, heartbeats: int, site: str, origin: str) -> dict[str, Any]:
    """Milliseconds from each acknowledgement to the last stream, and how long it all took."""
    watch = Watch(streams)
    loop = asyncio.get_running_loop()
    for number in range(streams):
        await loop.create_connection(
            functools.partial(Stream, watch, number, site, origin), "127.0.0.1", port
        )
    await _until(watch, lambda: watch.begun == streams)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.monotonic()
    late_ms = []
    for number in range(heartbeats):
        path = f"/told/{number}/"
        watch.told, watch.wanted = 0, f'"{path[:-1]}"'.encode()  # as the service writes it
        body = json.dumps({"sessionId": f"session-{number:012d}", "currentPath": path})
        writer.write(
            (
                f"POST /v1/sites/{site}/heartbeat HTTP/1.1\r\nHost: localhost\r\n"
                f"Origin: {origin}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 204"):
            raise RuntimeError(f"a heartbeat was refused: {head[:80]!r}")
        acknowledged = time.monotonic()
        await _until(watch, lambda: watch.told == streams)
        late_ms.append((time.monotonic() - acknowledged) * 1000)
        # So that heartbeats fall anywhere in a tick.
        await asyncio.sleep(0.037 * (number % 13))
    writer.close()
    return {"late_ms": late_ms, "seconds": time.monotonic() - begun}


async def _until(watch: Watch, condition: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            watch.changed.clear()
            await watch.changed.wait()


if __name__ == "__main__":
    _port, _streams, _heartbeats = (int(text) for text in sys.argv[1:4])
    print(json.dumps(asyncio.run(run(_port, _streams, _heartbeats, *sys.argv[4:6]))), flush=True)
