"""How sessions came: what is counted of it, for how long, and at what cost."""

import json
from typing import Any

import pytest

from service.ops.doctor import Doctor
from service.store.keys import MS_PER_HOUR
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests import invariants
from tests.conftest import NOW, Clock, MakeStore, now_of, on_servers

S, T = "session-00000001", "session-00000002"
DAY_MS = 24 * MS_PER_HOUR
AD = ("source example.org", "medium cpc", "campaign Spring Sale", "device phone")


def beat(session: str = S, path: str = "/", *names: str, **details: str) -> Heartbeat:
    if names:
        details["sources"] = "\t".join(names)
    text = json.dumps(details) if details else ""
    return Heartbeat(session, path, "", "", text, "", bool(names))


def raw(store: PresenceStore) -> Any:
    return store.connection.client


async def counted(store: PresenceStore) -> dict[str, float]:
    """What `places` counts, read with a plain command."""
    keys = store.keys.of_site("blog")[0]
    return dict(await raw(store).zrange(keys.places, 0, -1, withscores=True))


async def by_source(store: PresenceStore) -> list[tuple[str | None, int]]:
    rows = (await store.stats("blog")).activeBySource
    return [(row.source, row.count) for row in rows or ()]


async def test_who_goes_is_taken_off(make_store: MakeStore) -> None:
    """By a goodbye, an order, a timeout, and where the session is back before the sweep."""
    clock = Clock()
    store = make_store(clock)
    ways = [f"session-{n:08d}" for n in range(4)]
    await store.heartbeats("blog", [beat(session, "/", *AD) for session in ways])
    assert await counted(store) == dict.fromkeys(AD, 4)
    await store.leave("blog", ways[0])
    clock.advance(3_000)
    assert await by_source(store) == [("example.org", 3)]  # not swept yet
    await store.sweep("blog")
    assert await counted(store) == dict.fromkeys(AD, 3)
    await store.end("blog", ways[1])
    assert await counted(store) == dict.fromkeys(AD, 2)
    clock.advance(117_000)
    await store.heartbeat("blog", beat(ways[2], "/", "source --", "device desktop"))
    assert await by_source(store) == [(None, 1)]
    await store.heartbeat("blog", beat(ways[3], "/other"))  # does not say so this time
    await invariants.check(store, "blog", int(clock()))
    await store.sweep("blog")
    await invariants.check(store, "blog", int(clock()))
    assert await counted(store) == {"source --": 1, "device desktop": 1}


async def test_no_path_makes_a_site_one_with_users(make_store: MakeStore) -> None:
    """Whose keys have names that a path may end in."""
    store = make_store()
    now_ms = await now_of(store)
    assert await store.heartbeat("blog", beat(S, "/wiki/Special:users", *AD)) == "created"
    (keys,) = store.keys.of_site("blog")
    assert 0 < await raw(store).pttl(keys.session(S)) <= store.config.session_timeout_ms
    assert await raw(store).pttl(keys.sources_of(now_ms // MS_PER_HOUR)) > 300 * DAY_MS


@pytest.mark.parametrize("back_ms", [10_000, 600_000])
@pytest.mark.parametrize("way", ["goodbye", "timeout"])
async def test_who_goes_after_the_clock_was_set_back_is_taken_off(
    make_store: MakeStore, back_ms: int, way: str
) -> None:
    """As where a node takes over whose clock is behind."""
    clock = Clock()
    store = make_store(clock)
    where = {"latitude": "52.5", "longitude": "13.4", "city": "Berlin"}
    await store.heartbeat("blog", beat(S, "/", *AD, **where))
    clock.advance(-back_ms)
    if way == "goodbye":
        await store.leave("blog", S)
        clock.advance(3_000)
    else:
        await store.heartbeat("blog", beat(S, "/"))
        clock.advance(120_000)
    assert (await store.sweep("blog")).removed == 1
    assert await counted(store) == {}
    assert not await raw(store).exists(store.keys.of_site("blog")[0].located)


async def test_a_place_and_a_source_are_counted_side_by_side(make_store: MakeStore) -> None:
    store = make_store(Clock())
    where = {"latitude": "52.5", "longitude": "13.4", "city": "Berlin"}
    await store.heartbeats("blog", [beat(S, "/", *AD, **where), beat(T, "/", **where)])
    stats = await store.stats("blog")
    assert [(at.city, at.count) for at in stats.visitorLocations] == [("Berlin", 2)]
    assert await by_source(store) == [("example.org", 1)]
    await invariants.check(store, "blog", NOW)


@on_servers
@pytest.mark.parametrize("shards", [1, 3])
async def test_no_place_is_pushed_out_of_the_list(make_store: MakeStore, shards: int) -> None:
    """500 places are listed, the highest, whatever sources stand among them."""
    store = make_store(Clock(), shards=shards)
    beats = [
        beat(f"session-{n:08d}", "/", f"source s{n % 190}", "device --",
             latitude=f"{n % 600 / 10:.1f}", longitude="1.0")
        for n in range(1_200)
    ]  # fmt: skip
    await store.heartbeats("blog", beats)
    stats = await store.stats("blog")
    assert [place.count for place in stats.visitorLocations] == [2] * 500
    assert sum(count for _, count in await by_source(store)) == 1_200


async def test_a_day_names_200_of_a_kind(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    names = [f"source site-{n:03d}.example" for n in range(230)]
    beats = [beat(f"session-{n:08d}", "/", name, "device phone") for n, name in enumerate(names)]
    await store.heartbeats("blog", beats)
    await store.heartbeat("blog", beat("another-session-1", "/", names[0], "device phone"))
    await store.heartbeat("blog", beat("another-session-2", "/", names[229], "device phone"))
    day = await store.arrivals("blog", 1)
    assert len(day.sources) == 201
    assert (day.sources[0].source, day.sources[0].count) == ("site-000.example", 2)
    assert (day.sources[-1].source, day.sources[-1].count) == ("__other__", 31)
    assert [(row.device, row.count) for row in day.devices] == [("phone", 232)]
    assert len(await counted(store)) == 202
    await invariants.check(store, "blog", NOW)
    life_ms = await raw(store).pttl(store.keys.of_site("blog")[0].sources_of(NOW // MS_PER_HOUR))
    assert 400 * DAY_MS - 60_000 < life_ms <= 400 * DAY_MS
    clock.advance(DAY_MS)  # the next day has names again
    await store.heartbeat("blog", beat(S, "/", names[229], "device phone"))
    assert ("site-229.example", 1) in await by_source(store)
    assert sum(row.count for row in (await store.arrivals("blog", 2)).sources) == 233


async def test_what_a_hand_has_changed_is_found_and_counted_anew(make_store: MakeStore) -> None:
    store = make_store(Clock())
    keys, doctor = store.keys.of_site("blog")[0], Doctor(store.connection, store.keys)
    await store.heartbeats("blog", [beat(S, "/", *AD), beat(T, "/", "source --", "device tablet")])
    assert (await doctor.check("blog")).findings == []
    await raw(store).zadd(keys.places, {"source example.org": 9, "source nobody.example": 1})
    found = (await doctor.check("blog")).findings
    assert {finding.what.split(";")[0] for finding in found} == {
        "counts 9 for source example.org", "counts 1 for source nobody.example",
    }  # fmt: skip
    await doctor.repair(await doctor.check("blog"))
    assert (await doctor.check("blog")).findings == []
    await invariants.check(store, "blog", NOW)


async def test_a_site_that_does_not_say_has_no_key_of_it(make_store: MakeStore) -> None:
    store = make_store(Clock())
    await store.heartbeats("blog", [beat(S), beat(T)])
    names = {name async for name in raw(store).scan_iter(f"{store.keys.prefix}:*")}
    base = store.keys.of_site("blog")[0].base
    assert not [name for name in names if name.startswith((f"{base}sources", f"{base}located"))]
    assert f"{base}places" not in names
