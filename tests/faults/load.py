"""Load that writes down every answer it is given.

Each client has sessions that nobody else has and sends one request at a time, so what each answer
must be follows from its own earlier ones. Most heartbeats are on a path that was never sent
before; some repeat the last one.
"""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.faults.background import Background

HOST = "127.0.0.1"
BROKEN = 0  # the status of a request whose connection ended without an answer
GIVE_UP_S = 30.0  # a service that hangs is given up, and found guilty


class Reply(NamedTuple):
    """An HTTP answer. Header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection that is kept, and opened again where it was lost."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Reply:
        """The answer to one request. Raises OSError, EOFError or TimeoutError without one."""
        try:
            async with asyncio.timeout(GIVE_UP_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(HOST, self.port)
                reader, writer = self._streams
                lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
                writer.write(
                    f"{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n"
                    f"{lines}\r\n".encode()
                    + body
                )
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                fields = dict(line.split(": ", 1) for line in head[1:] if line)
                found = {name.lower(): value for name, value in fields.items()}
                content = await reader.readexactly(int(found.get("content-length", "0")))
        except BaseException:
            self.close()
            raise
        if found.get("connection") == "close":
            self.close()
        return Reply(int(head[0].split(" ")[1]), found, content)

    def close(self) -> None:
        """Ends the connection, with whatever is under way on it."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


@dataclass(frozen=True, slots=True)
class Ack:
    """One heartbeat and what was said of it. Times by the monotonic clock, in seconds."""

    site: str
    session: str
    path: str
    status: int
    outcome: str
    begun: float
    ended: float
    headers: dict[str, str]
    body: bytes

    @property
    def took(self) -> float:
        """Seconds from the request to its answer."""
        return self.ended - self.begun

    @property
    def is_written(self) -> bool:
        """Whether it was acknowledged."""
        return self.status == 204


class Look(NamedTuple):
    """One answer to a GET that is asked again and again."""

    path: str
    status: int
    begun: float
    took: float


_numbers = itertools.count()


@dataclass
class Load:
    """Clients that send heartbeats until they are stopped.

    Args:
        ports: where; the clients are spread over them.
        sites: on which sites, likewise.
        clients: how many, each with `sessions` sessions.
        pause_s: between an answer and the next request of its client.
        looks: paths that are asked for all the while, every 0.1 s.
    """

    ports: Sequence[int]
    sites: Sequence[str] = ("blog",)
    clients: int = 12
    sessions: int = 3
    pause_s: float = 0.03
    looks: Sequence[str] = ()
    acks: list[Ack] = field(default_factory=list)
    looked: list[Look] = field(default_factory=list)
    lag_s: float = 0.0  # how late this process woke up at worst: what the machine itself cost

    def __post_init__(self) -> None:
        self._background = Background()
        self._is_stopped = False
        self._running: asyncio.Task[None] | None = None

    def __enter__(self) -> "Load":
        self._background.__enter__()
        self._background.run(self._start())
        self.until(lambda: sum(ack.is_written for ack in self.acks) >= 3 * self.clients)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._background.__exit__(*exc)

    def stop(self) -> None:
        """Lets every client have its last answer."""
        self._is_stopped = True
        if self._running is not None:
            self._background.run(self._wait(self._running))

    async def _wait(self, task: "asyncio.Task[None]") -> None:
        await task

    def until(self, condition: Callable[[], object], seconds: float = 30.0) -> float:
        """Waits, under load, until something is true; how long that took."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > seconds:
                raise AssertionError(f"not within {seconds} s: {self.summary()}")
            time.sleep(0.01)
        return time.monotonic() - started

    def more(self, count: int = 100) -> None:
        """Waits for so many more answers, of whatever kind."""
        before = len(self.acks)
        self.until(lambda: len(self.acks) >= before + count)

    def fail(self, rounds: int = 2) -> None:
        """Waits for so many failures for each client that are yet to begin, on average."""
        start = time.monotonic()
        self.until(lambda: len(self.failed(start)) >= rounds * self.clients)

    def recovers(self, seconds: float = 30.0, *, since: float | None = None) -> float:
        """Waits until every client was answered well twice in a row by requests that it began
        from now on; the moment at which the last of those that failed was answered, in seconds
        from `since` or now; 0.0: none failed."""
        start = time.monotonic()
        since = start if since is None else since
        self.until(lambda: self._well_since(start), seconds)
        failed = [ack.ended for ack in self.acks if not ack.is_written and ack.ended > since]
        return max(failed, default=since) - since

    def _well_since(self, moment: float) -> bool:
        streak: dict[str, int] = {}
        for ack in list(self.acks):
            if ack.begun >= moment:
                client = ack.session.split("-")[1]
                streak[client] = streak.get(client, 0) + 1 if ack.is_written else 0
        return sum(count >= 2 for count in streak.values()) == self.clients

    def looks_at(self, path: str, since: float = 0.0) -> list[Look]:
        """Answers to a path of `looks`, asked since a moment."""
        return [look for look in list(self.looked) if look.path == path and look.begun >= since]

    def livez_was_well(self, within_s: float) -> float:
        """Asserts that `/livez`, one of `looks`, was answered well all the while, and in time;
        how long the longest answer took, in seconds."""
        looks = self.looks_at("/livez")
        assert {look.status for look in looks} == {200}
        longest = max(look.took for look in looks)
        assert longest < within_s + self.lag_s
        return round(longest, 3)

    def failed(self, since: float = 0.0, site: str | None = None) -> list[Ack]:
        """Heartbeats begun since a moment that were not acknowledged."""
        return [
            ack
            for ack in list(self.acks)
            if not ack.is_written and ack.begun >= since and site in (None, ack.site)
        ]

    def summary(self) -> str:
        """What was answered, for an error message."""
        counts: dict[str, int] = {}
        for ack in list(self.acks):
            key = f"{ack.status} {ack.outcome or ack.body.decode()}"
            counts[key] = counts.get(key, 0) + 1
        return str(counts)

    async def _start(self) -> None:
        self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure_lag())
            for number in range(self.clients):
                group.create_task(self._beat(number))
            for path in self.looks:
                group.create_task(self._look(path))

    async def _measure_lag(self) -> None:
        while not self._is_stopped:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            self.lag_s = max(self.lag_s, time.monotonic() - before - 0.05)

    async def _beat(self, number: int) -> None:
        client = Client(self.ports[number % len(self.ports)])
        site = self.sites[number % len(self.sites)]
        name = next(_numbers)
        chance = random.Random(number)
        last: dict[str, str] = {}
        for step in itertools.count():
            if self._is_stopped:
                break
            session = f"load-{name:06d}-{step % self.sessions:08d}"
            path = last.get(session, "")
            if not path or chance.random() > 0.3:
                path = last[session] = f"/{name}/{step}"
            self.acks.append(await self._send(client, site, session, path))
            await asyncio.sleep(self.pause_s)
        client.close()

    async def _send(self, client: Client, site: str, session: str, path: str) -> Ack:
        body = json.dumps({"sessionId": session, "currentPath": path}).encode()
        begun = time.monotonic()
        try:
            reply = await client.ask("POST", f"/v1/sites/{site}/heartbeat", body)
        except (OSError, EOFError, TimeoutError) as error:
            reply = Reply(BROKEN, {}, repr(error).encode())
        outcome = reply.headers.get("presence-status", "")
        return Ack(
            site, session, path, reply.status, outcome, begun, time.monotonic(),
            reply.headers, reply.body,
        )  # fmt: skip

    async def _look(self, path: str) -> None:
        client = Client(self.ports[0])
        while not self._is_stopped:
            begun = time.monotonic()
            status = BROKEN
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                status = (await client.ask("GET", path)).status
            self.looked.append(Look(path, status, begun, time.monotonic() - begun))
            await asyncio.sleep(0.1)
        client.close()


def by_session(acks: Sequence[Ack]) -> Iterator[tuple[str, list[Ack]]]:
    """Each session's heartbeats, in the order in which they were sent."""
    found: dict[str, list[Ack]] = {}
    for ack in acks:
        found.setdefault(ack.session, []).append(ack)
    yield from found.items()
