"""Live streams: what is pushed adds up to what a reader would be told, and nothing piles up."""

import asyncio
import contextlib
import gc
import itertools
import json
import random
import socket
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from service.api.rate_limits import Slots
from service.errors import StoreError, StoreUnreachable
from service.live.hub import Hub
from service.live.messages import Delta, Snapshot, SubscribeOptions, Subscriber
from service.models import Change, PathCount, SessionEvent
from service.server.fast_path import FastPathProtocol
from service.store.merge import Changes, Entry
from service.store.reader import CHANGES_LIMIT
from service.store.store import PresenceStore
from service.store.tags import shard_of
from service.store.writer import Heartbeat
from tests.conftest import Clock, MakeService, MakeStore, on_servers, url_of
from tests.server.test_fast_path import Served, request, serving, until
from tests.servers import Server

TICK_S = 0.05
FAST = {"LIVE_TICK": "0.05", "HEARTBEAT_INTERVAL": "0.2", "HEARTBEAT_DEDUP": "0.1"}


def beat(session: int | str, path: str = "/a", country: str = "") -> Heartbeat:
    return Heartbeat(f"session-{session:>012}", path, country, "", "")


def count_calls(store: PresenceStore, *names: str) -> dict[str, int]:
    """How often methods of a store are called from now on."""
    calls = dict.fromkeys(names, 0)

    def counted(name: str) -> Any:
        ask = getattr(store, name)

        async def counting(*args: Any) -> Any:
            calls[name] += 1
            return await ask(*args)

        return counting

    for name in calls:
        setattr(store, name, counted(name))
    return calls


# What the store tells


async def test_what_has_changed(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    _, positions = await store.stats_and_positions("blog")
    assert positions == ["0-0"]
    # what is done -> pages, arrivals, departures, kinds
    for beats, later_ms, pages, arrivals, departures, kinds in [
        ([], 0, {}, 0, 0, []),
        ([beat(1), beat(2, "/b", "DE")], 0, {"/a": 1, "/b": 1}, 2, 0, ["joined", "joined"]),
        ([beat(1)], 10_000, {}, 0, 0, []),  # a refresh changes nothing that is shown
        ([beat(1, "/b")], 0, {"/a": 0, "/b": 2}, 0, 0, ["moved"]),
        ([], 110_000, {"/b": 1}, 0, 1, ["left"]),
        ([beat(3, "/c")], 10_000, {"/b": 0, "/c": 1}, 1, 1, ["left", "joined"]),
    ]:
        clock.advance(later_ms)
        await store.sweep("blog")
        await store.heartbeats("blog", beats)
        changes = await store.changes("blog", positions)
        assert changes
        change = changes.change
        assert {row.path: row.count for row in change.activeByPath} == pages
        assert (change.arrivals, change.departures) == (arrivals, departures)
        assert [happening.type for happening in change.feed or ()] == kinds
        assert change.asOf == clock.now_ms
        positions = changes.positions
    joined = (change.feed or [])[-1]
    assert joined == SessionEvent("joined", "/c", change.asOf)
    left = (change.feed or [])[0]
    assert (left.reason, left.path) == ("timeout", "/b")


async def test_views_alone_are_a_change(make_store: MakeStore) -> None:
    from service.store.writer import PageView

    store = make_store(Clock())
    _, positions = await store.stats_and_positions("blog")
    await store.view("blog", PageView("s" * 16, "/a"))
    changes = await store.changes("blog", positions)
    assert changes
    assert changes.positions == positions
    assert (changes.change.totalPageViews, changes.change.uniqueVisitors) == (1, 1)


@pytest.mark.parametrize("shards", [1, 3])
async def test_what_is_trimmed_or_too_much_takes_a_snapshot(
    make_store: MakeStore, shards: int
) -> None:
    store = make_store(Clock(), shards=shards, events_maxlen=100)
    assert await store.changes("blog", ["1-1"] * shards) is None, "not of this log"
    _, nothing = await store.stats_and_positions("blog")
    await store.heartbeats("blog", [beat(1)])
    _, positions = await store.stats_and_positions("blog")
    assert await store.changes("blog", nothing)
    await store.heartbeats("blog", [beat(n) for n in range(2, 600)])
    assert await store.changes("blog", positions) is None
    assert await store.changes("blog", nothing) is None


async def test_what_is_lost_in_one_shard_takes_a_snapshot(make_store: MakeStore) -> None:
    store = make_store(Clock(), shards=3, events_maxlen=100)
    of_one = [one for n in range(900) if shard_of((one := beat(n)).session_id, 3) == 1]
    await store.heartbeats("blog", of_one[:1])
    _, positions = await store.stats_and_positions("blog")
    await store.heartbeats("blog", of_one[1:])
    assert await store.changes("blog", positions) is None
    _, positions = await store.stats_and_positions("blog")
    assert await store.changes("blog", positions)
    positions[1] = "1-1"
    assert await store.changes("blog", positions) is None, "one of three is not of this log"


async def test_too_many_events_take_a_snapshot(make_store: MakeStore) -> None:
    store = make_store(Clock())
    await store.heartbeats("blog", [beat(0)])
    _, positions = await store.stats_and_positions("blog")
    await store.heartbeats("blog", [beat(n) for n in range(1, CHANGES_LIMIT + 1)])
    changes = await store.changes("blog", positions)
    assert changes
    assert changes.change.arrivals == CHANGES_LIMIT
    assert len(changes.change.feed or ()) == 20
    await store.heartbeats("blog", [beat(1001)])
    assert await store.changes("blog", positions) is None


class Screen:
    """What a client shows that was sent these events."""

    def __init__(self) -> None:
        self.numbers: dict[str, Any] = {}
        self.pages: dict[str, int] = {}
        self.last_id = ""
        self.kinds: list[str] = []

    def show(self, event: dict[str, str]) -> None:
        data = json.loads(event["data"])
        self.kinds.append(event["event"])
        self.last_id = event["id"]
        self.numbers = data
        if event["event"] == "snapshot":
            self.pages = {}
        for row in data["activeByPath"]:
            self.pages[row["path"]] = row["count"]
            if not row["count"]:
                del self.pages[row["path"]]


def events_in(chunk: bytes) -> list[dict[str, str]]:
    """The events of a piece of a stream."""
    events = []
    for block in chunk.decode().split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        fields = {name: value for name, _, value in lines}
        if "event" in fields:
            events.append(fields)
    return events


@contextlib.asynccontextmanager
async def watching(feed: Hub, known: list[str] | None = None) -> AsyncIterator[Subscriber]:
    with feed.subscribed("blog", SubscribeOptions(feed=True)) as subscriber:
        await feed.catch_up("blog", subscriber, known)
        yield subscriber
    await feed.settled()


@pytest.mark.parametrize("shards", [1, 3])
async def test_snapshot_and_changes_add_up_to_the_present(
    make_store: MakeStore, shards: int
) -> None:
    clock, chance = Clock(), random.Random(shards)
    store = make_store(clock, shards=shards)
    feed = Hub(store, TICK_S)
    screen = Screen()
    async with watching(feed) as subscriber:
        for round_ in range(12):
            clock.advance(chance.choice([1, 5_000, 60_000]))
            await store.heartbeats(
                "blog",
                [beat(chance.randrange(40), f"/{chance.randrange(5)}") for _ in range(20)],
            )
            if round_ % 3 == 0:
                await store.leave("blog", f"session-{chance.randrange(40):>012}")
            stats = await store.stats("blog")
            while (screen.numbers.get("asOf"), screen.pages) != (
                stats.asOf,
                {row.path: row.count for row in stats.activeByPath},
            ):
                async with asyncio.timeout(20):
                    for event in events_in(await subscriber.take() or b""):
                        screen.show(event)
            assert screen.numbers["activeVisitors"] == stats.activeVisitors
            assert screen.numbers["totalPageViews"] == stats.totalPageViews
    assert screen.kinds[0] == "snapshot"
    assert set(screen.kinds[1:]) == {"change"}


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_stream_begins_with_what_happened_last(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards)
    feed = Hub(store, TICK_S)
    async with watching(feed) as subscriber:
        (event,) = events_in(await subscriber.take() or b"")
        assert json.loads(event["data"])["feed"] == []
    for n in range(25):
        clock.advance(1)
        await store.heartbeat("blog", beat(n, f"/{n}"))
    await store.heartbeat("blog", beat(24, "/end"))
    async with watching(feed) as subscriber:
        (event,) = events_in(await subscriber.take() or b"")
    told = json.loads(event["data"])["feed"]
    assert [row["path"] for row in told[-3:]] == ["/23", "/24", "/end"]
    assert told[-1] == {"type": "moved", "path": "/end", "from": "/24", "at": clock.now_ms}
    assert len(told) == 20
    with feed.subscribed("blog") as plain:
        await feed.catch_up("blog", plain, None)
        assert b'"feed"' not in (await plain.take() or b"")


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_page_that_is_asked_for_is_named(make_store: MakeStore, shards: int) -> None:
    store = make_store(Clock(), shards=shards)
    # 60 pages with two each, so that /few is not among the 50 of a snapshot.
    await store.heartbeats("blog", [beat(n, f"/{n % 60}") for n in range(120)])
    await store.heartbeat("blog", beat(999, "/few"))
    feed = Hub(store, TICK_S)
    calls: list[int] = []
    ask = store.on_pages

    async def counted(site: str, paths: Sequence[str]) -> Any:
        calls.append(len(paths))
        return await ask(site, paths)

    store.on_pages = counted
    # path -> rows of it, and rows in all
    wishes = {"/few": (1, 51), "/nobody": (0, 51), "/0": (2, 50), None: (None, 50)}
    with contextlib.ExitStack() as stack:
        streams = [
            (path, stack.enter_context(feed.subscribed("blog", SubscribeOptions(path=path))))
            for path in wishes
        ]
        await asyncio.gather(*(feed.catch_up("blog", stream, None) for _, stream in streams))
        for path, stream in streams:
            (event,) = events_in(await stream.take() or b"")
            rows = json.loads(event["data"])["activeByPath"]
            expected, rows_in_all = wishes[path]
            assert {row["path"]: row["count"] for row in rows}.get(path) == expected
            assert len(rows) == rows_in_all
    assert calls == [2], "one call for all of them"


@on_servers
@pytest.mark.fault("B23")
async def test_streams_of_thousands_of_pages_share_a_snapshot(make_store: MakeStore) -> None:
    """Its bytes are kept once, and pages are counted in a few calls."""
    store = make_store(Clock())
    long = "x" * 400
    await store.heartbeats("blog", [beat(n, f"/{n % 60}/{long}") for n in range(120)])
    feed = Hub(store, tick_s=30)
    calls = count_calls(store, "on_pages", "stats_and_positions")
    with contextlib.ExitStack() as stack:

        async def watches(n: int) -> int:
            options = SubscribeOptions(feed=bool(n % 2), path=f"/own/{n}")
            subscriber = stack.enter_context(feed.subscribed("blog", options))
            await feed.catch_up("blog", subscriber, None)
            return len(await subscriber.take() or b"")

        assert await watches(0) > 20_000, "what a stream each would hold"
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await asyncio.gather(*(watches(n) for n in range(2000)))
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (after - before) / 2000 < 5_000
    assert calls["stats_and_positions"] == 1
    assert calls["on_pages"] < 20


# What a subscriber holds


def update(as_of: int, pages: dict[str, int], arrivals: int = 0) -> Delta:
    rows = [PathCount(path, count) for path, count in pages.items()]
    feed = [SessionEvent("joined", path, as_of) for path in pages]
    log = [Entry(0, f"{as_of}-0", happening) for happening in feed]
    return Delta(Changes(Change(1, rows, 1, 1, arrivals, 0, as_of, feed), [f"{as_of}-0"], log))


async def test_a_slow_client_finds_the_newest_state_only() -> None:
    subscriber = Subscriber(SubscribeOptions(feed=True))
    subscriber.start(update(0, {}))
    assert await subscriber.take()
    for n in range(1, 1001):
        subscriber.push(update(n, {"/a": n, f"/{n % 3}": n}, arrivals=1))
    events = events_in(await subscriber.take() or b"")
    assert len(events) == 1
    data = json.loads(events[0]["data"])
    assert {row["path"]: row["count"] for row in data["activeByPath"]} == {
        "/a": 1000, "/0": 999, "/1": 1000, "/2": 998,
    }  # fmt: skip
    assert data["arrivals"] == 1000
    assert len(data["feed"]) == 20
    assert events[0]["id"] == "1000-0"


async def test_what_came_before_the_snapshot_is_part_of_it(make_store: MakeStore) -> None:
    store = make_store(Clock())
    stats = await store.stats("blog")
    snapshot = Snapshot(stats, [f"{stats.asOf}-0"])
    subscriber = Subscriber(SubscribeOptions())
    subscriber.push(update(snapshot.as_of - 1, {"/old": 1}))
    subscriber.push(update(snapshot.as_of + 1, {"/new": 1}))
    subscriber.start(snapshot)
    events = events_in(await subscriber.take() or b"")
    assert [event["event"] for event in events] == ["snapshot", "change"]
    assert "/old" not in events[1]["data"]
    assert "feed" not in json.loads(events[1]["data"])


async def test_what_is_too_much_to_keep_for_a_slow_client_becomes_a_snapshot() -> None:
    subscriber = Subscriber(SubscribeOptions(feed=True))
    subscriber.start(update(0, {}))
    assert await subscriber.take()
    for n in range(1, 1001):
        subscriber.push(update(n, {f"/{n}": 1}))
    assert subscriber._update is None, "nothing is kept"
    assert await subscriber.take() == b"", "it is to be caught up again"
    subscriber.push(update(1001, {"/early": 1}))
    subscriber.start(update(1000, {"/a": 1}))
    events = events_in(await subscriber.take() or b"")
    assert {row["path"] for row in json.loads(events[0]["data"])["activeByPath"]} == {
        "/a", "/early"
    }  # fmt: skip


@pytest.mark.parametrize(
    "first, then, told",
    [
        ("10-0", "9-0", 0),  # all of it is known
        ("10-0", "10-0", 0),
        ("10-0", "11-0", 1),
    ],
)
async def test_what_happened_is_told_once(first: str, then: str, told: int) -> None:
    """The reader may be behind the moment up to which a client was told what it missed."""

    def of(positions: list[str], as_of: int) -> Delta:
        log = [Entry(0, position, SessionEvent("joined", "/a", as_of)) for position in positions]
        feed = [entry.event for entry in log]
        change = Change(1, [PathCount("/a", 1)], 1, 1, len(log), 0, as_of, feed)
        return Delta(Changes(change, positions[-1:], log))

    subscriber = Subscriber(SubscribeOptions(feed=True))
    subscriber.start(of(["8-0", first], 10))
    await subscriber.take()
    subscriber.push(of(["8-0", then], 9 if not told else 11))
    subscriber.close()
    update = subscriber._update
    assert (update.change.arrivals if update else 0) == told
    assert len((update.change.feed or ()) if update else ()) == told


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tick_s", [0.001, 0.02])
async def test_arrivals_add_up_over_pauses(
    make_store: MakeStore, tick_s: float, shards: int
) -> None:
    """Each that comes while a client is away, or back, is told to it once."""
    clock = Clock()
    store = make_store(clock, shards=shards)
    await store.heartbeat("blog", beat(0))
    _, known = await store.stats_and_positions("blog")
    feed = Hub(store, tick_s)
    told = 0
    async with watching(feed):  # its reader is sometimes ahead of the client, sometimes behind
        for number in range(1, 31):
            clock.advance(1)
            await store.heartbeat("blog", beat(number))
            async with watching(feed, known) as client:
                if number % 2:
                    clock.advance(1)
                    await store.heartbeat("blog", beat(1000 + number))
                here = 0
                while here < number + 1 + (number + 1) // 2:
                    (event,) = events_in(await client.take() or b"")
                    data = json.loads(event["data"])
                    assert event["event"] == "change"
                    here, known = data["activeVisitors"], event["id"].split(",")
                    told += data["arrivals"]
                    assert len(data["feed"]) == data["arrivals"]
    assert told == 45


async def test_views_between_two_streams_are_told(make_store: MakeStore) -> None:
    from service.store.writer import PageView

    store = make_store(Clock())
    await store.heartbeat("blog", beat(1))
    _, known = await store.stats_and_positions("blog")
    await store.view("blog", PageView("s" * 16, "/b"))
    async with watching(Hub(store, TICK_S), known) as subscriber:
        (event,) = events_in(await subscriber.take() or b"")
    assert json.loads(event["data"])["totalPageViews"] == 2


async def test_who_comes_back_together_shares_calls(make_store: MakeStore) -> None:
    store = make_store(Clock())
    feed = Hub(store, TICK_S)
    await store.heartbeats("blog", [beat(n) for n in range(50)])
    _, known = await store.stats_and_positions("blog")
    await store.heartbeats("blog", [beat(n, "/b") for n in range(50)])
    calls = count_calls(store, "changes", "stats_and_positions")
    async with contextlib.AsyncExitStack() as stack:

        async def come_back(positions: list[str] | None) -> bytes | None:
            subscriber = stack.enter_context(feed.subscribed("blog"))
            await feed.catch_up("blog", subscriber, positions)
            return await subscriber.take()

        told = await asyncio.gather(*(come_back(known) for _ in range(300)))
        assert len(set(told)) == 1
        # 300 that stopped at 300 positions, few of which there are any more.
        strangers = [[f"{n}-0"] for n in range(1, 301)]
        await asyncio.gather(*(come_back(positions) for positions in strangers))
    assert calls["changes"] < 20
    assert calls["stats_and_positions"] < 20


async def test_many_watch_for_the_price_of_one(valkey: Server, key_prefix: str) -> None:
    from service.redis.client import connect
    from service.store.config import StoreConfig
    from service.store.keys import Keys

    store = PresenceStore(connect(valkey.url), Keys(key_prefix), StoreConfig())
    feed = Hub(store, TICK_S)
    asked: list[list[str]] = []
    ask = store.changes

    async def counted(site: str, positions: Sequence[str]) -> Any:
        asked.append(list(positions))
        return await ask(site, positions)

    store.changes = counted
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(watching(feed)) for _ in range(1000)]
        for stream in streams:
            assert events_in(await stream.take() or b"")[0]["event"] == "snapshot"
        asked.clear()
        await store.heartbeat("blog", beat(1))
        told = await asyncio.gather(*(stream.take() for stream in streams))
        assert len(set(told)) == 1
        ticks = len(asked)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await until(lambda: len(asked) >= ticks + 5)
        assert len(asked) - ticks <= (loop.time() - begun) / TICK_S + 1, "one call a tick"
    assert not feed._pollers, "nobody watches, nobody reads"
    await store.close()


# Over HTTP


class Stream:
    """A client of a stream, over a socket of its own."""

    def __init__(self, served: Served, **headers: str) -> None:
        self._served = served
        self._headers = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.screen = Screen()
        self.head = b""

    async def __aenter__(self) -> "Stream":
        self.reader, self.writer = await self._served.connect()
        self.writer.write(
            request(b"", *self._headers, method="GET", target="/v1/sites/blog/live?feed=1")
        )
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()

    async def next(self) -> str:
        """The kind of the next event."""
        chunk = b""
        while True:
            async with asyncio.timeout(20):
                size = int(await self.reader.readline(), 16)
                chunk = await self.reader.readexactly(size)
                await self.reader.readline()
            if not size:
                return "end"
            if events := events_in(chunk):
                assert len(events) == 1
                self.screen.show(events[0])
                return events[0]["event"]


async def test_a_stream_over_http() -> None:
    async with serving(FastPathProtocol, **FAST) as served, Stream(served) as stream:
        assert stream.head.startswith(b"HTTP/1.1 200 ")
        for line in (
            b"content-type: text/event-stream",
            b"cache-control: no-store, no-transform",
            b"access-control-allow-origin: *",
            b"x-accel-buffering: no",
        ):
            assert line in stream.head
        assert await stream.next() == "snapshot"
        await served.store.heartbeat("blog", beat(1))
        assert await stream.next() == "change"
        assert stream.screen.pages == {"/a": 1}
        served.store.clock.advance(120_000)  # it is not heard of again
        assert await stream.next() == "change"
        assert stream.screen.pages == {}
        assert stream.screen.numbers["departures"] == 1
        assert stream.screen.numbers["feed"][0]["reason"] == "timeout"
        assert "session" not in json.dumps(stream.screen.numbers["feed"])


@pytest.mark.parametrize("shards", ["1", "3"])
async def test_a_client_that_comes_back_is_told_what_it_missed(shards: str) -> None:
    async with serving(FastPathProtocol, SHARDS=shards, **FAST) as served:
        await served.store.heartbeat("blog", beat(1))
        async with Stream(served) as stream:
            assert await stream.next() == "snapshot"
        await served.store.heartbeat("blog", beat(2, "/b"))
        async with Stream(served, Last_Event_ID=stream.screen.last_id) as again:
            assert await again.next() == "change"
            assert again.screen.pages == {"/b": 1}
            assert again.screen.numbers["arrivals"] == 1
        # Nothing missed: it is told so, for its numbers may be old.
        async with Stream(served, Last_Event_ID=again.screen.last_id) as up_to_date:
            assert await up_to_date.next() == "change"
            assert (up_to_date.screen.pages, up_to_date.screen.numbers["arrivals"]) == ({}, 0)
            await served.store.heartbeat("blog", beat(3, "/c"))
            assert await up_to_date.next() == "change"
            assert up_to_date.screen.pages == {"/c": 1}


async def test_a_head_is_answered_and_the_connection_goes_on() -> None:
    async with serving(FastPathProtocol, **FAST) as served:
        reader, writer = await served.connect()
        writer.write(request(b"", method="HEAD", target="/v1/sites/blog/live"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"content-type: text/event-stream" in head
        writer.write(request(b"", method="GET", target="/livez"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert served.app.state.context.streams.taken_in_all == 0
        writer.close()


@pytest.mark.parametrize("last", ["1-1", "nonsense", "1-1,2-2", "9" * 50, "99999999999999-0"])
async def test_one_that_knows_nothing_of_ours_is_sent_a_snapshot(last: str) -> None:
    async with serving(FastPathProtocol, **FAST) as served:
        await served.store.heartbeat("blog", beat(1))
        async with Stream(served, Last_Event_ID=last) as stream:
            assert await stream.next() == "snapshot"
            assert stream.screen.pages == {"/a": 1}


async def test_a_site_that_is_emptied_is_shown_anew(valkey: Server, key_prefix: str) -> None:
    settings = FAST | {"REDIS_URL": valkey.url, "KEY_PREFIX": key_prefix}
    async with serving(FastPathProtocol, **settings) as served, Stream(served) as stream:
        served.store.clock = Clock(None)
        assert await stream.next() == "snapshot"
        await served.store.heartbeat("blog", beat(1))
        while await stream.next() != "change":
            pass
        for key in valkey.client.scan_iter(f"{key_prefix}*"):
            valkey.client.delete(key)
        while stream.screen.pages:
            await stream.next()
        assert stream.screen.kinds[-1] == "snapshot"
        await served.store.heartbeat("blog", beat(2, "/again"))
        while stream.screen.pages != {"/again": 1}:
            await stream.next()


@pytest.mark.fault("B12")
async def test_slots_come_back_however_a_stream_ends() -> None:
    async with serving(FastPathProtocol, **FAST) as served:
        slots: Slots = served.app.state.context.streams
        for number in range(40):
            stream = Stream(served)
            await stream.__aenter__()
            assert slots.taken_in_all >= 1
            if number % 2:
                stream.writer.transport.abort()
            else:
                stream.writer.close()
        # Some that are gone before they are answered.
        for _ in range(20):
            _, writer = await served.connect()
            writer.write(request(b"", method="GET", target="/v1/sites/blog/live"))
            writer.transport.abort()
        await until(lambda: not slots.taken_in_all and not served.server.server_state.connections)
        assert not slots._taken
        await until(lambda: not served.app.state.context.hub._pollers)
        assert "presence_live_streams 0.0" in metrics_of(served)


def metrics_of(served: Served) -> str:
    text: str = served.app.state.context.metrics.render().decode()
    return text


@pytest.mark.parametrize("shards", ["1", "3"])
async def test_whoever_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, shards: str
) -> None:
    monkeypatch.setattr("service.server.timeouts.SLOW_READER_S", 0.2)
    settings = FAST | {"SHARDS": shards}
    async with serving(FastPathProtocol, **settings) as served, Stream(served) as stream:
        context = served.app.state.context
        assert context.streams.taken_in_all == 1
        stream.reader._transport.pause_reading()  # type: ignore[attr-defined]
        # Else the kernel takes megabytes, and to write so much takes many thousand heartbeats.
        (taken,) = served.server.server_state.connections
        for end, buffer in [
            (stream.writer.transport, socket.SO_RCVBUF), (taken.transport, socket.SO_SNDBUF),
        ]:  # fmt: skip
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 4096)
        paths = [f"/{n}/{'x' * 480}" for n in range(40)]
        for n in itertools.count():  # until all buffers between the two are full
            if not context.streams.taken_in_all:
                break
            await served.store.heartbeats(
                "blog", [beat(m, paths[(m + n) % len(paths)]) for m in range(len(paths))]
            )
            await asyncio.sleep(0)
        await until(lambda: not context.hub._pollers)


async def test_as_many_as_an_address_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.app.STREAMS_EACH", 3)
    monkeypatch.setattr("service.app.STREAMS", 5)
    settings = FAST | {"TRUSTED_PROXIES": "127.0.0.1/32"}
    async with (
        serving(FastPathProtocol, **settings) as served,
        contextlib.AsyncExitStack() as stack,
    ):
        # address -> status
        for address, status in [
            ("192.0.2.1", 200), ("192.0.2.1", 200), ("192.0.2.1", 200), ("192.0.2.1", 429),
            ("192.0.2.2", 200), ("192.0.2.2", 200), ("192.0.2.3", 503),
        ]:  # fmt: skip
            stream = Stream(served, X_Forwarded_For=address)
            await stack.enter_async_context(stream)
            assert stream.head.startswith(b"HTTP/1.1 %d " % status), stream.head
            assert (b"retry-after" in stream.head) == (status != 200)


async def test_the_service_stops_under_hundreds_of_streams() -> None:
    settings = FAST | {"TRUSTED_PROXIES": "127.0.0.1/32"}
    async with contextlib.AsyncExitStack() as stack:
        async with serving(FastPathProtocol, **settings) as served:
            streams = [
                await stack.enter_async_context(Stream(served, X_Forwarded_For=f"192.0.2.{n % 9}"))
                for n in range(300)
            ]
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 5
        for stream in streams:
            assert (await stream.reader.read()).endswith(b"0\r\n\r\n"), "ended, not cut off"


async def test_a_stream_that_cannot_tell_the_present_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.live.hub.GIVE_UP_S", 0.2)
    async with serving(FastPathProtocol, **FAST) as served, Stream(served) as stream:
        assert await stream.next() == "snapshot"

        async def fails(site: str, positions: Any) -> Any:
            raise StoreUnreachable("Redis cannot be reached")

        with monkeypatch.context() as patched:
            patched.setattr(served.store, "changes", fails)
            assert await stream.next() == "end"
        async with Stream(served) as again:
            assert await again.next() == "snapshot"


@pytest.mark.parametrize("path, status", [("/a", 200), ("a", 422), ("//host", 422), ("", 422)])
async def test_the_page_that_is_watched_must_be_one(path: str, status: int) -> None:
    async with serving(FastPathProtocol, **FAST) as served:
        reader, writer = await served.connect()
        target = f"/v1/sites/blog/live?path={path}"
        writer.write(request(b"", method="GET", target=target))
        assert (await reader.readline()).split()[1] == str(status).encode()
        writer.close()


async def test_who_may_not_read_may_not_watch(make_service: MakeService, tmp_path: Any) -> None:
    sites = tmp_path / "sites.toml"
    sites.write_text('["blog"]\npublic = false\ntoken = "word"\n')
    service = await make_service("memory://", SITES_FILE=str(sites))
    assert (await service.client.get("/v1/sites/blog/live")).status_code == 401
    assert (await service.client.get("/v1/sites/other/live")).status_code == 401
    assert service.app.state.context.streams.taken_in_all == 0


async def test_a_stream_is_refused_while_redis_is_away(make_service: MakeService) -> None:
    service = await make_service("redis://127.0.0.1:1")
    answer = await service.client.get("/v1/sites/blog/live")
    assert answer.status_code == 503
    assert service.app.state.context.streams.taken_in_all == 0
    assert not service.app.state.context.hub._pollers


@pytest.mark.parametrize("backend", ["valkey"])
async def test_changes_while_redis_stops_are_caught_up(
    backend: str, request: pytest.FixtureRequest, key_prefix: str
) -> None:
    assert url_of(request, backend)
    with Server("valkey", "--appendonly", "yes") as own:
        settings = FAST | {"REDIS_URL": own.url, "KEY_PREFIX": key_prefix}
        async with serving(FastPathProtocol, **settings) as served, Stream(served) as stream:
            served.store.clock = Clock(None)
            assert await stream.next() == "snapshot"
            await served.store.heartbeat("blog", beat(1))
            while stream.screen.pages != {"/a": 1}:
                await stream.next()
            own.kill()
            with pytest.raises(StoreError):
                await served.store.heartbeat("blog", beat(2))
            own.start()
            while True:
                with contextlib.suppress(StoreError):
                    await served.store.heartbeat("blog", beat(2, "/b"))
                    break
            while stream.screen.pages.get("/b") != 1:
                assert await stream.next() != "end"


@pytest.mark.parametrize("path, count", [("/few", 1), ("/nobody", 0), ("/a", 2)])
async def test_a_page_that_is_watched_over_http(path: str, count: int) -> None:
    """The path comes from a query here, and is more than a plain text."""
    async with serving(FastPathProtocol, **FAST) as served:
        await served.store.heartbeats("blog", [beat(1), beat(2), beat(3, "/few")])
        reader, writer = await served.connect()
        writer.write(request(b"", method="GET", target=f"/v1/sites/blog/live?feed=1&path={path}"))
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(20):
            event = b""
            while b"\n\n" not in event.partition(b"data: ")[2]:
                event += await reader.read(65_536)
        data = json.loads(event.partition(b"data: ")[2].partition(b"\n")[0])
        assert {row["path"]: row["count"] for row in data["activeByPath"]}[path] == count
        writer.close()


async def test_departures_say_their_country(make_store: MakeStore) -> None:
    """So that whoever shows countries can count them down."""
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats("blog", [beat(1, "/a", "DE"), beat(2)])
    _, positions = await store.stats_and_positions("blog")
    clock.advance(120_000)
    await store.sweep("blog")
    changes = await store.changes("blog", positions)
    assert changes
    told = [(happening.type, happening.country) for happening in changes.change.feed or ()]
    assert told == [("left", "DE"), ("left", None)]
