"""The contract of the store, the same on every backend. Times are given, to the millisecond."""

import asyncio
import time
import uuid
from typing import Any

import pytest

from service import models
from service.errors import StoreError, StoreRefused
from service.ops.doctor import Doctor
from service.store.config import StoreConfig
from service.store.keys import MS_PER_HOUR, ShardKeys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests import invariants
from tests.conftest import NOW, Clock, MakeStore, store_factory
from tests.servers import Server
from tests.store.test_history import believe_hours_behind

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
T = "another-session-0001"
DAY_MS = 24 * MS_PER_HOUR
BERLIN = '{"latitude":"52.5","longitude":"13.4","city":"Berlin"}'


def beat(path: str = "/", session: str = S, **more: str) -> Heartbeat:
    return Heartbeat(
        session, path, more.get("country", ""), more.get("client", ""), more.get("details", "")
    )


def page_view(path: str = "/", session: str = S, **more: str) -> PageView:
    return PageView(session, path, **more)


def ids(count: int) -> list[str]:
    return [str(uuid.UUID(int=n)) for n in range(count)]


def shard(store: PresenceStore) -> ShardKeys:
    """The keys of the site `blog`, which is in one piece here."""
    return store.keys.of_site("blog")[0]


def raw(store: PresenceStore) -> Any:
    """Redis itself."""
    return store.connection.client


async def events(store: PresenceStore) -> list[dict[str, str]]:
    return [fields for _, fields in await raw(store).xrange(shard(store).events)]


async def log(store: PresenceStore) -> list[tuple[str, str]]:
    """The log of events, as pairs of type and session."""
    return [(event["type"], event["session"]) for event in await events(store)]


async def contents(store: PresenceStore) -> dict[str, Any]:
    """All that is written of the site, except who was counted as unique."""
    client = raw(store)
    scan = client.scan_iter(match=f"{shard(store).base}*", count=1000)
    names = [name async for name in scan if not name.startswith(shard(store).uniques)]
    assert names, "to compare nothing proves nothing"
    types, values = client.pipeline(transaction=False), client.pipeline(transaction=False)
    for name in names:
        types.type(name)
    readers: dict[str, Any] = {
        "string": values.get,
        "hash": values.hgetall,
        "zset": lambda name: values.zrange(name, 0, -1, withscores=True),
        "stream": values.xrange,
    }
    for name, kind in zip(names, await types.execute(), strict=True):
        readers[kind](name)
    return dict(zip(names, await values.execute(), strict=True))


# Heartbeats


# (after ms, path) -> outcome; the first heartbeat is at 0 on /a
@pytest.mark.parametrize(
    "after_ms, path, outcome",
    [
        (0, "/a", "duplicate"),
        (9_999, "/a", "duplicate"),
        (10_000, "/a", "refreshed"),
        (0, "/b", "moved"),
        (9_999, "/b", "moved"),
        (119_999, "/a", "refreshed"),
        (119_999, "/b", "moved"),
        (120_000, "/a", "created"),
        (120_000, "/b", "created"),
        (10_000_000, "/a", "created"),
    ],
)
async def test_second_heartbeat(
    make_store: MakeStore, after_ms: int, path: str, outcome: str
) -> None:
    clock = Clock()
    store = make_store(clock)
    assert await store.heartbeat("blog", beat("/a")) == "created"
    clock.advance(after_ms)
    assert await store.heartbeat("blog", beat(path)) == outcome
    stats = await store.stats("blog")
    assert [(row.path, row.count) for row in stats.activeByPath] == [(path, 1)]
    assert stats.activeVisitors == 1
    await invariants.check(store, "blog", NOW + after_ms)


async def test_a_duplicate_does_not_prolong_the_life(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat())
    clock.advance(9_000)
    assert await store.heartbeat("blog", beat()) == "duplicate"
    clock.advance(111_000)
    assert (await store.active("blog")).activeVisitors == 0


async def test_a_duplicate_writes_nothing(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat(details=BERLIN))
    before = await contents(store)
    clock.advance(9_999)
    assert await store.heartbeats("blog", [beat()] * 50) == ["duplicate"] * 50
    assert await contents(store) == before


async def test_without_a_window_every_heartbeat_refreshes(make_store: MakeStore) -> None:
    store = make_store(Clock(), heartbeat_dedup_ms=0)
    assert await store.heartbeats("blog", [beat()] * 3) == ["created", "refreshed", "refreshed"]
    await invariants.check(store, "blog", NOW)


async def test_all_session_ids_are_counted_once(make_store: MakeStore) -> None:
    store = make_store(Clock())
    outcomes = await store.heartbeats("blog", [beat(session=i) for i in [*ids(300), *ids(300)]])
    assert outcomes == ["created"] * 300 + ["duplicate"] * 300
    stats = await store.stats("blog")
    assert (stats.activeVisitors, stats.totalPageViews) == (300, 300)
    assert abs(stats.uniqueVisitors - 300) < 10
    assert stats.asOf == NOW


async def test_a_batch_is_decided_in_order(make_store: MakeStore) -> None:
    store = make_store(Clock())
    walk = [beat(f"/{n % 7}") for n in range(1_000)]
    assert await store.heartbeats("blog", walk) == ["created"] + ["moved"] * 999
    assert [event.get("from") for event in await events(store)] == [
        None, *(f"/{n % 7}" for n in range(999))
    ]  # fmt: skip


async def test_a_session_as_it_is_kept(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    details = '{"type":"post","city":"Berlin","latitude":"52.5","longitude":"13.4"}'
    await store.heartbeat("blog", beat("/a", country="DE", details=details))
    clock.advance(20_000)
    await store.heartbeat("blog", beat("/a"))
    keys, client = shard(store), raw(store)
    assert await client.hgetall(keys.session(S)) == {
        "path": "/a", "seen": str(NOW + 20_000), "since": str(NOW), "country": "DE",
        "type": "post", "city": "Berlin", "latitude": "52.5", "longitude": "13.4",
    }  # fmt: skip
    member = f"{S} DE /a"
    assert await client.zrange(keys.active, 0, -1, withscores=True) == [(member, NOW + 140_000)]
    assert await invariants.ends_of(client, [keys.session(S)]) == [NOW + 140_000]
    assert await store.session("blog", S) == models.Session(
        S, "/a", NOW + 20_000, NOW, NOW + 140_000, "post", "DE", "Berlin", 52.5, 13.4
    )
    # A move takes the page's type along, and leaves the visitor's place alone.
    await store.heartbeat("blog", beat("/b", country="FR", details='{"city":"Paris"}'))
    moved = await client.hgetall(keys.session(S))
    assert ("type" not in moved, moved["country"], moved["city"]) == (True, "DE", "Berlin")


async def test_countries_and_places(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    a, b, c, d = ids(4)
    await store.heartbeats("blog", [beat("/x", a, country="DE", details=BERLIN), beat("/y", d)])
    clock.advance(1_000)
    await store.heartbeats(
        "blog",
        [beat("/x", b, country="DE", details=BERLIN), beat("/x", c, country="FR")],
    )
    stats = await store.stats("blog")
    assert [(row.country, row.count) for row in stats.activeByCountry] == [
        ("DE", 2), (None, 1), ("FR", 1),
    ]  # fmt: skip
    assert stats.visitorLocations == [models.Location(52.5, 13.4, "Berlin", "DE", 2)]
    clock.advance(119_000)
    stats = await store.stats("blog")
    assert [(row.country, row.count) for row in stats.activeByCountry] == [("DE", 1), ("FR", 1)]
    assert [row.count for row in stats.visitorLocations] == [1]
    clock.advance(1_000)
    stats = await store.stats("blog")
    assert (stats.activeByCountry, stats.visitorLocations) == ([], [])


# Many at once


async def test_a_session_met_again_in_a_batch_is_decided_in_order(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats("blog", [beat("/a"), beat("/a", T)])
    clock.advance(20_000)
    batch = [beat("/a"), beat("/a", T), beat("/b"), beat("/b"), beat("/a"), beat("/a", T)]
    assert await store.heartbeats("blog", batch) == [
        "refreshed", "refreshed", "moved", "duplicate", "moved", "duplicate",
    ]  # fmt: skip
    batch = [beat("/n", ids(1)[0]), beat("/n", ids(1)[0]), beat("/m", ids(1)[0]), beat("/c")]
    assert await store.heartbeats("blog", batch) == ["created", "duplicate", "moved", "moved"]
    await invariants.check(store, "blog", NOW + 20_000)
    assert [
        (event["type"], event["path"]) for event in await events(store) if event["session"] == S
    ] == [("joined", "/a"), ("moved", "/b"), ("moved", "/a"), ("moved", "/c")]


@pytest.mark.parametrize("paths", ["aab", "aba", "baa", "abab", "bbaa"])
async def test_refreshes_and_moves_take_turns_where_there_is_no_window(
    make_store: MakeStore, paths: str
) -> None:
    clock = Clock()
    store = make_store(clock, heartbeat_dedup_ms=0)
    await store.heartbeats("blog", [beat("/a"), beat("/a", T)])
    clock.advance(1_000)
    batch = [beat("/a", T), *(beat(f"/{name}") for name in paths)]
    assert await store.heartbeats("blog", batch) == ["refreshed"] + [
        "refreshed" if name == before else "moved"
        for before, name in zip("a" + paths, paths, strict=False)
    ]
    await invariants.check(store, "blog", NOW + 1_000)


@pytest.mark.parametrize("after_ms, others", [(5_000, "duplicate"), (20_000, "refreshed")])
@pytest.mark.parametrize("lost", ["member", "hash"])
@pytest.mark.parametrize("count", [1, 5])
async def test_a_session_that_was_half_lost_is_whole_again(
    make_store: MakeStore, after_ms: int, others: str, lost: str, count: int
) -> None:
    clock = Clock()
    store = make_store(clock)
    batch = [beat("/a", session) for session in ids(count)]
    await store.heartbeats("blog", batch)
    unlucky = ids(count)[count // 2]
    if lost == "hash":
        await raw(store).delete(shard(store).session(unlucky))
    else:
        await store.end("blog", unlucky)
        hash_of_old = {"path": "/a", "seen": str(NOW), "since": str(NOW)}
        await raw(store).hset(shard(store).session(unlucky), mapping=hash_of_old)
        await raw(store).pexpire(shard(store).session(unlucky), 100_000)
    clock.advance(after_ms)
    outcomes = await store.heartbeats("blog", batch)
    own = outcomes.pop(count // 2)
    assert outcomes == [others] * (count - 1)
    assert own == ("created" if lost == "member" else others)
    if (lost, others) != ("hash", "duplicate"):  # then nothing is written, and nothing put right
        await invariants.check(store, "blog", NOW + after_ms)


@pytest.mark.parametrize("after_ms, others", [(5_000, "duplicate"), (20_000, "refreshed")])
async def test_a_poisoned_session_that_is_here_fails_alone(
    make_store: MakeStore, after_ms: int, others: str
) -> None:
    clock = Clock()
    store = make_store(clock)
    keys, client = shard(store), raw(store)
    await store.heartbeats("blog", [beat("/a", session) for session in ids(3)])
    poisoned = ids(3)[1]
    await client.delete(keys.session(poisoned))
    await client.set(keys.session(poisoned), "wrong", px=100_000)
    clock.advance(after_ms)
    batch = [beat("/a", session) for session in ids(3)]
    own = "failed" if others == "refreshed" else others  # a repeat does not read the hash
    assert await store.heartbeats("blog", batch) == [others, own, others]
    scores = dict(await client.zrange(keys.active, 0, -1, withscores=True))
    assert scores.pop(f"{poisoned} -- /a") == NOW + 120_000
    renewed_by_ms = after_ms if others == "refreshed" else 0
    assert set(scores.values()) == {NOW + 120_000 + renewed_by_ms}


@pytest.mark.parametrize("count", [1, 3])
async def test_a_session_keeps_the_country_it_came_from(make_store: MakeStore, count: int) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats("blog", [beat("/", session, country="DE") for session in ids(count)])
    for country, after_ms, outcome in (("FR", 5_000, "duplicate"), ("", 10_000, "refreshed")):
        clock.advance(after_ms)
        batch = [beat("/", session, country=country) for session in ids(count)]
        assert await store.heartbeats("blog", batch) == [outcome] * count
    stats = await store.stats("blog")
    assert [(row.country, row.count) for row in stats.activeByCountry] == [("DE", count)]
    await invariants.check(store, "blog", NOW + 15_000)


async def test_a_goodbye_is_cancelled_among_others(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    batch = [beat("/", session) for session in ids(3)]
    await store.heartbeats("blog", batch)
    await store.leave("blog", ids(3)[1])
    clock.advance(1_000)
    assert await store.heartbeats("blog", batch) == ["duplicate", "refreshed", "duplicate"]
    await invariants.check(store, "blog", NOW + 1_000)


async def test_what_is_kept_of_views_is_renewed_once_a_minute(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    keys, client = shard(store), raw(store)
    hour = NOW // MS_PER_HOUR
    names = [keys.views, keys.minutes_of(hour), keys.hours_of(hour), keys.types]
    await store.heartbeat("blog", beat("/a", details='{"type":"post"}'))
    for minutes, is_renewed in ((0, False), (1, True)):
        for name in names:
            await client.pexpire(name, 1_000_000)
        clock.advance(minutes * 60_000)
        await store.heartbeats("blog", [beat(f"/{minutes}"), beat(f"/{minutes}/b", T)])
        lives = [await client.pttl(name) for name in names]
        assert [life_ms > 1_000_000 for life_ms in lives] == [is_renewed] * 4
    await client.delete(keys.types)
    await store.heartbeat("blog", beat("/t", details='{"type":"post"}'))  # within the same minute
    await invariants.check(store, "blog", clock.now_ms or 0)


@pytest.mark.parametrize("shards", [1, 3])
async def test_heartbeats_of_many_sites_at_once(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards)
    sites = [f"site-{n}" for n in range(40)]

    async def at_once(*beats: Heartbeat) -> set[tuple[str, ...]]:
        outcomes = await asyncio.gather(
            *(store.heartbeat(site, one) for one in beats for site in sites)
        )
        return set(zip(*(outcomes[n : n + 40] for n in range(0, len(outcomes), 40)), strict=True))

    assert await at_once(beat("/a"), beat("/a", T, details=BERLIN)) == {("created", "created")}
    clock.advance(5_000)
    assert await at_once(beat("/a"), beat("/b", T)) == {("duplicate", "moved")}
    clock.advance(10_000)
    assert await at_once(beat("/a"), beat("/a"), beat("/c")) == {
        ("refreshed", "duplicate", "moved")
    }
    for site in sites:
        await invariants.check(store, site, NOW + 15_000)
        assert await store.count(site, "/c") == (2, 1, NOW + 15_000)
    claims, _ = await store.claim([], 1_000, 1_000)  # each was entered
    assert {claim.tag.partition("/")[0] for claim in claims} == set(sites)


async def test_what_a_site_is_sent_keeps_its_order_among_others(make_store: MakeStore) -> None:
    store = make_store(Clock())
    for site in ("blog", "other"):  # by now all nodes know the scripts
        await store.heartbeat(site, beat("/a", T))
        await store.leave(site, T)
        await store.view(site, page_view("/v", T))
    outcomes = await asyncio.gather(
        store.heartbeat("blog", beat("/a")),
        store.heartbeat("other", beat("/a")),
        store.leave("blog", S),
        store.heartbeat("other", beat("/b")),
        store.heartbeat("blog", beat("/a")),
        store.leave("other", S),
        store.view("other", page_view("/v")),
        store.heartbeat("other", beat("/b")),
    )
    assert outcomes == [
        "created", "created", "leaving", "moved", "refreshed", "leaving", "recorded", "refreshed",
    ]  # fmt: skip
    for site in ("blog", "other"):
        await invariants.check(store, site, NOW)


@pytest.mark.parametrize("name", ["active", "pages", "uniques", "totals"])
async def test_an_index_key_of_a_wrong_type_fails_its_site_alone(
    make_store: MakeStore, name: str
) -> None:
    clock = Clock()
    store = make_store(clock)
    sites = ["a", "blog", "c", "d"]
    for session in (S, T):
        await asyncio.gather(*(store.heartbeat(site, beat("/a", session)) for site in sites))
    await raw(store).delete(f"{shard(store).base}{name}")
    await raw(store).set(f"{shard(store).base}{name}", "wrong")
    clock.advance(1_000)
    outcomes = await asyncio.gather(
        *(store.heartbeat(site, beat("/b", session)) for session in (S, T) for site in sites),
        *(store.heartbeat(site, beat("/a", "a-new-session-00001")) for site in sites),
        return_exceptions=True,
    )
    for n, outcome in enumerate(outcomes):
        if sites[n % 4] != "blog":
            assert outcome == ("moved" if n < 8 else "created")
        elif isinstance(outcome, StoreRefused):
            assert "wrong type" in outcome.detail
        else:  # it did not meet the key
            assert name != "active"
    for site in ("a", "c", "d"):
        await invariants.check(store, site, NOW + 1_000)


# Goodbyes


async def test_a_goodbye_ends_the_session_after_its_grace(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat())
    assert await store.leave("blog", S) == "leaving"
    clock.advance(2_999)
    assert (await store.active("blog")).activeVisitors == 1
    clock.advance(1)
    assert (await store.active("blog")).activeVisitors == 0
    assert await store.leave("blog", S) == "unknown"
    await store.sweep("blog")
    assert (await events(store))[-1] == {
        "type": "left", "session": S, "path": "/", "at": str(NOW + 3_000), "reason": "leave",
        "country": "--",
    }  # fmt: skip


@pytest.mark.parametrize(
    "after_ms, path, outcome, logged",
    [
        (1, "/", "refreshed", ["joined"]),  # a reload, well within the dedup window
        (2_999, "/", "refreshed", ["joined"]),
        (2_999, "/b", "moved", ["joined", "moved"]),
        (3_000, "/", "created", ["joined", "left", "joined"]),
    ],
)
async def test_a_heartbeat_within_the_grace_cancels_the_goodbye(
    make_store: MakeStore, after_ms: int, path: str, outcome: str, logged: list[str]
) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat())
    await store.leave("blog", S)
    clock.advance(after_ms)
    assert await store.heartbeat("blog", beat(path)) == outcome
    assert await store.heartbeat("blog", beat(path)) == "duplicate"
    await invariants.check(store, "blog", NOW + after_ms)
    clock.advance(119_999)
    assert (await store.active("blog")).activeVisitors == 1
    clock.advance(1)
    assert (await store.stats("blog")).activeVisitors == 0
    await store.sweep("blog")
    written = await events(store)
    assert [event["type"] for event in written] == [*logged, "left"]
    assert (written[-1]["reason"], written[-1]["at"]) == ("timeout", str(NOW + after_ms + 120_000))


async def test_a_goodbye_never_prolongs_a_life(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats("blog", [beat(session=S), beat(session=T)])
    assert await store.leave("blog", S) == "leaving"
    clock.advance(2_000)
    assert await store.leave("blog", S) == "leaving"  # the first goodbye stands
    clock.advance(1_000)
    assert (await store.active("blog")).activeVisitors == 1
    clock.advance(116_999)
    assert await store.leave("blog", T) == "leaving"
    clock.advance(1)
    assert (await store.active("blog")).activeVisitors == 0


@pytest.mark.parametrize("beats_in", ["call of its own", "batch"])
@pytest.mark.parametrize(
    "left, after_ms, path, lives_ms",
    [
        ("/a", 100, "/a", 3_000),  # the hello comes after its goodbye
        ("/a", 2_999, "/a", 3_000),
        ("/a", 3_000, "/a", 123_000),  # so late that it is another
        ("/a", 100, "/b", 120_100),  # the next page of somebody who goes on
        ("", 100, "/a", 120_100),  # nobody knows of which page it was
    ],
)
async def test_a_goodbye_that_overtakes_its_hello(
    make_store: MakeStore, beats_in: str, left: str, after_ms: int, path: str, lives_ms: int
) -> None:
    """They travel on two connections; else whoever leaves at once would stay for a timeout."""
    clock = Clock()
    store = make_store(clock)
    assert await store.leave("blog", S, left) == "unknown"
    clock.advance(after_ms)
    if beats_in == "batch":
        others = [beat("/x", f"session-{n:012d}") for n in range(3)]
        outcomes = await store.heartbeats("blog", [*others, beat(path)])
        assert outcomes == ["created"] * 4
    else:
        assert await store.heartbeat("blog", beat(path)) == "created"
    session = await store.session("blog", S)
    assert session
    assert (session.currentPath, session.expiresAt) == (path, NOW + lives_ms)
    await invariants.check(store, "blog", NOW + after_ms)
    clock.advance(lives_ms - after_ms)
    await store.sweep("blog")
    assert await store.session("blog", S) is None
    departures = [event for event in await events(store) if event["type"] == "left"]
    last = next(event for event in departures if event["session"] == S)
    assert last["reason"] == ("leave" if lives_ms == 3_000 else "timeout")
    assert last["at"] == str(NOW + lives_ms)
    await invariants.check(store, "blog", NOW + lives_ms)


@pytest.mark.parametrize(
    "left, after_ms, outcome",
    [
        ("/a", 0, "unknown"),  # behind the hello of the next page
        ("/a", 2_999, "unknown"),
        ("/a", 3_000, "leaving"),  # so late that it is no other order
        ("/b", 0, "leaving"),
        ("", 0, "leaving"),  # nobody knows of which page it was
        ("/c", 0, "unknown"),  # whose hello was lost: nothing tells that from the first case
    ],
)
async def test_a_goodbye_behind_the_hello_of_the_next_page(
    make_store: MakeStore, left: str, after_ms: int, outcome: str
) -> None:
    """Who goes on is not gone."""
    clock = Clock()
    store = make_store(clock)
    assert await store.heartbeat("blog", beat("/a")) == "created"
    clock.advance(50)
    assert await store.heartbeat("blog", beat("/b")) == "moved"
    clock.advance(after_ms)
    assert await store.leave("blog", S, left) == outcome
    clock.advance(3_000)
    assert (await store.active("blog")).activeVisitors == (outcome == "unknown")


async def test_who_beats_again_after_an_overtaken_hello_stays(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.leave("blog", S, "/a")
    assert await store.heartbeat("blog", beat("/a")) == "created"
    assert await store.heartbeat("blog", beat("/a")) == "refreshed"
    session = await store.session("blog", S)
    assert session
    assert session.expiresAt == NOW + 120_000
    await invariants.check(store, "blog", NOW)


async def test_nobody_leaves_who_is_not_here(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    assert await store.leave("blog", S) == "unknown"
    await store.heartbeat("blog", beat())
    clock.advance(120_000)
    assert await store.leave("blog", S) == "unknown"
    assert await store.leave("other", S) == "unknown"


async def test_an_operator_ends_a_session_at_once(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats("blog", [beat("/a", details=BERLIN, country="DE"), beat("/a", T)])
    clock.advance(5_000)
    assert await store.end("blog", S) is True
    assert await store.end("blog", S) is False
    assert await store.session("blog", S) is None
    assert (await store.active("blog", "/a")).activeVisitors == 1
    assert (await events(store))[-1] == {
        "type": "left", "session": S, "path": "/a", "at": str(NOW + 5_000), "reason": "ended",
        "country": "DE",
    }  # fmt: skip
    await invariants.check(store, "blog", NOW + 5_000)
    assert await store.heartbeat("blog", beat("/a")) == "created"


# Page views


@pytest.mark.parametrize(
    "after_ms, session, path, outcome",
    [
        (0, S, "/a", "duplicate"),
        (1_799_999, S, "/a", "duplicate"),
        (1_800_000, S, "/a", "recorded"),
        (0, S, "/b", "recorded"),
        (0, T, "/a", "recorded"),
    ],
)
async def test_a_view_counts_once_per_session_path_and_window(
    make_store: MakeStore, after_ms: int, session: str, path: str, outcome: str
) -> None:
    clock = Clock()
    store = make_store(clock)
    assert await store.view("blog", page_view("/a")) == "recorded"
    clock.advance(after_ms)
    assert await store.view("blog", page_view(path, session)) == outcome
    stats = await store.stats("blog")
    assert stats.totalPageViews == sum(row.views for row in stats.pageStats)
    assert stats.totalPageViews == (2 if outcome == "recorded" else 1)
    assert stats.activeVisitors == 0  # a view is no heartbeat


async def test_heartbeats_and_views_share_one_window(make_store: MakeStore) -> None:
    store = make_store(Clock())
    await store.heartbeats("blog", [beat("/a"), beat("/b"), beat("/a")])
    assert await store.view("blog", page_view("/b")) == "duplicate"
    assert await store.view("blog", page_view("/c", page_type="post", referrer="example.org")) == (
        "recorded"
    )
    page = await store.views("blog", after="", limit=10)
    assert [(view.path, view.pageType, view.referrer, view.at) for view in page.views] == [
        ("/a", None, None, NOW), ("/b", None, None, NOW), ("/c", "post", "example.org", NOW),
    ]  # fmt: skip


async def test_heartbeats_record_no_views_where_they_should_not(make_store: MakeStore) -> None:
    store = make_store(Clock(), views_from_heartbeats=False)
    await store.heartbeats("blog", [beat("/a"), beat("/b")])
    stats = await store.stats("blog")
    assert (stats.totalPageViews, stats.trackingSince, stats.pageStats) == (0, None, [])
    assert await store.view("blog", page_view("/b")) == "recorded"
    assert (await store.stats("blog")).totalPageViews == 1
    await invariants.check(store, "blog", NOW)


async def test_pages_beyond_the_limit_are_counted_together(make_store: MakeStore) -> None:
    store = make_store(Clock(), max_paths=3)
    await store.heartbeats("blog", [beat(f"/{n}") for n in range(10)])
    await store.heartbeats("blog", [beat("/0", T), beat("/9", T)])
    stats = await store.stats("blog")
    rows = [(row.path, row.views) for row in stats.pageStats]
    assert rows == [("__other__", 8), ("/9", 2), ("/0", 1), ("/8", 1)]
    assert (stats.totalPaths, stats.totalPageViews) == (3, 12)


@pytest.mark.fault("B22")
async def test_a_new_page_takes_the_row_of_the_one_least_viewed(make_store: MakeStore) -> None:
    store = make_store(Clock(), max_paths=3)
    known = [beat("/known", f"regular-{n:08d}") for n in range(40)]  # more than a third of all
    spoiled = [beat(f"/{n}", f"session-{n:08d}") for n in range(50)]
    await store.heartbeats("blog", [*known, *spoiled])
    article = [beat("/new", f"reader-{n:09d}") for n in range(20)]
    await store.heartbeats("blog", [*article, *(beat(f"/{n}", S) for n in range(50, 60))])
    rows = {row.path: row.views for row in (await store.stats("blog")).pageStats}
    assert (rows["/known"], rows["/new"]) == (40, 20)
    assert (len(rows), sum(rows.values())) == (4, 120)
    await invariants.check(store, "blog", NOW)


# Who has been here


@pytest.mark.parametrize("hours_behind", [0, 1])
async def test_unique_visitors_of_a_day_end_at_midnight(
    make_store: MakeStore, hours_behind: int
) -> None:
    midnight = NOW // DAY_MS * DAY_MS
    clock = Clock(midnight - 1)
    store = make_store(clock)
    believe_hours_behind(store, hours_behind)
    a, b, c, _ = ids(4)
    await store.heartbeats("blog", [beat("/", a), beat("/", b)])
    assert (await store.stats("blog")).uniqueVisitorsToday == 2
    clock.advance(1)
    assert (await store.stats("blog")).uniqueVisitorsToday == 0
    clock.advance(10_000)
    await store.heartbeat("blog", beat("/", a))  # refreshed
    await store.heartbeat("blog", beat("/2", b))  # moved
    await store.view("blog", page_view("/", c))
    stats = await store.stats("blog")
    assert (stats.uniqueVisitorsToday, stats.uniqueVisitors) == (3, 3)


async def test_who_stays_over_midnight_is_counted_on_both_days(make_store: MakeStore) -> None:
    clock = Clock(NOW // DAY_MS * DAY_MS - 1)
    store = make_store(clock)
    batch = [beat("/", session) for session in ids(5)]
    await store.heartbeats("blog", batch)
    clock.advance(20_000)
    assert await store.heartbeats("blog", batch) == ["refreshed"] * 5
    clock.advance(20_000)
    assert await store.heartbeats("blog", batch) == ["refreshed"] * 5
    stats = await store.stats("blog")
    assert (stats.uniqueVisitorsToday, stats.uniqueVisitors) == (5, 5)


# Sweeping


async def test_a_sweep_goes_from_the_oldest_and_tells_what_is_left(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    for session in ids(5):
        await store.heartbeat("blog", beat("/", session))
        clock.advance(1_000)
    clock.advance(120_000 - 2_000)  # four have gone; the last has a second to go
    assert (await store.active("blog")).activeVisitors == 1
    first = await store.sweep("blog", limit=3)
    assert (first.removed, first.backlog) == (3, 1)
    second = await store.sweep("blog", limit=3)
    assert (second.removed, second.backlog, second.next_ms) == (1, 0, NOW + 124_000)
    third = await store.sweep("blog")
    assert (third.removed, third.now_ms) == (0, clock.now_ms)
    left = [event for event in await events(store) if event["type"] == "left"]
    assert [(event["session"], int(event["at"])) for event in left] == [
        (session, NOW + 120_000 + 1_000 * n) for n, session in enumerate(ids(4))
    ]
    clock.advance(10_000)
    assert (await store.sweep("blog")).next_ms is None
    await invariants.check(store, "blog", NOW)


@pytest.mark.parametrize("hash_is_gone", [True, False])
@pytest.mark.parametrize(
    "page, logged",
    [
        ("/a", [("left", S), ("joined", S), ("left", T)]),  # its old life ends in the same step
        ("/b", [("joined", S), ("left", S), ("left", T)]),  # its old life is swept
    ],
)
async def test_a_session_returns_before_its_old_life_is_swept(
    make_store: MakeStore, hash_is_gone: bool, page: str, logged: list[tuple[str, str]]
) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats("blog", [beat("/a", details=BERLIN), beat("/a", T)])
    clock.advance(500_000)
    if hash_is_gone:
        await raw(store).delete(shard(store).session(S))
    else:
        logged = [("left", S), ("joined", S), ("left", T)]  # the hash knows where it was
    assert await store.heartbeat("blog", beat(page, details=BERLIN)) == "created"
    await invariants.check(store, "blog", int(clock()))
    stats = await store.stats("blog")
    assert [(row.path, row.count) for row in stats.activeByPath] == [(page, 1)]
    assert [row.count for row in stats.visitorLocations] == [1]
    await store.sweep("blog")
    assert await log(store) == [("joined", S), ("joined", T), *logged]
    assert {event["at"] for event in await events(store) if event["type"] == "left"} == {
        str(NOW + 120_000)
    }
    await invariants.check(store, "blog", int(clock()))
    assert [row.count for row in (await store.stats("blog")).visitorLocations] == [1]


async def test_a_session_that_returned_moves_to_where_it_was(make_store: MakeStore) -> None:
    """Its old member, not swept yet, has the very text of the new one."""
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat("/a"))
    clock.advance(120_000)
    await raw(store).delete(shard(store).session(S))  # as Redis does at this moment
    assert await store.heartbeat("blog", beat("/b")) == "created"
    assert await store.heartbeat("blog", beat("/a")) == "moved"
    assert [kind for kind, _ in await log(store)] == ["joined", "joined", "left", "moved"]
    await invariants.check(store, "blog", int(clock()))
    assert (await store.count("blog", "/a"))[:2] == (1, 1)


async def test_where_a_session_was_in_an_earlier_life_counts_once(make_store: MakeStore) -> None:
    """Two lives of it are not swept yet, and only of the first is it known where it was."""
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat("/a", details=BERLIN))
    clock.advance(120_000)
    await raw(store).delete(shard(store).session(S))
    await store.heartbeats("blog", [beat("/b"), beat("/a", T, details=BERLIN)])
    doctor = Doctor(store.connection, store.keys, store.config)
    await raw(store).zadd(shard(store).places, {"52.5 13.4 -- Berlin": 9})
    await doctor.repair(await doctor.check("blog"))
    assert await raw(store).zrange(shard(store).places, 0, -1, withscores=True) == [
        ("52.5 13.4 -- Berlin", 2)
    ]
    assert [row.count for row in (await store.stats("blog")).visitorLocations] == [1]
    clock.advance(119_000)
    await store.heartbeat("blog", beat("/a", T))
    clock.advance(1_000)
    assert [row.count for row in (await store.stats("blog")).visitorLocations] == [1]
    await store.sweep("blog")
    await invariants.check(store, "blog", int(clock()))
    assert [row.count for row in (await store.stats("blog")).visitorLocations] == [1]


async def test_one_whose_member_a_hand_removed_is_never_limited_midway(
    make_store: MakeStore,
) -> None:
    store = make_store(Clock(), new_sessions_per_minute=1)
    await store.heartbeat("blog", beat("/a", client="somebody"))
    await raw(store).zrem(shard(store).active, f"{S} -- /a")
    assert await store.heartbeat("blog", beat("/b", client="somebody")) == "created"
    assert [view["path"] for _, view in await raw(store).xrange(shard(store).views)] == ["/a", "/b"]


@pytest.mark.parametrize("unswept, backlog", [(499, 0), (500, 0), (501, 1), (700, 200)])
async def test_reads_leave_out_who_waits_to_be_swept(
    make_store: MakeStore, unswept: int, backlog: int
) -> None:
    """Up to 500 of a shard; the rest is told."""
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats(
        "blog", [beat("/old", session, country="DE", details=BERLIN) for session in ids(unswept)]
    )
    clock.advance(119_999)
    await store.heartbeat("blog", beat("/new", country="FR"))
    clock.advance(1)
    before = await contents(store)
    stats = await store.stats("blog")
    assert (stats.activeVisitors, stats.sweepBacklog) == (1, backlog)
    on_page = {row.path: row.count for row in stats.activeByPath}
    assert on_page == {"/new": 1} | ({"/old": backlog} if backlog else {})
    in_country = {row.country: row.count for row in stats.activeByCountry}
    assert in_country == {"FR": 1} | ({"DE": backlog} if backlog else {})
    assert sum(row.count for row in stats.visitorLocations) == backlog
    assert (await store.count("blog", "/old"))[:2] == (1, backlog)
    assert (await store.active("blog")).activeVisitors == 1
    assert await contents(store) == before, "reads only read"


# Wrong types


async def test_a_poisoned_session_fails_alone_in_a_backends_batch(make_store: MakeStore) -> None:
    store = make_store(Clock())
    client: Any = store.connection.client
    await client.set(store.keys.of_session("blog", ids(3)[1]).session(ids(3)[1]), "x")
    results = await store.heartbeats("blog", [beat(session=i) for i in ids(3)])
    assert results == ["created", "failed", "created"]
    assert (await store.active("blog")).activeVisitors == 2


async def test_a_poisoned_session_fails_alone(make_store: MakeStore) -> None:
    store = make_store(Clock())
    keys, client = shard(store), raw(store)
    await client.set(keys.session(S), "wrong", px=100_000)
    await client.hset(keys.viewed(T, "/"), "wrong", "1")
    a, b, *_ = ids(2)
    batch = [beat("/", a), beat(), beat("/", T), beat("/", b)]
    outcomes = await _gathered(store, batch)
    assert outcomes[0] == outcomes[3] == "created"
    assert isinstance(outcomes[1], StoreRefused)
    assert isinstance(outcomes[2], StoreRefused)
    assert await log(store) == [("joined", a), ("joined", b)]
    assert (await store.stats("blog")).totalPageViews == 2
    for failing in (store.leave("blog", S), store.end("blog", S), store.view("blog", page_view())):
        with pytest.raises(StoreRefused):
            await failing


async def _gathered(store: PresenceStore, batch: list[Heartbeat]) -> list[Any]:
    return await asyncio.gather(
        *(store.heartbeat("blog", one) for one in batch), return_exceptions=True
    )


INDEX = (
    "active", "pages", "countries", "events", "located", "places", "newcomers", "views", "totals",
    "top", "types", "top_order", "uniques", "uniques of the day", "minutes", "hours",
)  # fmt: skip


@pytest.mark.parametrize("name", INDEX)
async def test_an_index_key_of_a_wrong_type_is_met_by_its_own_site_alone(
    make_store: MakeStore, name: str
) -> None:
    """What a hand can leave half-written, `presence doctor --repair` counts anew."""
    clock = Clock()
    store = make_store(clock)
    keys, client, hour = shard(store), raw(store), NOW // MS_PER_HOUR
    key = {
        "uniques of the day": keys.uniques_of(hour),
        "minutes": keys.minutes_of(hour),
        "hours": keys.hours_of(hour),
    }.get(name) or f"{keys.base}{name}"
    await store.heartbeats("blog", [beat("/a", details=BERLIN), beat("/a", T)])
    await client.delete(key)
    await client.set(key, "wrong")
    newcomer = beat("/c", "a-new-session-00001", details=BERLIN, client="somebody")
    # No limit is set, no page type is told, and there are fewer pages than may have a row.
    is_met = name not in ("newcomers", "types", "top_order")
    outcome = (await _gathered(store, [newcomer]))[0]
    assert isinstance(outcome, StoreRefused) if is_met else outcome == "created"
    # Neither other sites nor those who have nothing to write notice.
    clock.advance(1_000)
    assert await store.heartbeat("other", beat()) == "created"
    if name != "active":
        assert await store.heartbeat("blog", beat("/a", T)) == "duplicate"
    await client.delete(key)
    if name in ("totals", "top", "views"):  # nothing else says what stood there
        return
    doctor = Doctor(store.connection, store.keys, store.config)
    await doctor.repair(await doctor.check("blog"))
    assert (await doctor.check("blog")).findings == []
    assert "failed" not in await store.heartbeats("blog", [newcomer, beat("/b", T)])
    await invariants.check(store, "blog", int(clock()))


REPAIRABLE = [name for name in INDEX if name not in ("active", "totals", "top", "views")]


@pytest.mark.parametrize("name", REPAIRABLE)
async def test_what_was_tried_again_and_again_is_mended(make_store: MakeStore, name: str) -> None:
    """The log is not written before what can be counted anew: nobody joins twice."""
    clock = Clock()
    store = make_store(clock, new_sessions_per_minute=100)
    keys, client, hour = shard(store), raw(store), NOW // MS_PER_HOUR
    key = {
        "uniques of the day": keys.uniques_of(hour),
        "minutes": keys.minutes_of(hour),
        "hours": keys.hours_of(hour),
    }.get(name) or f"{keys.base}{name}"
    details = BERLIN[:-1] + ',"type":"post"}'
    await store.heartbeats("blog", [beat("/a", details=details), beat("/a", T, details=details)])
    await client.delete(key)
    await client.set(key, "wrong")
    beats = [
        beat("/b", details=details, client="somebody"),
        beat("/a", T),
        *(beat("/c", session, details=details, client="somebody") for session in ids(2)),
    ]
    for _ in range(3):
        clock.advance(10_000)
        results = await store.heartbeats("blog", beats)
        assert results[1] == "refreshed"
        assert set(results) <= {"refreshed", "created", "moved", "failed"}
    await client.delete(key)
    doctor = Doctor(store.connection, store.keys, store.config)
    await doctor.repair(await doctor.check("blog"))
    assert (await doctor.check("blog")).findings == []
    clock.advance(10_000)
    assert "failed" not in await store.heartbeats("blog", beats)
    await invariants.check(store, "blog", int(clock()))


# Clocks


async def test_nobody_is_active_for_ever_after_the_clock_was_set_back(
    make_store: MakeStore,
) -> None:
    clock = Clock(NOW + MS_PER_HOUR)
    store = make_store(clock)
    await store.heartbeats("blog", [beat("/a"), beat("/a", T)])
    clock.now_ms = NOW
    assert (await store.session("blog", S)).lastSeen <= NOW  # type: ignore[union-attr]
    assert await store.heartbeat("blog", beat("/a")) == "refreshed"
    assert await store.view("blog", page_view("/a")) == "recorded"  # no window of the future
    assert (await store.sweep("blog")).removed == 0
    clock.advance(119_999)
    assert (await store.stats("blog")).activeVisitors == 2
    clock.advance(1)
    assert (await store.stats("blog")).activeVisitors == 0
    assert await store.heartbeat("blog", beat("/b", T)) == "created"
    await invariants.check(store, "blog", NOW + 120_000)


async def test_a_view_is_not_held_up_by_a_marker_of_the_future(make_store: MakeStore) -> None:
    clock = Clock(NOW + MS_PER_HOUR)
    store = make_store(clock)
    await store.heartbeat("blog", beat("/a"))
    clock.now_ms = NOW
    assert await store.heartbeats("blog", [beat("/b"), beat("/a")]) == ["moved", "moved"]
    assert (await store.stats("blog")).totalPageViews == 3


async def test_a_clock_that_jumps_ahead_ends_what_is_over(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats("blog", [beat("/a"), beat("/a", T)])
    clock.advance(40 * DAY_MS)
    assert (await store.active("blog")).activeVisitors == 0
    assert await store.heartbeat("blog", beat("/a")) == "created"
    await invariants.check(store, "blog", clock.now_ms or 0)


async def test_a_hash_that_was_lost_is_written_anew(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat("/a", country="DE", details=BERLIN))
    await raw(store).delete(shard(store).session(S))  # evicted, say
    clock.advance(1_000)
    again = beat("/a", country="DE", details=BERLIN)
    assert await store.heartbeat("blog", again) == "duplicate"
    clock.advance(10_000)
    assert await store.heartbeat("blog", again) == "refreshed"
    await invariants.check(store, "blog", int(clock()))


async def test_a_longer_timeout_than_the_last_start_had(make_store: MakeStore) -> None:
    clock = Clock()
    await make_store(clock).heartbeat("blog", beat("/a"))
    clock.advance(130_000)
    store = make_store(clock, session_timeout_ms=600_000)
    assert (await store.sweep("blog")).removed == 1
    assert await store.heartbeat("blog", beat("/a")) == "created"
    await invariants.check(store, "blog", NOW + 130_000)


async def test_a_shorter_timeout_than_the_last_start_had(make_store: MakeStore) -> None:
    clock = Clock()
    await make_store(clock).heartbeat("blog", beat("/a"))
    clock.advance(30_000)
    store = make_store(clock, session_timeout_ms=20_000)
    assert await store.heartbeat("blog", beat("/b")) == "created"
    assert [kind for kind, _ in await log(store)] == ["joined", "left", "joined"]
    await invariants.check(store, "blog", NOW + 30_000)


@pytest.mark.parametrize("hours_off", [-30, -5, 5, 30])
async def test_a_service_whose_clock_is_hours_wrong(make_store: MakeStore, hours_off: int) -> None:
    for write in ("heartbeat", "view", "stats", "sweep"):
        store = make_store()
        store._runner._clock_offset_ms = hours_off * MS_PER_HOUR
        match write:
            case "heartbeat":
                await store.heartbeats("blog", [beat("/a"), beat("/b")])
            case "view":
                await store.view("blog", page_view("/c"))
            case "stats":
                await store.stats("blog")
            case "sweep":
                await store.sweep("blog")
        assert abs(store._runner._clock_offset_ms) < 60_000  # it has learned
    stats = await store.stats("blog")
    assert (stats.activeVisitors, stats.totalPageViews) == (1, 3)
    assert (stats.uniqueVisitors, stats.uniqueVisitorsToday) == (1, 1)
    assert abs(stats.asOf - time.time() * 1000) < 60_000
    minutes = await store.history("blog", "minutes", 3)
    assert sum(point.views or 0 for point in minutes.points) == 3


# Limits


async def test_new_sessions_of_one_address_are_limited(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, new_sessions_per_minute=3)
    crowd = [beat("/", session, client="hash-of-an-address") for session in ids(5)]
    assert await store.heartbeats("blog", crowd) == ["created"] * 3 + ["limited"] * 2
    before = await contents(store)
    # Those who are here go on; others, and other sites, are not concerned.
    assert await store.heartbeat("blog", crowd[0]) == "duplicate"
    assert await store.heartbeat("blog", crowd[3]) == "limited"
    assert await store.view("blog", page_view("/", ids(5)[4]), client="hash-of-an-address") == (
        "limited"
    )
    assert await contents(store) == before
    assert await store.heartbeat("blog", beat("/", T, client="hash-of-another")) == "created"
    assert await store.heartbeat("other", crowd[3]) == "created"
    assert 0 < await raw(store).pttl(shard(store).newcomers) <= 60_000
    await raw(store).delete(shard(store).newcomers)  # a minute later
    assert await store.heartbeat("blog", crowd[3]) == "created"
    await invariants.check(store, "blog", NOW)


async def test_a_goodbye_makes_nobody_one_who_is_here(make_store: MakeStore) -> None:
    """It is kept for a moment, and page views of an address are limited all the same."""
    store = make_store(Clock(), new_sessions_per_minute=3)
    outcomes = []
    for session in ids(5):
        assert await store.leave("blog", session, "/") == "unknown"
        outcomes.append(await store.view("blog", page_view("/", session), client="somebody"))
    assert outcomes == ["recorded"] * 3 + ["limited"] * 2


async def test_streams_are_trimmed_and_totals_stay_exact(make_store: MakeStore) -> None:
    store = make_store(Clock(), events_maxlen=100, views_maxlen=100)
    await store.heartbeats("blog", [beat(f"/{n}") for n in range(600)])
    # Redis trims whole nodes of a hundred entries.
    for stream in (shard(store).events, shard(store).views):
        assert 100 <= await raw(store).xlen(stream) <= 200
    stats = await store.stats("blog")
    assert stats.totalPageViews == 600
    await invariants.check(store, "blog", NOW)


async def test_departures_trim_the_log_too(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, events_maxlen=100)
    await store.heartbeats("blog", [beat("/", session) for session in ids(300)])
    clock.advance(store.config.session_timeout_ms)
    while (await store.sweep(shard(store).tag)).backlog:
        pass
    assert 100 <= await raw(store).xlen(shard(store).events) <= 200
    assert {kind for kind, _ in (await log(store))[-100:]} == {"left"}


async def test_every_key_ends_except_what_is_kept(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, new_sessions_per_minute=100)
    a, b, c, d = ids(4)
    await store.heartbeat("blog", beat("/", a, client="one"))
    await store.heartbeat("blog", beat("/", b, details=BERLIN))  # located, later than the site
    await store.view("blog", page_view("/v", c, page_type="post"))
    await invariants.check(store, "blog", NOW)
    await store.end("blog", b)
    await store.heartbeat("blog", beat("/", d, details=BERLIN))
    await store.leave("blog", a)
    clock.advance(3_000)
    await store.sweep("blog")
    await invariants.check(store, "blog", NOW + 3_000)
    site_idle_ms = StoreConfig().site_idle_ms
    for name in ("active", "pages", "countries", "events", "located", "places"):
        life_ms = await raw(store).pttl(f"{shard(store).base}{name}")
        assert site_idle_ms - 60_000 < life_ms <= site_idle_ms, name


async def test_an_error_of_redis_is_a_store_error(make_store: MakeStore) -> None:
    store = make_store(Clock())
    await raw(store).set(store.keys.due, "wrong")
    with pytest.raises(StoreError):
        await store.claim([], 5_000, 10)
    # The list of due sites is written behind the heartbeats: they are not concerned.
    assert await store.heartbeat("blog", beat()) == "created"


async def test_a_full_redis_takes_nothing_in_and_lets_go_and_tells(key_prefix: str) -> None:
    with Server("valkey") as server:
        async for make_store in store_factory(server.url, key_prefix):
            clock = Clock()
            store = make_store(clock)
            await store.heartbeats("blog", [beat("/a"), beat("/a", T, details=BERLIN)])
            clock.advance(20_000)
            server.client.config_set("maxmemory-policy", "noeviction")
            server.client.config_set("maxmemory", "1mb")
            before = await contents(store)
            for refused in (
                store.heartbeat("blog", beat("/a")),
                store.heartbeat("blog", beat("/b")),
                store.heartbeats("blog", [beat("/a", session) for session in ids(3)]),
                store.view("blog", page_view("/v")),
                store.leave("blog", S),
                store.probe(),
            ):
                with pytest.raises(StoreRefused, match="out of memory"):
                    await refused
                assert await contents(store) == before
            # Among many sites too; who writes nothing is answered.
            clock.advance(-19_000)
            outcomes = await asyncio.gather(
                store.heartbeat("other", beat("/a")),
                store.heartbeat("blog", beat("/a")),
                store.heartbeat("third", beat("/a")),
                return_exceptions=True,
            )
            clock.advance(19_000)
            assert outcomes[1] == "duplicate"
            for outcome in (outcomes[0], outcomes[2]):
                assert isinstance(outcome, StoreRefused)
                assert "out of memory" in outcome.detail
            assert await contents(store) == before
            assert await store.end("blog", S) is True
            assert (await store.stats("blog")).activeVisitors == 1
            clock.advance(100_000)
            assert (await store.sweep("blog")).removed == 1
            stats = await store.stats("blog")
            assert (stats.activeVisitors, stats.activeByPath, stats.totalPageViews) == (0, [], 2)
            await invariants.check(store, "blog", NOW + 120_000)
            server.client.config_set("maxmemory", "0")
            assert await store.heartbeat("blog", beat("/a")) == "created"


async def test_a_site_on_which_everybody_moves_at_once_lives_on(make_store: MakeStore) -> None:
    """Their members are taken out before the new ones are put in, and a key that is empty is gone,
    with its TTL."""
    store = make_store(Clock())

    def on(*paths: str) -> list[Heartbeat]:
        return [Heartbeat(f"session-{n:08d}", path, "", "", "") for n, path in enumerate(paths)]

    await store.heartbeats("blog", on("/b", "/a", "/a", "/b"))
    # Everybody goes, and yet somebody is on each of these pages afterwards.
    assert await store.heartbeats("blog", on("/c", "/b", "/c", "/a")) == ["moved"] * 4
    for keys in store.keys.of_site("blog"):
        names = [keys.active, keys.pages, keys.countries, keys.events]
        assert all([await raw(store).pttl(name) > 0 for name in names])
