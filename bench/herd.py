"""All clients of a site come back in the same second: `python -m bench.herd [--sessions 100000]`.

After an outage every client beats at once, over as many connections as 20,000 open files allow.
Each then does as the browser client does: it comes back when
`Presence-Interval` or `Retry-After` says, up to a tenth later. Printed is what each second saw,
which numbers are wrong after each interval, and what `presence doctor` says at the end.

Run by itself, not with `python -m bench`: it takes three intervals, and looks at seconds.
"""

import asyncio
import heapq
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import click

from bench.processes import SERVICE_CORE, Program, cores, free_port
from bench.programs import ROOT
from bench.server import Valkey, valkey

SITE = "herd"
PAGES = 500
OPENED_AT_ONCE = 200  # far below the service's backlog
OF_ONE_ADDRESS = 10_000  # connections: there are 28,000 ports
UNIQUES_ERROR = 0.0081 * 3  # of a HyperLogLog: three standard deviations


class Client:
    """Many sessions over some connections, each of which is opened again when it was closed."""

    def __init__(self, port: int, sessions: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self._opening = asyncio.Semaphore(OPENED_AT_ONCE)
        self._ready = asyncio.Event()
        self._opened = 0
        self.due = [(0.0, number) for number in range(sessions)]  # a heap: when, which session
        self.by_second: dict[int, Counter[str]] = {}
        self.began = 0.0
        self.longest_s = 0.0

    async def run(self, connections: int, seconds: float) -> None:
        """Opens all connections, then sends what is due until the time is over."""
        await asyncio.gather(
            *(self._connection(number, connections, seconds) for number in range(connections))
        )

    async def ready(self) -> None:
        """Until all connections are open; that is when it begins."""
        await self._ready.wait()

    async def _open(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = (f"127.0.1.{1 + number // OF_ONE_ADDRESS}", 0)
        async with self._opening:
            return await asyncio.open_connection("127.0.0.1", self._port, local_addr=address)

    async def _connection(self, place: int, connections: int, seconds: float) -> None:
        reader, writer = await self._open(place)
        self._opened += 1
        if self._opened == connections:
            self.began = time.monotonic()
            self._ready.set()
        await self._ready.wait()
        while True:
            now = time.monotonic() - self.began
            if now > seconds:
                break
            if not self.due or self.due[0][0] > now:
                await asyncio.sleep(0.2 + 0.2 * self._chance.random())
                continue
            _, number = heapq.heappop(self.due)
            if reader.at_eof():  # closed by the service, which keeps none that is idle for 5 s
                writer.close()
                reader, writer = await self._open(place)
            sent = time.monotonic() - self.began
            status, wait_s = await self._beat(reader, writer, number)
            now = time.monotonic() - self.began
            self.longest_s = max(self.longest_s, now - sent)
            self.by_second.setdefault(int(now), Counter())[status] += 1
            again = now + (wait_s or 1.0) * (1 + self._chance.random() / 10)
            heapq.heappush(self.due, (again, number))
            if not wait_s:  # closed just now; the client tries again
                writer.close()
                reader, writer = await self._open(place)
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


def _get(port: int, path: str) -> Any:
    url = f"http://127.0.0.1:{port}/v1/sites/{SITE}/{path}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def _wrong(port: int, sessions: int) -> list[str]:
    """The numbers that are not as they must be while all are here."""
    stats = _get(port, "stats?limit=1000")
    points = _get(port, "history?minutes=10")["points"]
    pages = Counter(f"/page/{number % PAGES}" for number in range(sessions))
    on_pages = {page["path"]: page["count"] for page in stats["activeByPath"]}
    found = {
        "active": (stats["activeVisitors"], sessions),
        "pages with the wrong count": (
            sum(on_pages.get(path) != count for path, count in pages.items()),
            0,
        ),
        "views": (stats["totalPageViews"], sessions),
        "views by minute": (sum(point["views"] for point in points), sessions),
        "pages": (stats["totalPaths"], len(pages)),
    }
    wrong = [f"{name} {is_:,}, not {be:,}" for name, (is_, be) in found.items() if is_ != be]
    uniques = stats["uniqueVisitors"]
    if abs(uniques - sessions) > sessions * UNIQUES_ERROR:
        wrong.append(f"uniques {uniques:,}, not about {sessions:,}")
    return wrong


def _doctor(redis: Valkey) -> str:
    command = [sys.executable, "-m", "service", "doctor", SITE]
    done = subprocess.run(
        command, cwd=ROOT, env=_settings(redis, 30.0), capture_output=True, text=True
    )
    return (done.stdout + done.stderr).strip()


def _settings(redis: Valkey, interval_s: float) -> dict[str, str]:
    return {
        "PRESENCE_REDIS_URL": redis.url,
        "PRESENCE_HEARTBEAT_INTERVAL": f"{interval_s:g}",
        "PRESENCE_SESSION_TIMEOUT": f"{4 * interval_s:g}",
        "PRESENCE_NEW_SESSIONS_PER_MINUTE": "0",
        "PRESENCE_REQUESTS_PER_SECOND": "0",
        "PRESENCE_LOG_LEVEL": "warning",
    }


def _service(redis: Valkey, folder: Path, port: int, interval_s: float) -> Program:
    command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
    return Program(
        "service", command, SERVICE_CORE, folder / "service.log", _settings(redis, interval_s), ROOT
    )


async def _watch(port: int, client: Client, interval_s: float, sessions: int) -> None:
    await client.ready()
    for round_ in (1, 2, 3):
        await asyncio.sleep(client.began + round_ * interval_s - time.monotonic())
        wrong = await asyncio.to_thread(_wrong, port, sessions)
        told = ", ".join(wrong) or f"all numbers of {sessions:,} sessions are right"
        click.echo(f"after {round_} interval(s): {told}")


async def _measure(port: int, client: Client, connections: int, interval_s: float) -> None:
    sessions = len(client.due)
    click.echo(f"opening {connections:,} connections")
    await asyncio.gather(
        client.run(connections, 3.2 * interval_s), _watch(port, client, interval_s, sessions)
    )


def _allow_files(count: int) -> None:
    """So many open files, for this process and those it starts. Raises click.ClickException."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(count, allowed), max(count, most)))
    except (ValueError, OSError) as error:
        raise click.ClickException(
            f"{count:,} open files are not allowed here ({error}): take fewer --connections"
        ) from error


@click.command()
@click.option("--sessions", default=100_000, show_default=True, help="How many come back.")
@click.option("--connections", default=18_000, show_default=True, help="Over how many connections.")
@click.option("--interval", default=30.0, show_default=True, help="The heartbeat interval, s.")
def main(sessions: int, connections: int, interval: float) -> None:
    """Measure what happens when all clients of a site come back at once."""
    _allow_files(connections + 1000)
    with tempfile.TemporaryDirectory() as name, valkey(Path(name)) as redis:
        port = free_port()
        with _service(redis, Path(name), port, interval) as service:
            service.wait_for(port)
            client = Client(port, sessions, seed=1)
            asyncio.run(_measure(port, client, connections, interval))
            cpu_s = service.cpu_s()
        click.echo(f"the longest wait for an answer: {client.longest_s:.1f} s")
        click.echo(f"service: {cpu_s:.1f} s of CPU; doctor: {_doctor(redis)}")
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
