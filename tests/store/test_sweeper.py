"""The sweep: who has gone is noticed with nobody reading and no heartbeats coming, once, by one of
many copies, and in time. Real time here, with short timeouts; the moments are read from the log."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import RedisError

from service.errors import StoreError
from service.ops.doctor import Doctor
from service.ops.metrics import Metrics
from service.store.config import StoreConfig
from service.store.due import Claim, Settlement
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.sweeper import Sweeper
from service.store.writer import Heartbeat
from tests import invariants
from tests.conftest import NOW, Clock, MakeStore, now_of, patient_store
from tests.servers import Server
from tests.store.test_history import believe_hours_behind

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
QUICK: dict[str, Any] = {"session_timeout_ms": 600, "heartbeat_dedup_ms": 50, "leave_grace_ms": 100}
LATEST_MS = 1_500  # a departure is logged at most this after it happened
LEASE_MS = 6_000


@pytest.fixture
def backend_url(valkey: Server) -> str:
    """All stores of this file are on one Valkey."""
    return valkey.url


def beat(session: str = S, path: str = "/") -> Heartbeat:
    return Heartbeat(session, path, "", "", "")


def crowd(count: int, name: str = "session") -> list[str]:
    return [f"{name}-{n:010d}" for n in range(count)]


@asynccontextmanager
async def sweeping(*stores: PresenceStore) -> AsyncIterator[None]:
    """A sweeper on each store, as every copy of the service has one."""
    sweepers = [Sweeper(store, Metrics()) for store in stores]
    tasks = [asyncio.create_task(sweeper.run()) for sweeper in sweepers]
    yield
    for sweeper in sweepers:
        sweeper.stop()
    await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def departures(store: PresenceStore, site: str = "blog") -> list[tuple[int, dict[str, str]]]:
    """Each `left` event with the moment at which it was written, in ms."""
    client: Any = store.connection.client
    return [
        (int(entry_id.partition("-")[0]), fields)
        for keys in store.keys.of_site(site)
        for entry_id, fields in await client.xrange(keys.events)
        if fields["type"] == "left"
    ]


async def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Waits for an async condition."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110, the condition is in Redis
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("shards", [1, 3])
async def test_every_departure_is_logged_once_and_in_time(
    make_store: MakeStore, shards: int
) -> None:
    stores = [make_store(shards=shards, **QUICK) for _ in range(3)]
    sites = [f"site-{n}" for n in range(5)]
    expires: dict[str, int] = {}
    async with sweeping(*stores):
        for n, session in enumerate(crowd(60)):
            await stores[n % 3].heartbeat(sites[n % 5], beat(session))
            found = await stores[0].session(sites[n % 5], session)
            assert found is not None
            expires[session] = found.expiresAt
            await asyncio.sleep(0.01)

        async def all_have_left() -> bool:
            logged = [len(await departures(stores[0], site)) for site in sites]
            return sum(logged) >= 60

        await until(all_have_left)
        await asyncio.sleep(0.6)  # another round, which must find nobody
    logged = [row for site in sites for row in await departures(stores[0], site)]
    assert Counter(fields["session"] for _, fields in logged) == Counter(crowd(60))
    for written_at, fields in logged:
        assert int(fields["at"]) == expires[fields["session"]]
        assert (fields["reason"], written_at - int(fields["at"]) <= LATEST_MS) == ("timeout", True)
    for site in sites:
        await invariants.check(stores[0], site, await now_of(stores[0]))
        order = [int(fields["at"]) for _, fields in await departures(stores[0], site)]
        assert shards > 1 or order == sorted(order)


async def test_a_goodbye_is_noticed_long_before_the_timeout(make_store: MakeStore) -> None:
    stores = [make_store(leave_grace_ms=200) for _ in range(2)]
    async with sweeping(*stores):
        await stores[0].heartbeats("blog", [beat(session) for session in crowd(20)])
        await until(lambda: _is_claimed(stores[0]))
        for session in crowd(20):
            assert await stores[1].leave("blog", session) == "leaving"

        async def all_have_left() -> bool:
            return len(await departures(stores[0])) >= 20

        await until(all_have_left)
    for written_at, fields in await departures(stores[0]):
        assert fields["reason"] == "leave"
        assert written_at - int(fields["at"]) <= LATEST_MS


async def _is_claimed(store: PresenceStore) -> bool:
    """Whether the site waits for its next minute, or for its sessions' timeout."""
    client: Any = store.connection.client
    score = await client.zscore(store.keys.due, "blog")
    return score is not None and score > await now_of(store)


async def test_a_site_with_a_wrong_key_does_not_hold_up_the_others(make_store: MakeStore) -> None:
    store = make_store(**QUICK)
    client: Any = store.connection.client
    for site in ("bad", "good", "other"):
        await store.heartbeats(site, [beat(session) for session in crowd(5)])
    bad = store.keys.of_site("bad")[0]
    await client.delete(bad.pages)
    await client.set(bad.pages, "wrong")
    async with sweeping(store):

        async def others_have_left() -> bool:
            return [len(await departures(store, site)) for site in ("good", "other")] == [5, 5]

        await until(others_have_left)
    # What a hand has broken, the doctor mends.
    await client.delete(bad.pages)
    doctor = Doctor(store.connection, store.keys, store.config)
    await doctor.repair(await doctor.check("bad"))
    assert (await doctor.check("bad")).findings == []
    assert await store.heartbeat("bad", beat(crowd(1)[0])) == "created"


async def test_a_sweeper_outlives_a_redis_that_is_gone(key_prefix: str) -> None:
    with Server("valkey", "--appendonly", "yes", "--appendfsync", "always") as server:
        store = patient_store(server.url, Keys(key_prefix), StoreConfig(**QUICK))
        async with sweeping(store):
            await store.heartbeats("blog", [beat(session) for session in crowd(5)])
            server.kill()
            await asyncio.sleep(1)
            with pytest.raises(StoreError):
                await store.active("blog")
            server.start()

            async def all_have_left() -> bool:
                with contextlib.suppress(RedisError):  # the sweeper may be connecting just now
                    return len(await departures(store)) == 5
                return False

            await until(all_have_left)
        await invariants.check(store, "blog", await now_of(store))
        await store.close()


# Claims


async def due(store: PresenceStore) -> dict[str, float]:
    client: Any = store.connection.client
    return dict(await client.zrange(store.keys.due, 0, -1, withscores=True))


async def test_a_site_is_claimed_by_one_copy_only(make_store: MakeStore) -> None:
    clock = Clock()
    stores = [make_store(clock) for _ in range(4)]
    for n in range(40):
        await stores[0].heartbeat(f"site-{n}", beat())
    taken = await asyncio.gather(*(store.claim([], LEASE_MS, 10) for store in stores))
    assert Counter(claim.tag for claims, _ in taken for claim in claims) == Counter(
        f"site-{n}" for n in range(40)
    )
    assert await stores[0].claim([], LEASE_MS, 10) == ([], NOW)


async def test_a_claim_that_is_not_settled_falls_due_again(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat())
    claims, _ = await store.claim([], LEASE_MS, 10)
    assert claims == [Claim("blog", str(NOW + LEASE_MS))]
    clock.advance(LEASE_MS - 1)
    assert (await store.claim([], LEASE_MS, 10))[0] == []
    clock.advance(1)
    assert [claim.tag for claim in (await store.claim([], LEASE_MS, 10))[0]] == ["blog"]


async def test_a_settled_claim_waits_until_it_is_due(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    for site in ("blog", "shop"):
        await store.heartbeat(site, beat())
    (blog, shop), _ = await store.claim([], LEASE_MS, 10)
    await store.claim([Settlement(blog, NOW + 9_000), Settlement(shop, None)], LEASE_MS, 10)
    assert await due(store) == {"blog": NOW + 9_000}
    # A copy whose lease was given to another settles nothing.
    await store.claim([Settlement(blog, NOW + 60_000), Settlement(shop, NOW)], LEASE_MS, 10)
    assert await due(store) == {"blog": NOW + 9_000}


async def test_a_goodbye_during_a_sweep_is_not_overlooked(make_store: MakeStore) -> None:
    for late_ms in (0, 2_999, 3_001, LEASE_MS - 1, LEASE_MS + 1):
        clock = Clock()
        store = make_store(clock, leave_grace_ms=2_900)
        site = f"site-{late_ms}"
        await store.heartbeat(site, beat())
        (claim,), _ = await store.claim([], LEASE_MS, 10)
        sweep = await store.sweep(site)
        clock.advance(late_ms)  # the copy is slow
        await store.leave(site, S)
        await store.heartbeat(site, beat(crowd(1)[0]))  # whose batch enters what is due
        await store.claim([Settlement(claim, sweep.next_ms)], LEASE_MS, 0)
        assert (await due(store))[site] <= NOW + late_ms + 2_900, late_ms
        await store.connection.client.delete(store.keys.due)


async def test_a_new_life_during_a_last_sweep_is_not_overlooked(make_store: MakeStore) -> None:
    for late_ms in (0, LEASE_MS - 1, LEASE_MS, LEASE_MS + 5_000):
        clock = Clock()
        store = make_store(clock)
        site = f"site-{late_ms}"
        await store.heartbeat(site, beat())
        clock.advance(120_000)
        (claim,), _ = await store.claim([], LEASE_MS, 10)
        assert (await store.sweep(site)).next_ms is None
        clock.advance(late_ms)
        assert await store.heartbeat(site, beat()) == "created"
        await store.claim([Settlement(claim, None)], LEASE_MS, 0)
        assert (await due(store))[site] <= NOW + 120_000 + late_ms, late_ms
        await store.connection.client.delete(store.keys.due)


async def test_a_clock_that_is_set_back_does_not_stop_the_sweep(make_store: MakeStore) -> None:
    clock = Clock(NOW + 3_600_000)
    store = make_store(clock)
    await store.heartbeat("blog", beat())
    (claim,), _ = await store.claim([], LEASE_MS, 10)
    await store.claim([Settlement(claim, clock.now_ms)], LEASE_MS, 0)
    clock.now_ms = NOW
    assert [claim.tag for claim in (await store.claim([], LEASE_MS, 10))[0]] == ["blog"]


@pytest.mark.parametrize("hours_behind", [0, 1])
async def test_a_sweep_notes_how_many_are_here_at_each_minutes_begin(
    make_store: MakeStore, hours_behind: int
) -> None:
    minute = NOW // 86_400_000 * 86_400_000 - 60_000  # the last one of a day
    clock = Clock(minute + 50_000)
    store = make_store(clock)
    believe_hours_behind(store, hours_behind)
    await store.heartbeats("blog", [beat(session) for session in crowd(7)])
    clock.now_ms = minute + 60_000
    await store.sweep("blog")  # nobody beats: only the sweep can know of this minute
    clock.now_ms = minute + 120_000
    await store.sweep("blog")
    clock.now_ms = minute + 240_000
    history = await store.history("blog", "minutes", 5)
    assert [point.peakActive for point in history.points] == [7, 7, 7, 0, 0]
    hours = await store.history("blog", "hours", 2)
    assert [point.peakActive for point in hours.points] == [7, 7]


async def test_the_sweeper_wakes_a_site_at_the_next_minute(make_store: MakeStore) -> None:
    minute = NOW // 60_000 * 60_000
    clock = Clock(minute + 30_000)
    store = make_store(clock)
    await store.heartbeats("blog", [beat(session) for session in crowd(3)])
    async with sweeping(store):

        async def is_settled() -> bool:
            return (await due(store)).get("blog") == minute + 60_000

        await until(is_settled)
        clock.now_ms = minute + 60_000

        async def is_settled_again() -> bool:
            return (await due(store)).get("blog") == minute + 120_000

        await until(is_settled_again)
        clock.now_ms = minute + 150_000  # all have gone

        async def is_off_the_list() -> bool:
            return await due(store) == {}

        await until(is_off_the_list)
    clock.now_ms = minute + 60_000
    history = await store.history("blog", "minutes", 2)
    assert [point.peakActive for point in history.points] == [3, 3]
