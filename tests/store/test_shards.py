"""A site in one piece and in several: the same numbers, and listings that miss nothing."""

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import models
from service.errors import FieldError
from service.redis.scripts import Call, run_mixed
from service.store.merge import changes_of, contenders, ranked
from service.store.paging import read_cursor, read_positions, stream_position, write_cursor
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests import invariants
from tests.conftest import NOW, Clock, MakeStore, on_servers

SHARDS = (1, 3, 12)
SESSIONS = [f"session-{n:010d}" for n in range(120)]


def beat(session: str, path: str = "/", country: str = "", details: str = "") -> Heartbeat:
    return Heartbeat(session, path, country, "", details)


async def a_busy_hour(store: PresenceStore, clock: Clock, site: str) -> None:
    """The same history whatever the shards."""
    chance = random.Random(7)
    for _ in range(40):
        batch = [
            beat(
                chance.choice(SESSIONS),
                f"/{int(chance.expovariate(0.2))}",
                chance.choice(["", "DE", "FR"]),
                chance.choice(["", '{"type":"post"}', '{"latitude":"1.0","longitude":"2.0"}']),
            )
            for _ in range(30)
        ]
        await store.heartbeats(site, batch)
        await store.leave(site, chance.choice(SESSIONS))
        await store.end(site, chance.choice(SESSIONS))
        await store.view(site, PageView(chance.choice(SESSIONS), "/v"))
        clock.advance(chance.randrange(20_000))


@on_servers
async def test_places_are_exact_however_many_there_are(make_store: MakeStore) -> None:
    """More than a shard lists, and one that most are at in all, but not in every shard."""
    answers = []
    for shards in (1, 3):
        store = make_store(Clock(), shards=shards)
        site = f"places-{shards}"
        beats = [
            beat(f"session-{n:010d}", details=f'{{"latitude":"{n // 2}.0","longitude":"2.0"}}')
            for n in range(9_000)
        ]
        beats += [
            beat(f"rare-{n:010d}", details='{"latitude":"4000.0","longitude":"2.0"}')
            for n in range(3)
        ]
        for first in range(0, len(beats), 1_000):
            await store.heartbeats(site, beats[first : first + 1_000])
        stats = await store.stats(site)
        answers.append([place.count for place in stats.visitorLocations])
        assert (stats.visitorLocations[0].latitude, stats.visitorLocations[0].count) == (4000.0, 5)
    assert answers[0] == answers[1] == [5] + [2] * 499


async def test_sessions_of_a_rare_path_take_few_calls(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(Clock())
    await store.heartbeats("rare", [beat(f"session-{n:010d}") for n in range(900)])
    await store.heartbeats("rare", [beat("session-rare-0", "/rare")])
    calls: list[Any] = []

    async def counted(client: Any, some: Any) -> Any:
        scripts = (call for call in some if isinstance(call, Call))  # the rest are plain commands
        calls.extend(call for call in scripts if call.script.name == "list")
        return await run_mixed(client, some)

    monkeypatch.setattr("service.store.runner.run_mixed", counted)
    page = await store.sessions("rare", limit=1, cursor=None, path="/rare")
    assert [session.sessionId for session in page.sessions] == ["session-rare-0"]
    assert 1 <= len(calls) <= 2


def test_the_log_of_several_shards_keeps_the_order_of_each() -> None:
    """A departure that was swept late has an earlier moment than what was logged before it."""

    def reply(*happenings: tuple[str, int]) -> list[Any]:
        rows = [
            [f"{n}-0", kind, "/", "", "", str(at), ""] for n, (kind, at) in enumerate(happenings)
        ]
        return ["1", "", "0", "0", "0-0", [], [text for row in rows for text in row]]

    first, second = reply(("joined", 100), ("left", 10), ("joined", 120)), reply(("joined", 50))
    log = changes_of([(first, 0), (second, 0)], {}).log
    assert [entry.event.at for entry in log] == [50, 100, 10, 120]


@on_servers
async def test_the_numbers_do_not_depend_on_shards(make_store: MakeStore) -> None:
    answers = []
    for shards in SHARDS:
        clock = Clock()
        store = make_store(clock, shards=shards)
        site = f"site-{shards}"
        await a_busy_hour(store, clock, site)
        await invariants.check(store, site, clock.now_ms or 0)
        stats = await store.stats(site, limit=10)
        active = await store.count(site, "/1")
        history = await store.history(site, "minutes", 30)
        answers.append((stats, active, [point.views for point in history.points]))
    assert answers[0] == answers[1] == answers[2]
    stats = answers[0][0]
    assert stats.activeVisitors > 20
    assert len(stats.activeByPath) == 10
    counts = [(-row.count, row.path) for row in stats.activeByPath]
    assert counts == sorted(counts)


async def all_sessions(store: PresenceStore, limit: int, **more: Any) -> list[models.Session]:
    """Every page of the listing."""
    found: list[models.Session] = []
    cursor: str | None = None
    while True:
        page = await store.sessions("blog", limit=limit, cursor=cursor, path=more.get("path"))
        assert len(page.sessions) <= limit
        found += page.sessions
        cursor = page.nextCursor
        if cursor is None:
            return found


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("limit", [1, 7, 1_000])
async def test_every_active_session_is_listed_once(
    make_store: MakeStore, shards: int, limit: int
) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards)
    for n in range(0, 120, 40):  # many expire in the same millisecond
        await store.heartbeats("blog", [beat(session, f"/{n}") for session in SESSIONS[n : n + 40]])
        clock.advance(1_000)
    await store.leave("blog", SESSIONS[50])
    clock.advance(117_000 + 1)  # the first 40 have gone, nobody has swept
    found = await all_sessions(store, limit)
    assert sorted(session.sessionId for session in found) == sorted(
        {*SESSIONS[40:]} - {SESSIONS[50]}
    )
    expires = [session.expiresAt for session in found]
    assert shards > 1 or expires == sorted(expires)
    on_page = await all_sessions(store, limit, path="/80")
    assert sorted(session.sessionId for session in on_page) == SESSIONS[80:]


@on_servers
@pytest.mark.parametrize("shards", SHARDS)
async def test_no_active_session_is_missed_while_others_beat_and_leave(
    make_store: MakeStore, shards: int
) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards)
    chance = random.Random(3)
    for session in SESSIONS:
        await store.heartbeat("blog", beat(session))
        clock.advance(chance.randrange(3) * 100)
    clock.advance(10_000)
    gone: set[str] = set()
    found: set[str] = set()
    cursor: str | None = None
    while True:
        page = await store.sessions("blog", limit=5, cursor=cursor, path=None)
        found |= {session.sessionId for session in page.sessions}
        cursor = page.nextCursor
        if cursor is None:
            break
        for session in chance.sample(SESSIONS, 9):
            match chance.randrange(3):
                case 0:
                    await store.heartbeat("blog", beat(session))
                case 1:
                    await store.heartbeat("blog", beat(session, f"/{chance.randrange(9)}"))
                case _:
                    gone.add(session)
                    await store.end("blog", session)
        clock.advance(chance.randrange(50))
    assert found >= set(SESSIONS) - gone


async def test_no_active_session_is_missed_while_a_page_is_read(make_store: MakeStore) -> None:
    """Sessions that stand before the position reached so far move on between any two calls."""
    clock = Clock()
    store, other = make_store(clock), make_store(clock)
    for session in SESSIONS[:20]:
        await store.heartbeat("blog", beat(session))
        clock.advance(100)
    clock.advance(10_000)
    client: Any = store.connection.client
    moving = iter(SESSIONS[:9])

    def before(command: Any) -> Any:
        async def meddled(*args: Any, **options: Any) -> Any:
            if (session := next(moving, None)) is not None:
                await other.heartbeat("blog", beat(session))
            return await command(*args, **options)

        return meddled

    first = await store.sessions("blog", limit=10, cursor=None, path=None)
    if client is not other.connection.client:
        client.execute_command = before(client.execute_command)
    second = await store.sessions("blog", limit=10, cursor=first.nextCursor, path=None)
    found = {session.sessionId for session in (*first.sessions, *second.sessions)}
    assert found >= set(SESSIONS[:20])


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("limit", [1, 7, 1_000])
async def test_every_view_is_listed_once_and_in_order(
    make_store: MakeStore, shards: int, limit: int
) -> None:
    store = make_store(Clock(), shards=shards)
    pages = [(session, f"/{n}") for n in range(2) for session in SESSIONS[:40]]
    for session, path in pages[:60]:
        await store.view("blog", PageView(session, path))
    found: list[models.View] = []
    position, is_more_written = "", False
    while True:
        page = await store.views("blog", after=position, limit=limit)
        assert len(page.views) <= limit
        if not page.views:
            if is_more_written:
                break
            # Who reads to the end goes on from there.
            is_more_written = True
            for session, path in pages[60:]:
                await store.view("blog", PageView(session, path))
        found += page.views
        position = page.next
    assert sorted((view.path, view.sessionId) for view in found) == sorted(
        (path, session) for session, path in pages
    )
    at = [stream_position(view.id) for view in found]
    assert at == sorted(at)
    assert (await store.views("blog", after=position, limit=9)).views == []
    assert await store.last_views_position("blog") == position


@pytest.mark.parametrize("shards", SHARDS)
async def test_a_plain_stream_id_is_a_position_in_every_shard(
    make_store: MakeStore, shards: int
) -> None:
    store = make_store(Clock(), shards=shards)
    for session in SESSIONS[:20]:
        await store.view("blog", PageView(session, "/"))
        await asyncio.sleep(0.002)  # so that no two have the same millisecond
    all_views = (await store.views("blog", after="0", limit=100)).views
    rest = (await store.views("blog", after=all_views[11].id, limit=100)).views
    assert [view.sessionId for view in rest] == SESSIONS[12:20]


async def test_the_known_sites_with_all_their_shards(make_store: MakeStore) -> None:
    store = make_store(Clock(), shards=3)
    for n, site in enumerate(["blog", "empty.example", "shop"]):
        await store.heartbeats(site, [beat(session) for session in SESSIONS[: 10 * n]])
    await store.claim([], 1_000, 0)  # a new site is noted behind its first heartbeat
    names = await store.site_names("", 10)
    assert names == ["empty.example", "shop"]
    assert await store.site_names("empty.example", 10) == ["shop"]
    assert await store.site_names("", 1) == ["empty.example"]
    assert await store.sites([*names, "unknown"]) == models.SiteList(
        [
            models.SiteCount("empty.example", 10),
            models.SiteCount("shop", 20),
            models.SiteCount("unknown", 0),
        ],
        None,
        NOW,
    )


async def test_a_site_with_a_poisoned_key_does_not_stop_the_list(make_store: MakeStore) -> None:
    store = make_store(Clock())
    await store.heartbeats("blog", [beat(SESSIONS[0])])
    client: Any = store.connection.client
    await client.set(store.keys.of_site("bad")[0].active, "text")
    for names, counts in ((["bad", "blog"], [None, 1]), (["bad"], [None]), ([], [])):
        listed = await store.sites(names)
        assert [row.activeVisitors for row in listed.sites] == counts
        assert listed.asOf == NOW


# Positions as texts


def test_a_cursor_says_where_a_listing_stopped() -> None:
    member = "session-0000000001 -- /ä b"
    assert read_cursor(write_cursor(11, 1.9e12 - 0.5, member)) == (11, 1.9e12 - 0.5, member)


@pytest.mark.parametrize("cursor", ["x", "é", "W10=", "WzEsMiwzXQ==", "bnVsbA==", "====", "a" * 99])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(FieldError, match="nextCursor"):
        read_cursor(cursor)


@pytest.mark.parametrize(
    "after, shards, positions",
    [
        ("", 1, ["0"]),
        ("", 3, ["0", "0", "0"]),
        ("0", 2, ["0", "0"]),
        ("1764000000000-0", 1, ["1764000000000-0"]),
        ("1764000000000", 2, ["1764000000000"] * 2),
        ("1-1,0,5-0", 3, ["1-1", "0", "5-0"]),
    ],
)
def test_positions_in_the_log_of_views(after: str, shards: int, positions: list[str]) -> None:
    assert read_positions(after, shards) == positions


@pytest.mark.parametrize(
    "after, shards",
    [("x", 1), ("-", 1), ("+", 1), ("$", 1), ("1-", 1), ("-1", 1), ("1-2-3", 1), ("1,2", 3),
     ("1,2,3,4", 3), ("٣", 1), ("18446744073709551616-0", 1), ("1-18446744073709551616", 1),
     ("1" * 99, 1), (" 1", 1), ("1,", 2)],
)  # fmt: skip
def test_what_is_not_a_position_is_refused(after: str, shards: int) -> None:
    with pytest.raises(FieldError, match="stream id"):
        read_positions(after, shards)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from([f"/{n}" for n in range(12)]), st.integers(1, 9)),
        min_size=2,
        max_size=4,
    ),
    st.integers(1, 6),
    st.integers(1, 6),
)
def test_no_page_that_is_among_the_highest_is_overlooked(
    shards: list[dict[str, int]], depth: int, limit: int
) -> None:
    depth = max(depth, limit)
    truth = ranked({p: sum(s.get(p, 0) for s in shards) for s in shards for p in s})[:limit]
    lists = [[str(t) for row in ranked(shard)[:depth] for t in row] for shard in shards]
    names = contenders(lists, depth, limit)
    if names is not None:
        exact = {name: sum(shard.get(name, 0) for shard in shards) for name in names}
        assert ranked(exact)[:limit] == truth


# (how many are on /n, of 40 pages): a steep list that its head decides, and a flat one that only
# the whole lists decide
@pytest.mark.parametrize("crowd", [lambda n: 120 // (n + 1), lambda n: 2])
async def test_top_pages_are_exact_where_shards_list_only_their_highest(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, crowd: Callable[[int], int]
) -> None:
    monkeypatch.setattr("service.store.reader.MERGE_DEPTH", 8)
    store = make_store(Clock(), shards=3)
    counts = {f"/{n}": crowd(n) for n in range(40)}
    paths = [path for path, count in counts.items() for _ in range(count)]
    beats = [Heartbeat(f"session-{n:010d}", path, "", "", "") for n, path in enumerate(paths)]
    await store.heartbeats("blog", beats)
    stats = await store.stats("blog", 5)
    assert [(row.path, row.count) for row in stats.activeByPath] == ranked(counts)[:5]


async def test_what_a_shard_did_not_list_may_be_more_than_the_last_that_it_did(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard lists one page more for each that somebody has left who is not swept yet."""
    monkeypatch.setattr("service.store.reader.MERGE_DEPTH", 1)
    store = make_store(clock := Clock(), shards=3)
    shards, numbers = store.keys.of_site("blog"), itertools.count()

    def crowd(shard: int, path: str, size: int) -> list[Heartbeat]:
        ids = (f"session-{n:010d}" for n in numbers)
        here = (one for one in ids if store.keys.of_session("blog", one) is shards[shard])
        return [beat(one, path) for one in itertools.islice(here, size)]

    # /left is first in each shard and nearly empty by now; /everywhere is third in each of them.
    gone = [one for shard in range(3) for one in crowd(shard, "/left", 4)]
    staying = [one for shard in range(3) for one in crowd(shard, "/left", 1)]
    for shard in range(3):
        staying += crowd(shard, f"/only-{shard}", 4) + crowd(shard, "/everywhere", 3)
    await store.heartbeats("blog", gone)
    clock.advance(120_000)
    await store.heartbeats("blog", staying)
    (most,) = (await store.stats("blog", 1)).activeByPath
    assert (most.path, most.count) == ("/everywhere", 9)
