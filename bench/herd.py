"""All clients of a site come back in the same second: `python -m bench.herd [--sessions 100000]`.

After an outage every client beats at once. Each then does as the browser client does: it comes
back when `Presence-Interval` or `Retry-After` says, up to a tenth later. Printed is what each
second saw, and how far the numbers are from right after each interval.

Run by itself, not with `python -m bench`: it takes three intervals, and looks at seconds.
"""

import asyncio
import heapq
import json
import random
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import click

from bench.processes import SERVICE_CORE, Program, cores, free_port
from bench.server import Valkey, valkey

SITE = "herd"
PAGES = 500


class Client:
    """Many sessions over some connections, as a load balancer keeps them to its upstream."""

    def __init__(self, port: int, sessions: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self.due = [(0.0, number) for number in range(sessions)]  # a heap: when, which session
        self._change = asyncio.Event()
        self.by_second: dict[int, Counter[str]] = {}
        self.began = 0.0

    async def run(self, connections: int, seconds: float) -> None:
        """Sends what is due until the time is over."""
        self.began = time.monotonic()
        await asyncio.gather(*(self._connection(seconds) for _ in range(connections)))

    async def _connection(self, seconds: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while True:
            now = time.monotonic() - self.began
            if now > seconds:
                break
            if not self.due or self.due[0][0] > now:
                await asyncio.sleep(0.02)
                continue
            _, number = heapq.heappop(self.due)
            status, wait_s = await self._beat(reader, writer, number)
            if not wait_s:  # uvicorn closes connections now and then; the client tries again
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            now = time.monotonic() - self.began
            self.by_second.setdefault(int(now), Counter())[status] += 1
            again = now + (wait_s or 1.0) * (1 + self._chance.random() / 10)
            heapq.heappush(self.due, (again, number))
        writer.close()

    async def _beat(self, reader: Any, writer: Any, number: int) -> tuple[str, float]:
        body = f'{{"sessionId":"session-{number:012d}","currentPath":"/page/{number % PAGES}"}}'
        writer.write(
            f"POST /v1/sites/{SITE}/heartbeat HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            status = head[9:12].decode()
            if status != "204":
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                await reader.readexactly(int(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return "lost", 0.0
        name = b"presence-interval: " if status == "204" else b"retry-after: "
        return status, float(head.partition(name)[2].partition(b"\r")[0])


def _active(port: int) -> int:
    url = f"http://127.0.0.1:{port}/v1/sites/{SITE}/active"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return int(json.loads(answer.read())["activeVisitors"])


def _service(redis: Valkey, folder: Path, port: int, interval_s: float) -> Program:
    import sys

    environ = {
        "PRESENCE_REDIS_URL": redis.url,
        "PRESENCE_HEARTBEAT_INTERVAL": f"{interval_s:g}",
        "PRESENCE_SESSION_TIMEOUT": f"{4 * interval_s:g}",
        "PRESENCE_NEW_SESSIONS_PER_MINUTE": "0",
        "PRESENCE_REQUESTS_PER_SECOND": "0",
        "PRESENCE_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
    return Program("service", command, SERVICE_CORE, folder / "service.log", environ)


async def _watch(port: int, client: Client, interval_s: float, sessions: int) -> None:
    for round_ in (1, 2):
        await asyncio.sleep(client.began + round_ * interval_s - time.monotonic())
        active = await asyncio.to_thread(_active, port)
        click.echo(f"after {round_} interval(s): {active:,} of {sessions:,} are here")


async def _measure(port: int, client: Client, connections: int, interval_s: float) -> None:
    sessions = len(client.due)
    client.began = time.monotonic()
    await asyncio.gather(
        client.run(connections, 3.2 * interval_s), _watch(port, client, interval_s, sessions)
    )


@click.command()
@click.option("--sessions", default=100_000, show_default=True, help="How many come back.")
@click.option("--connections", default=2000, show_default=True, help="Over how many connections.")
@click.option("--interval", default=30.0, show_default=True, help="The heartbeat interval, s.")
def main(sessions: int, connections: int, interval: float) -> None:
    """Measure what happens when all clients of a site come back at once."""
    with tempfile.TemporaryDirectory() as name, valkey(Path(name)) as redis:
        port = free_port()
        with _service(redis, Path(name), port, interval) as service:
            service.wait_for(port)
            client = Client(port, sessions, seed=1)
            asyncio.run(_measure(port, client, connections, interval))
            active = _active(port)
            cpu_s = service.cpu_s()
    click.echo(f"at the end: {active:,} of {sessions:,}; service {cpu_s:.1f} s of CPU")
    for begin in range(0, int(3.2 * interval), max(1, int(interval / 15))):
        rows = range(begin, begin + max(1, int(interval / 15)))
        sums: Counter[str] = sum((client.by_second.get(n, Counter()) for n in rows), Counter())
        told = ", ".join(f"{status}: {count:,}" for status, count in sorted(sums.items()))
        click.echo(f"second {begin:3}: {told or '-'}")


if __name__ == "__main__":
    import os

    with_core = int(cores(1)[2])
    os.sched_setaffinity(0, {with_core})
    main()
