"""P11: 1,000 live streams of one site: what they cost Redis, and how late the last one is told.

Heartbeats are sent one after another, each on a page of its own, by this process, on the core of
the load.
"""

import asyncio
import json
import os
import time
from typing import Any

from bench import mix
from bench.processes import CORES, LOAD_CORE
from bench.programs import started
from bench.result import Context, Result
from bench.server import Valkey, valkey
from service.settings import Settings

STREAMS = 1_000
# Each call that a stream's reader makes has one of these, and no other call has any: changes.lua
# reads the log from where it knows it, snapshot.lua looks at its end.
READS = ("xrange", "xrevrange")
MOST_CALLS, MOST_LATE_MS = 2.0, 250.0
ADDRESS_HOLDS = 200  # streams of one address: fewer than the service allows
WAIT_S = 10.0


async def run(context: Context) -> list[Result]:
    heartbeats = 12 if context.quick else 30
    tick_s = Settings.from_env({}).live_tick
    context.say(f"{STREAMS:,} live streams, {heartbeats} heartbeats")
    everywhere = os.sched_getaffinity(0)
    with valkey(context.folder) as redis, started("proxied", redis, context.folder) as (_, port):
        os.sched_setaffinity(0, {LOAD_CORE % CORES})
        try:
            late, calls_a_second = await watch_streams(redis, port, heartbeats)
        finally:
            os.sched_setaffinity(0, everywhere)
    late = sorted(late)
    p95 = late[round(0.95 * (len(late) - 1))]
    calls_a_tick = calls_a_second * tick_s
    limit_ms = tick_s * 1000 + MOST_LATE_MS
    what = f"{STREAMS:,} live streams of one site: acknowledgement to the last one told, p95"
    bar = f"≤ {limit_ms:.0f} ms; ≤ {MOST_CALLS:g} calls a tick"
    is_reached = p95 <= limit_ms and calls_a_tick <= MOST_CALLS
    shown = f"{late[0]:.0f} to {late[-1]:.0f} ms"
    note = f"{calls_a_tick:.1f} calls of Redis a tick"
    ratio, against = p95 / limit_ms, "a tick and 250 ms"
    return [Result("P11", what, p95, "ms", against, limit_ms, ratio, bar, is_reached, shown, note)]


class Watch:
    """How many streams have been told what is wanted."""

    told = 0
    wanted = b"event: snapshot"

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    async def all_told(self) -> None:
        """Until every stream has been told. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            while self.told < STREAMS:
                self.changed.clear()
                await self.changed.wait()


class Stream(asyncio.Protocol):
    """One stream; what is left of an event that is split goes before the next piece."""

    def __init__(self, watch: Watch, number: int) -> None:
        self._watch = watch
        self._address = f"10.0.0.{number // ADDRESS_HOLDS + 1}"
        self._rest = self._found = b""

    def connection_made(self, transport: Any) -> None:
        transport.write(
            f"GET /v1/sites/{mix.site(0)}/live HTTP/1.1\r\nHost: localhost\r\n"
            f"Origin: {mix.ORIGIN}\r\nX-Forwarded-For: {self._address}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        data, watch = self._rest + data, self._watch
        self._rest = data[-512:]
        if self._found != watch.wanted and watch.wanted in data:
            self._found = watch.wanted
            watch.told += 1
            if watch.told == STREAMS:
                watch.changed.set()


async def watch_streams(redis: Valkey, port: int, heartbeats: int) -> tuple[list[float], float]:
    """Milliseconds from each acknowledgement to the last stream, and calls of Redis a second."""
    watch, loop = Watch(), asyncio.get_running_loop()
    for number in range(STREAMS):
        stream = Stream(watch, number)
        await loop.create_connection(lambda stream=stream: stream, "127.0.0.1", port)  # type: ignore[misc]
    await watch.all_told()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun, before, late_ms = time.monotonic(), redis.calls(*READS), []
    for number in range(heartbeats):
        path = f"/told/{number}/"
        watch.told, watch.wanted = 0, f'"{path[:-1]}"'.encode()  # as the service writes it
        body = json.dumps({"sessionId": f"session-{number:012d}", "currentPath": path})
        writer.write(
            f"POST /v1/sites/{mix.site(0)}/heartbeat HTTP/1.1\r\nHost: localhost\r\n"
            f"Origin: {mix.ORIGIN}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 204"):
            raise RuntimeError(f"a heartbeat was refused: {head[:80]!r}")
        acknowledged = time.monotonic()
        await watch.all_told()
        late_ms.append((time.monotonic() - acknowledged) * 1000)
        # So that heartbeats fall anywhere in a tick.
        await asyncio.sleep(0.037 * (number % 13))
    writer.close()
    return late_ms, (redis.calls(*READS) - before) / (time.monotonic() - begun)
