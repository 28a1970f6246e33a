"""Nothing conflicts: 64 clients, 10,000 heartbeats of one session on one page inside one window,
through two copies, make one write. Written otherwise, they do not."""

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench import conflicts
from bench.peers import locking
from bench.peers.locking import CLIENTS, HEARTBEATS, SESSION
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests import invariants
from tests.cli.test_cli import serving
from tests.conftest import MakeStore, now_of
from tests.servers import Server

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


@pytest.fixture
def backend_url(valkey: Server) -> str:
    """All stores of this file are on one Valkey."""
    return valkey.url


def errors(server: Server) -> dict[str, Any]:
    """What the server has refused since it started, by kind."""
    stats: dict[str, Any] = server.client.info("errorstats")
    return {kind: count for kind, count in stats.items() if "NOSCRIPT" not in kind}


async def assert_one_write(store: PresenceStore, server: Server) -> None:
    keys, client = store.keys.of_site("blog")[0], store.connection.client
    assert await client.xlen(keys.events) == 1
    assert await client.xlen(keys.views) == 1
    fields: Any = await client.hgetall(keys.session(S))
    assert fields["seen"] == fields["since"]
    await invariants.check(store, "blog", await now_of(store))
    stats = await store.stats("blog")
    assert (stats.activeVisitors, stats.totalPageViews, stats.uniqueVisitors) == (1, 1, 1)


async def test_ten_thousand_heartbeats_through_two_stores_are_one_write(
    valkey: Server, make_store: MakeStore
) -> None:
    copies = [make_store(), make_store()]
    before, numbers, outcomes = errors(valkey), iter(range(HEARTBEATS)), Counter[str]()

    async def browser(store: PresenceStore) -> None:
        for _ in numbers:
            outcomes[await store.heartbeat("blog", Heartbeat(S, "/", "", "", ""))] += 1

    await asyncio.gather(*(browser(copies[n % 2]) for n in range(CLIENTS)))
    assert outcomes == {"created": 1, "duplicate": HEARTBEATS - 1}
    assert errors(valkey) == before
    await assert_one_write(copies[0], valkey)


async def test_a_crowd_that_comes_at_once_is_not_refused(
    valkey: Server, make_store: MakeStore
) -> None:
    """As many as may wait. In one call they would miss its deadline, all of them."""
    store = make_store()
    beats = [Heartbeat(f"session-{n:08d}", f"/{n % 100}", "", "", "") for n in range(20_000)]
    outcomes = await store.heartbeats("blog", beats)
    assert Counter(outcomes) == {"created": 20_000}
    assert (await store.stats("blog")).activeVisitors == 20_000


async def test_and_through_two_services(
    valkey: Server, make_store: MakeStore, key_prefix: str, tmp_path: Path
) -> None:
    """Two processes, as `presence serve` starts them, and a connection for each browser."""
    environ = {
        "REDIS_URL": valkey.url,
        "KEY_PREFIX": key_prefix,
        "NEW_SESSIONS_PER_MINUTE": "0",
        "REQUESTS_PER_SECOND": "0",
        # One window for all, however slow the machine is.
        "HEARTBEAT_DEDUP": "2900",
        "HEARTBEAT_INTERVAL": "3000",
        "SESSION_TIMEOUT": "6100",
    }
    before, numbers, outcomes = errors(valkey), iter(range(HEARTBEATS)), Counter[str]()

    async def browser(url: str) -> None:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        for _ in numbers:
            writer.write(HEARTBEAT)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 204"), head
            outcomes[head.partition(b"presence-status: ")[2].partition(b"\r")[0].decode()] += 1
        writer.close()
        await writer.wait_closed()

    with contextlib.ExitStack() as stack:
        settings = {f"PRESENCE_{name}": value for name, value in environ.items()}
        urls = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            urls.append(stack.enter_context(serving(tmp_path / name, **settings)).url)
        await asyncio.gather(*(browser(urls[n % 2]) for n in range(CLIENTS)))
    assert outcomes == {"created": 1, "duplicate": HEARTBEATS - 1}
    assert errors(valkey) == before
    await assert_one_write(make_store(), valkey)


BODY = json.dumps({"sessionId": S, "currentPath": "/"})
HEARTBEAT = (
    "POST /v1/sites/blog/heartbeat HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()


async def test_wandering_sessions_never_retry_either(valkey: Server, make_store: MakeStore) -> None:
    copies = [make_store(), make_store()]
    before, numbers, outcomes = errors(valkey), itertools.count(), Counter[str]()

    async def browser(store: PresenceStore) -> None:
        while (n := next(numbers)) < 2_000:
            outcomes[await store.heartbeat("blog", Heartbeat(S, f"/{n % 10}", "", "", ""))] += 1

    await asyncio.gather(*(browser(copies[n % 2]) for n in range(CLIENTS)))
    assert outcomes["created"] == 1
    assert errors(valkey) == before
    stats = await copies[0].stats("blog")
    assert [row.count for row in stats.activeByPath] == [1]
    assert stats.totalPageViews == 10  # each page once in its window
    await invariants.check(copies[0], "blog", await now_of(copies[0]))


# What it avoids


async def test_get_then_set_writes_many_times(valkey: Server) -> None:
    tally = await locking.run(valkey.url, is_watched=False)
    assert tally.outcomes.total() == HEARTBEATS
    assert tally.outcomes["created"] > 1
    assert tally.retries == 0


async def test_optimistic_locking_is_right_and_retries(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes between the first client's read and its write, so that the race is sure."""
    write = vars(locking)["_write"]
    monkeypatch.setattr(locking, "WINDOW_MS", 3_600_000)  # however slow the machine is

    def meet(pipeline: Any, known: dict[str, str], now: int) -> str:
        monkeypatch.setattr(locking, "_write", write)
        valkey.client.hset(SESSION, "path", "/")
        valkey.client.delete(SESSION)
        return str(write(pipeline, known, now))

    monkeypatch.setattr(locking, "_write", meet)
    tally = await locking.run(valkey.url, is_watched=True)
    assert tally.outcomes == {"created": 1, "duplicate": HEARTBEATS - 1}
    assert tally.retries > 0


async def test_what_the_benchmark_says_of_the_service(valkey: Server) -> None:
    tally = await conflicts.presence(valkey.url)
    assert (tally.writes, tally.retries) == (1, 0)
