"""How people came, on live streams: told as they come and go, of sites whose pages say it."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from service.live import source_watch
from service.live.hub import Hub
from service.live.messages import Delta
from service.models import Change, SourceCount, Stats
from service.store.merge import Changes
from service.store.sources import CAME
from service.store.store import PresenceStore
from tests.conftest import Clock, MakeStore
from tests.live.test_live import TICK_S, beat, count_calls, events_in, watching
from tests.store.test_sources import beat as said


class Came:
    """What a client shows of how people came."""

    def __init__(self, subscriber: Any) -> None:
        self._subscriber = subscriber
        self.told: dict[str, Any] = {}
        self.as_of = 0

    async def take(self) -> None:
        for event in events_in(await self._subscriber.take() or b""):
            data = json.loads(event["data"])
            self.as_of = data["asOf"]
            came = {name: data[name] for name in CAME if name in data}
            if came or event["event"] == "snapshot":
                self.told = came

    async def agrees_with(self, stats: Stats) -> None:
        """Waits until it shows what a reader is told; those who have nothing to say show none."""
        numbers = json.loads(msgspec.json.encode(stats))
        expected = {name: numbers.get(name, []) for name in CAME}
        async with asyncio.timeout(20):
            while expected != {name: self.told.get(name, []) for name in CAME}:
                await self.take()


@pytest.mark.parametrize("shards", [1, 3])
async def test_they_follow(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards)
    first = [f"session-{n:08d}" for n in range(4)]
    ad = ("source ad.example", "medium cpc", "campaign Sale", "device phone")
    await store.heartbeat("blog", said(first[0], "/", "source --", "device desktop"))
    async with watching(Hub(store, TICK_S)) as subscriber:
        came = Came(subscriber)
        await came.agrees_with(await store.stats("blog"))
        for does, later_ms in [
            ([said(first[1], "/", *ad)], 0),  # names that no snapshot had
            ([said(first[1], "/b", *ad), said(first[2], "/", *ad)], 0),
            ([beat(1)], 0),  # does not say it
            ([said(first[3], "/", "source --", "device tablet")], 60_000),
            ([], 60_000),  # those before time out
            ([], 60_000),  # nobody is left
            ([said(first[0], "/", *ad)], 0),
        ]:
            clock.advance(later_ms)
            for keys in store.keys.of_site("blog"):
                await store.sweep(keys.tag)
            if does:
                await store.heartbeats("blog", does)
            await came.agrees_with(await store.stats("blog"))


async def test_who_was_away_is_told(make_store: MakeStore) -> None:
    store = make_store(Clock())
    feed = Hub(store, TICK_S)
    await store.heartbeat("blog", said("session-00000001", "/", "source --", "device phone"))
    async with watching(feed):  # somebody else
        _, known = await store.stats_and_positions("blog")
        await store.heartbeat("blog", said("session-00000002", "/", "source a", "device phone"))
        async with watching(feed, known) as subscriber:
            await Came(subscriber).agrees_with(await store.stats("blog"))


async def arrive(store: PresenceStore, subscriber: Any, *beats: Any) -> dict[str, Any]:
    """What is told once these have come."""
    await store.heartbeats("blog", list(beats))
    async with asyncio.timeout(20):
        while True:
            for event in events_in(await subscriber.take() or b""):
                data: dict[str, Any] = json.loads(event["data"])
                if data.get("arrivals"):
                    return data


async def test_a_site_that_does_not_say_it_costs_nothing(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(Clock())
    calls = count_calls(store, "came")
    async with watching(Hub(store, TICK_S)) as subscriber:
        for n in range(3):
            assert not CAME & (await arrive(store, subscriber, beat(n))).keys()
    assert calls["came"] == 0
    # Now and then it is looked whether the site has begun to.
    monkeypatch.setattr(source_watch, "LOOK_S", 0.0)
    async with watching(Hub(store, TICK_S)) as subscriber:
        assert not CAME & (await arrive(store, subscriber, beat(10))).keys()
        begins = said("session-00000001", "/", "source a", "device phone")
        told = await arrive(store, subscriber, begins)
    assert told["activeBySource"] == [{"source": "a", "count": 1}]
    assert calls["came"] == 2


# of two changes, what each tells -> what a client is told that was sent neither
@pytest.mark.parametrize(
    "before, after, told",
    [([2], None, [2]), ([2], [3], [3]), ([2], [], []), (None, [3], [3]), (None, None, None)],
)
def test_changes_become_one(
    before: list[int] | None, after: list[int] | None, told: list[int] | None
) -> None:
    def of(counts: list[int] | None) -> Delta:
        rows = msgspec.UNSET if counts is None else [SourceCount("a", n) for n in counts]
        change = Change(1, [], 1, 1, 0, 0, 1, [], activeBySource=rows)
        return Delta(Changes(change, ["1-0"], []))

    merged = of(before).then(of(after))
    assert merged
    rows = merged.change.activeBySource
    assert (None if rows is msgspec.UNSET else [row.count for row in rows or ()]) == told
