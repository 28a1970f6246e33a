"""Logs forget what is older than so many days; counts do not."""

import asyncio
from typing import Any

import pytest

from service.errors import WrongTypeError
from service.store import retention
from service.store.retention import DAY_MS
from service.store.writer import Heartbeat
from tests.conftest import Clock, MakeStore

SITES = ("blog", "shop", "wiki")
DAYS_OLD = (40, 31, 29, 0)


def view(stream: str, at_ms: int, n: int) -> tuple[str | int, ...]:
    return ("XADD", stream, f"{at_ms}-{n}", "session", f"session-{n:08d}", "path", "/", "at", at_ms)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(
    ("views_days", "events_days", "left"),
    [(30, 0, (2, 4)), (0, 30, (4, 2)), (35, 1, (3, 1)), (400, 400, (4, 4))],
)
async def test_what_is_too_old_goes(
    make_store: MakeStore,
    shards: int,
    views_days: int,
    events_days: int,
    left: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "SITES_AT_ONCE", 2)
    clock = Clock()
    store = make_store(clock, shards=shards, views_days=views_days, events_days=events_days)
    client: Any = store.connection.client
    streams = []
    for site in SITES:
        await client.zadd(store.keys.sites, {site: 0})
        for shard in store.keys.of_site(site):
            streams.append((shard.views, shard.events))
            for n, days in enumerate(DAYS_OLD):
                for stream in streams[-1]:
                    at_ms = int(clock()) - days * DAY_MS
                    await client.execute_command(*view(stream, at_ms, n))
    assert store.retention.is_on
    gone = sum(4 - n for n in left)
    assert await store.retention.trim() == len(streams) * gone
    for both in streams:
        assert tuple([await client.xlen(stream) for stream in both]) == left
    assert await store.retention.trim() == 0


async def test_a_key_of_a_wrong_type_keeps_no_other_log(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SITES_AT_ONCE", 2)
    clock = Clock()
    store = make_store(clock, views_days=1)
    client: Any = store.connection.client
    for site in SITES:
        await client.zadd(store.keys.sites, {site: 0})
        (shard,) = store.keys.of_site(site)
        if site == "blog":
            await client.set(shard.views, "by hand")
        else:
            await client.execute_command(*view(shard.views, int(clock()) - 2 * DAY_MS, 1))
    with pytest.raises(WrongTypeError):
        await store.retention.trim()
    for site in SITES[1:]:
        (shard,) = store.keys.of_site(site)
        assert await client.xlen(shard.views) == 0


async def test_nothing_is_forgotten_unless_asked_for(make_store: MakeStore) -> None:
    store = make_store(Clock())
    assert not store.retention.is_on
    assert await store.retention.trim() == 0


async def test_one_copy_an_hour(make_store: MakeStore) -> None:
    store = make_store(Clock(), views_days=1)
    turns = [await store.retention._claim() for _ in range(3)]
    assert turns == [True, False, False]


async def test_it_goes_on_by_itself_and_counts_stay(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, views_days=1, events_days=1)
    client: Any = store.connection.client
    for n in range(3):
        await store.heartbeat("blog", Heartbeat(f"session-{n:08d}", "/", "", "", ""))
    await client.zadd(store.keys.sites, {"blog": 0})
    clock.now_ms = 4_000_000_000_000  # entries are named by Redis's own clock
    (shard,) = store.keys.of_site("blog")
    running = asyncio.create_task(store.retention.run())
    while await client.xlen(shard.views) or await client.xlen(shard.events):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    assert (await store.stats("blog")).totalPageViews == 3
