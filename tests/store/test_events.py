"""The log of events as it is told: each once, in order, and nothing missing without a word."""

import asyncio
import random
from typing import Any

import pytest
from msgspec import UNSET

from service import models
from service.store.keys import ShardKeys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests import invariants
from tests.conftest import NOW, Clock, MakeStore, on_servers

SESSIONS = [f"session-{n:010d}" for n in range(60)]
SHARDS = pytest.mark.parametrize("shards", [1, 3, 12])
USERS = ("", "", "anna", "bob")


def beat(n: int, path: str = "/", user: str = "", country: str = "") -> Heartbeat:
    return Heartbeat(SESSIONS[n], path, country, "", "", user)


async def some_minutes(store: PresenceStore, clock: Clock, seed: int) -> None:
    """Heartbeats of users and others, goodbyes, ends, timeouts, and sweeps, some of them late."""
    chance = random.Random(seed)
    for _ in range(12):
        beats = [
            beat(n, f"/{chance.randrange(4)}", chance.choice(USERS), chance.choice(["", "DE"]))
            for n in chance.sample(range(len(SESSIONS)), 12)
        ]
        await store.heartbeats("team", beats)
        await store.leave("team", chance.choice(SESSIONS))
        await store.end("team", chance.choice(SESSIONS))
        clock.advance(chance.randrange(40_000))
        if chance.random() < 0.5:
            await sweep(store)


async def sweep(store: PresenceStore) -> None:
    for keys in store.keys.of_site("team"):
        await store.sweep(keys.tag)


async def read_on(
    store: PresenceStore, after: str, limit: int
) -> tuple[list[models.LoggedEvent], str]:
    """All that follows, and where to go on."""
    found: list[models.LoggedEvent] = []
    while True:
        page = await store.events("team", after=after, limit=limit)
        assert len(page.events) <= limit
        found += page.events
        after = page.next
        if not page.more:
            return found, after
        assert page.events


async def members(store: PresenceStore) -> set[str]:
    client: Any = store.connection.client
    lists = [await client.zrange(keys.active, 0, -1) for keys in store.keys.of_site("team")]
    return {member for some in lists for member in some}


@on_servers
@pytest.mark.parametrize("shards, limit", [(1, 7), (1, 1_000), (3, 40), (12, 7), (12, 1_000)])
async def test_replaying_what_is_told_gives_who_is_here(
    make_store: MakeStore, shards: int, limit: int
) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=True)
    told: list[models.LoggedEvent] = []
    after = ""
    for part in range(3):  # who reads to the end goes on from there
        await some_minutes(store, clock, part)
        more, after = await read_on(store, after, limit)
        told += more
        logged = [invariants.as_logged(event) for event in told]
        assert invariants.here_after(logged) == await members(store)
    assert {event.type for event in told} == {"joined", "moved", "identified", "left"}
    assert len({event.id for event in told}) == len(told)
    assert not any(event.gapBefore or event.next for event in told)
    lengths = [await length(store, keys) for keys in store.keys.of_site("team")]
    assert len(told) == sum(lengths)
    assert (await read_on(store, after, limit))[0] == []
    # Read at once, the logs of all shards are in the order of their ids.
    again, _ = await read_on(store, "0", limit)
    order = [_order(event) for event in again]
    assert order == sorted(order)
    assert sorted(map(repr, again)) == sorted(map(repr, told))
    newest = await store.newest_events("team", 9)
    assert (newest.events, newest.next) == (again[-9:], after)


async def length(store: PresenceStore, keys: ShardKeys) -> int:
    client: Any = store.connection.client
    return int(await client.xlen(keys.events))


def _order(event: models.LoggedEvent) -> tuple[int, ...]:
    return tuple(int(part) for part in event.id.replace("/", "-").split("-"))


async def test_an_event_says_all_that_is_known(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, has_users=True, heartbeat_dedup_ms=0)
    for path, user in (("/a", ""), ("/a", "anna"), ("/b", "anna"), ("/b", "")):
        await store.heartbeat("team", beat(0, path, user, "DE"))
    clock.advance(200_000)
    await sweep(store)
    told, _ = await read_on(store, "", 10)
    rows = [(e.type, e.at - NOW, e.path, e.from_, e.userId, e.fromUserId, e.reason) for e in told]
    assert rows == [
        ("joined", 0, "/a", None, None, None, None),
        ("identified", 0, "/a", None, "anna", None, None),
        ("moved", 0, "/b", "/a", "anna", None, None),
        ("identified", 0, "/b", None, None, "anna", None),
        ("left", 120_000, "/b", None, None, None, "timeout"),
    ]
    assert {(event.sessionId, event.country) for event in told} == {(SESSIONS[0], "DE")}


@SHARDS
async def test_what_is_written_meanwhile_is_neither_skipped_nor_repeated(
    make_store: MakeStore, shards: int
) -> None:
    """By several writers at once, in the very milliseconds in which it is read."""
    store, reader = (make_store(shards=shards, heartbeat_dedup_ms=0) for _ in range(2))

    async def write(first: int) -> None:
        for n in range(60):
            await store.heartbeat("team", beat(first + n % 10, f"/{n}"))

    writing = asyncio.gather(*(write(first) for first in range(0, 60, 10)))
    told: list[models.LoggedEvent] = []
    after = ""
    while not writing.done():
        more, after = await read_on(reader, after, 50)
        told += more
    await writing
    more, after = await read_on(reader, after, 50)
    told += more
    assert len(told) == 6 * 60
    assert len({event.id for event in told}) == len(told)
    logged = [invariants.as_logged(event) for event in told]
    assert invariants.here_after(logged) == await members(store)


async def filled(store: PresenceStore, moves: int, begin: int = 0) -> None:
    """Moves of a session, one after the other."""
    await store.heartbeats("team", [beat(0, f"/{n}") for n in range(begin, begin + moves)])


async def test_what_was_trimmed_is_told(make_store: MakeStore) -> None:
    store = make_store(events_maxlen=100)
    await filled(store, 50)
    start = await store.events("team", after="0", limit=9)
    assert start.truncatedBefore is UNSET
    await filled(store, 400, 50)
    for after in ("", "0", start.next):
        page = await store.events("team", after=after, limit=9)
        first, *rest = page.events
        assert page.truncatedBefore == first.id
        assert first.gapBefore
        assert not any(event.gapBefore for event in rest)
        # It is told once: who goes on has all that follows.
        following = await store.events("team", after=page.next, limit=9)
        assert following.truncatedBefore is UNSET
        assert not any(event.gapBefore for event in following.events)
    assert (await store.newest_events("team", 9)).truncatedBefore is UNSET


async def test_what_was_trimmed_for_its_age_is_told(make_store: MakeStore) -> None:
    store = make_store(events_days=7)
    await filled(store, 5)
    told, _ = await read_on(store, "", 9)
    client: Any = store.connection.client
    moment = int(told[-1].id.partition("-")[0]) + 1
    await asyncio.sleep(0.002)  # ids begin with the millisecond
    await filled(store, 5, 5)
    stream = store.keys.of_site("team")[0].events
    await client.execute_command("XTRIM", stream, "MINID", "=", f"{moment}")
    for after in ("", told[0].id):
        page = await store.events("team", after=after, limit=9)
        assert page.truncatedBefore == page.events[0].id
        assert len(page.events) == 5


async def test_of_a_split_site_each_gap_is_told(make_store: MakeStore) -> None:
    store = make_store(shards=3, events_maxlen=100)
    await store.heartbeats("team", [beat(n) for n in range(60)])
    _, after = await read_on(store, "", 1000)
    await filled(store, 400)
    told, _ = await read_on(store, after, 1000)
    (gap,) = [event for event in told if event.gapBefore]
    assert gap.id == next(event.id for event in told if event.sessionId == SESSIONS[0])
    page = await store.events("team", after=after, limit=1000)
    assert page.truncatedBefore == gap.id


async def test_a_log_that_has_expired_is_a_gap(make_store: MakeStore) -> None:
    """Nobody was there for SITE_IDLE: what nobody has read of it is gone with it."""
    store = make_store()
    await filled(store, 5)
    _, after = await read_on(store, "", 9)
    client: Any = store.connection.client
    await client.delete(store.keys.of_site("team")[0].events)
    assert await read_on(store, after, 9) == ([], after)
    await asyncio.sleep(0.002)  # ids begin with the millisecond
    await store.heartbeat("team", beat(1))
    page = await store.events("team", after=after, limit=9)
    assert page.truncatedBefore == page.events[0].id
    # Whoever begins with the new one has all of it.
    assert (await store.events("team", after="", limit=9)).truncatedBefore is UNSET


@pytest.mark.parametrize("shards", [1, 3])
async def test_who_saw_an_empty_log_and_stayed_away_for_long_is_told_of_a_gap(
    make_store: MakeStore, shards: int
) -> None:
    """A log may have come and gone meanwhile. Not so before SITE_IDLE has passed."""
    store = make_store(shards=shards)
    followed = ("", "0", (await store.newest_events("team", 9)).next)
    seen = [(await store.events("team", after=after, limit=9)).next for after in followed]
    idle_ms = store.config.site_idle_ms
    await store.heartbeat("team", beat(1))
    (event,) = (await store.events("team", after="", limit=9)).events
    for after in (*seen, *followed):
        page = await store.events("team", after=after, limit=9)
        assert ([one.id for one in page.events], page.truncatedBefore) == ([event.id], UNSET)
    moment = int(event.id.partition("-")[0])
    for age_ms, is_gap in ((idle_ms - 1000, False), (idle_ms, True), (30 * idle_ms, True)):
        after = ",".join([f"0-{moment - age_ms}"] * shards)
        page = await store.events("team", after=after, limit=9)
        assert (page.truncatedBefore == event.id) == page.events[0].gapBefore == is_gap
        # Told once.
        after = page.next
        assert (await store.events("team", after=after, limit=9)).truncatedBefore is UNSET
    # Whoever looks again meanwhile has seen it later.
    other = make_store(shards=shards)
    first = (await other.events("shop", after="", limit=9)).next
    await asyncio.sleep(0.002)
    again = (await other.events("shop", after=first, limit=9)).next
    moments = [[int(one.partition("-")[2]) for one in next_.split(",")] for next_ in (first, again)]
    assert moments[0] < moments[1]


@pytest.mark.parametrize("shards", [1, 3])
async def test_an_erased_user_is_not_told(make_store: MakeStore, shards: int) -> None:
    store = make_store(Clock(), shards=shards, has_users=True, heartbeat_dedup_ms=0)
    for n in range(9):
        await store.heartbeat("team", beat(n, "/", "anna" if n < 6 else "bob"))
    for n in range(3):
        await store.heartbeat("team", beat(n, "/", "bob"))
    _, before = await read_on(store, "", 99)
    await store.erase_user("team", "anna")
    told, _ = await read_on(store, "", 99)
    assert not any("anna" in repr(event) for event in told)
    logged = [invariants.as_logged(event) for event in told]
    assert invariants.here_after(logged) == await members(store)
    # Who has read it all is told that something behind them is gone.
    news, _ = await read_on(store, before, 99)
    erased = [event for event in news if event.type == "erased"]
    assert erased
    assert {(event.sessionId, event.path, event.gapBefore) for event in erased} == {
        (None, None, False)
    }


async def test_a_moment_is_a_position_in_the_log(make_store: MakeStore) -> None:
    store = make_store(shards=3)
    for n in range(6):
        await store.heartbeat("team", beat(n))
        await asyncio.sleep(0.002)  # so that no two have the same millisecond
    told, _ = await read_on(store, "", 9)
    moment = told[2].id.partition("-")[0]
    rest, _ = await read_on(store, f"{int(moment) + 1}", 9)
    assert [event.id for event in rest] == [event.id for event in told[3:]]


async def test_what_a_hand_has_written_is_no_failure(make_store: MakeStore) -> None:
    store = make_store()
    await store.heartbeat("team", beat(0))
    client: Any = store.connection.client
    await client.xadd(store.keys.of_site("team")[0].events, {"note": "by hand"})
    told, _ = await read_on(store, "", 9)
    assert [event.type for event in told] == ["joined", ""]


@on_servers
async def test_however_many_shards_a_page_is_read_in_little(make_store: MakeStore) -> None:
    store = make_store(shards=64, heartbeat_dedup_ms=0)
    for path in ("/a", "/b"):
        await store.heartbeats("team", [beat(n, path) for n in range(60)])
    for limit in (1, 100):
        told, after = await read_on(store, "", limit)
        assert len(told) == len({event.id for event in told}) == 120
        assert after.count(",") == 63
