"""Who is here: one row for each user, the same however many shards hold their sessions."""

import asyncio
import itertools
import json
from typing import Any

import msgspec
import pytest

from service.errors import FieldError
from service.models import UserRow, UserStatus
from service.store.paging import write_user_cursor
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests import invariants
from tests.conftest import NOW, Clock, MakeStore

SITE = "team"
DAY_MS = 86_400_000
SHARDS = pytest.mark.parametrize("shards", [1, 3])


def session_of(user: str, device: int = 0) -> str:
    return f"session-of-{user}-{device}".ljust(16, "0")


async def beat(
    store: PresenceStore, user: str, path: str = "/a", device: int = 0, **details: str
) -> str:
    """A heartbeat of a device of a user; empty: of nobody."""
    text = json.dumps(details) if details else ""
    session = session_of(user or "nobody", device)
    return await store.heartbeat(SITE, Heartbeat(session, path, "DE", "", text, user))


async def listed(store: PresenceStore, path: str | None = None, limit: int = 100) -> list[UserRow]:
    """All users, page after page, each of which says how many there are."""
    rows: list[UserRow] = []
    cursor = None
    totals = set()
    while True:
        page = await store.users(SITE, limit=limit, cursor=cursor, path=path)
        assert len(page.users) <= limit
        rows += page.users
        totals.add(page.total)
        if (cursor := page.nextCursor) is None:
            assert totals == {len(rows)}
            return rows


@SHARDS
async def test_two_tabs_and_a_phone_are_one_row(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=True)
    for device, path in enumerate(["/a", "/a", "/b"]):
        await beat(store, "anna", path, device, name="Anna", avatar="https://e.org/a.png")
        clock.advance(1_000)
    anna = UserRow(
        "anna", "Anna", "https://e.org/a.png", NOW, NOW + 2_000, 3, ["/a", "/b"]
    )  # fmt: skip
    assert await listed(store) == [anna]
    assert await listed(store, "/a") == await listed(store, "/b") == [anna]
    assert await listed(store, "/c") == []
    assert (await store.stats(SITE)).activeUsers == 1
    await store.end(SITE, session_of("anna", 0))
    await store.end(SITE, session_of("anna", 2))
    (row,) = await listed(store)
    assert (row.sessions, row.paths, row.since) == (1, ["/a"], NOW + 1_000)
    assert row.lastSeen == clock.now_ms
    await store.end(SITE, session_of("anna", 1))
    assert await listed(store) == []
    gone = await store.user(SITE, "anna")
    assert gone
    assert (gone.online, gone.since, gone.sessions, gone.paths) == (False, None, 0, [])
    assert (gone.name, gone.lastSeen) == ("Anna", clock.now_ms)


@SHARDS
@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_pages_of_a_list_have_everybody_once(
    make_store: MakeStore, shards: int, limit: int
) -> None:
    store = make_store(Clock(), shards=shards, has_users=True)
    for n in range(9):
        for device in range(n % 3 + 1):
            await beat(store, f"user-{n}", f"/{(n + device) % 4}", device)
    for device in range(3):
        await beat(store, "", "/0", device)
    rows = await listed(store, limit=limit)
    # By page, each where their first is; then by id.
    assert [row.userId for row in rows] == sorted(
        (f"user-{n}" for n in range(9)),
        key=lambda id_: next((row.paths[0], id_) for row in rows if row.userId == id_),
    )
    for n in range(4):
        on_page = await listed(store, f"/{n}", limit=limit)
        assert [row.userId for row in on_page] == [
            row.userId for row in sorted(rows, key=lambda row: row.userId) if f"/{n}" in row.paths
        ]


@SHARDS
async def test_who_has_expired_is_not_here_swept_or_not(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=True)
    for n in range(6):
        await beat(store, f"user-{n}", "/a")
    await beat(store, "user-0", "/b", 1)
    clock.advance(100_000)
    await beat(store, "user-0", "/b", 1)
    await beat(store, "user-5", "/a")
    clock.advance(20_000)
    for _ in range(2):
        assert [row.userId for row in await listed(store, limit=2)] == ["user-5", "user-0"]
        assert [row.userId for row in await listed(store, "/a", limit=2)] == ["user-5"]
        (row,) = await listed(store, "/b")
        assert (row.sessions, row.paths, row.since) == (1, ["/b"], NOW)
        assert await store.count_users(SITE) == (await store.stats(SITE)).activeUsers == 2
        statuses = (await store.user_statuses(SITE, ["user-1", "user-5"])).statuses
        assert statuses == [
            UserStatus("user-1", False, NOW), UserStatus("user-5", True, NOW + 100_000),
        ]  # fmt: skip
        for keys in store.keys.of_site(SITE):
            await store.sweep(keys.tag)
    await invariants.check(store, SITE, int(store.clock()))


@SHARDS
@pytest.mark.fault("F19")
async def test_nobody_was_seen_in_the_future(make_store: MakeStore, shards: int) -> None:
    """Where Redis's clock was set back."""
    clock = Clock(NOW + 60_000)
    store = make_store(clock, shards=shards, has_users=True)
    await beat(store, "anna")
    await beat(store, "bob")
    await store.end(SITE, session_of("bob"))
    clock.advance(-60_000)
    (anna,) = await listed(store)
    assert (anna.userId, anna.since, anna.lastSeen) == ("anna", NOW, NOW)
    assert (await store.user_statuses(SITE, ["anna", "bob"])).statuses == [
        UserStatus("anna", True, NOW), UserStatus("bob", False, NOW),
    ]  # fmt: skip


@SHARDS
async def test_statuses_are_in_the_order_asked_for(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=True)
    await beat(store, "anna")
    await beat(store, "bob")
    clock.advance(5_000)
    await store.end(SITE, session_of("bob"))
    asked = ["nobody", "bob", "anna", "bob"]
    reply = await store.user_statuses(SITE, asked)
    assert reply.statuses == [
        UserStatus("nobody", False, None),
        UserStatus("bob", False, NOW + 5_000),
        UserStatus("anna", True, NOW),
        UserStatus("bob", False, NOW + 5_000),
    ]
    assert reply.asOf == clock.now_ms
    assert (await store.user_statuses(SITE, [])).statuses == []


async def test_the_name_and_picture_told_last_hold(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, shards=3, has_users=True)
    told = [("Anna", ""), ("Anna B.", "https://e.org/b.png"), ("Anna B.", "https://e.org/c.png")]
    for device, (name, avatar) in enumerate(told):
        details = {"name": name, **({"avatar": avatar} if avatar else {})}
        await beat(store, "anna", "/a", device, **details)
        (row,) = await listed(store)
        assert (row.name, row.avatar) == (name, avatar or None)
        clock.advance(1_000)


@SHARDS
async def test_a_name_that_is_told_again_was_told_last(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=True)
    for n, devices in enumerate(itertools.permutations(range(3, 7), 2)):
        for name, device in zip(("Anne", "Anna"), devices, strict=True):  # in all three shards
            clock.advance(1_000)
            await beat(store, "anna", f"/{n}-{name}", device, name=name)
            (row,) = await listed(store)
            assert row.name == name


async def test_who_is_carried_over_keeps_their_name(make_store: MakeStore) -> None:
    """Where they are more than the former shard remembers of those who left it."""
    store = make_store(Clock(), has_users=True, users_kept=2)
    names = ["Anna", "Bert", "Cleo", "Dora", "Emil"]
    for _ in range(2):
        for name in names:
            await beat(store, name.lower(), name=name)
        await store.layouts.change(SITE, 2)
        assert sorted(str(row.name) for row in await listed(store)) == names


async def test_a_goodbye_was_the_last_that_was_seen(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, has_users=True)
    await beat(store, "anna")
    clock.advance(40_000)
    await store.leave(SITE, session_of("anna"))
    clock.advance(3_000)
    (status,) = (await store.user_statuses(SITE, ["anna"])).statuses
    assert status == UserStatus("anna", False, NOW + 43_000)


@SHARDS
async def test_a_login_goes_on_with_the_session(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=True)
    for user, here in [("", []), ("anna", ["anna"]), ("bob", ["bob"]), ("", [])]:
        session = Heartbeat("session-00000001", "/a", "DE", "", "", user)
        await store.heartbeat(SITE, session)
        assert [row.userId for row in await listed(store)] == here
        known = await store.session(SITE, "session-00000001")
        assert known
        assert (known.userId, known.since) == (user or None, NOW)
        (row,) = (await store.sessions(SITE, limit=9, cursor=None, path=None)).sessions
        assert row.userId == (user or None)
        clock.advance(11_000)


async def test_of_those_who_left_only_so_many_are_remembered(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, has_users=True, users_kept=3)
    for n in range(5):
        await beat(store, f"user-{n}")
    for n in range(5):
        clock.advance(1_000)
        await store.end(SITE, session_of(f"user-{n}"))
    asked = [f"user-{n}" for n in range(5)]
    statuses = (await store.user_statuses(SITE, asked)).statuses
    assert [status.lastSeen for status in statuses] == [
        None, None, NOW + 3_000, NOW + 4_000, NOW + 5_000,
    ]  # fmt: skip
    await beat(store, "user-0")
    assert [row.userId for row in await listed(store)] == ["user-0"]


async def test_who_left_is_remembered_for_30_days(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, has_users=True)
    for user in ("anna", "bob"):
        await beat(store, user)
        await store.end(SITE, session_of(user))
        clock.advance(29 * DAY_MS)
    assert (await store.user(SITE, "anna")) is not None
    clock.advance(
        2 * DAY_MS
    )  # bob is 31 days ago, anna 60: the next who leaves makes them forgotten
    await beat(store, "carl")
    await store.end(SITE, session_of("carl"))
    known = (await store.user_statuses(SITE, ["anna", "bob", "carl"])).statuses
    assert [status.lastSeen is None for status in known] == [True, True, False]


@pytest.mark.parametrize("cursor", ["x", "-", "L2E=", "é", "YQl0", "AAAA"])
async def test_a_cursor_that_was_not_given_is_refused(make_store: MakeStore, cursor: str) -> None:
    store = make_store(Clock(), has_users=True)
    with pytest.raises(FieldError, match="cursor"):
        await store.users(SITE, limit=1, cursor=cursor, path=None)


@SHARDS
@pytest.mark.parametrize(
    "position, found",
    [
        ("/\t", ["bob", "carl"]),
        ("/a\tanna", ["bob", "carl"]),  # of a page before it: from the beginning of this one
        ("/b\t", ["bob", "carl"]),
        ("/b\tbob", ["carl"]),
        ("/b/c\t", []),  # of one behind it: there is no more
        ("/c\tdora", []),
    ],
)
async def test_no_cursor_leads_to_another_page(
    make_store: MakeStore, shards: int, position: str, found: list[str]
) -> None:
    store = make_store(Clock(), shards=shards, has_users=True)
    for user, path in {"anna": "/a", "bob": "/b", "carl": "/b", "dora": "/c"}.items():
        await beat(store, user, path)
    page = await store.users(SITE, limit=9, cursor=write_user_cursor(position), path="/b")
    assert [row.userId for row in page.users] == found
    assert (page.total, page.nextCursor) == (2, None)


@SHARDS
async def test_who_was_somebody_begins_anew_where_users_are_not_known_any_more(
    make_store: MakeStore, shards: int
) -> None:
    """Also where the same call has heartbeats of a site that still knows its users."""
    clock = Clock()
    before = make_store(clock, shards=shards, has_users=True)
    assert await beat(before, "anna") == "created"
    clock.advance(20_000)
    store = make_store(clock, shards=shards, has_users=lambda site: site != SITE)
    session = session_of("anna")
    outcomes = await asyncio.gather(
        store.heartbeat("another", Heartbeat(session, "/a", "DE", "", "", "anna")),
        store.heartbeat(SITE, Heartbeat(session, "/a", "DE", "", "")),
    )
    assert set(outcomes) == {"created"}
    assert (await store.count(SITE, "/a"))[:2] == (1, 1)
    here = await store.session(SITE, session)
    assert here
    assert here.userId is None
    for keys in store.keys.of_site(SITE):
        shard = await invariants.read(store.connection.client, keys, int(clock()))
        invariants.counters_equal_members(shard)
        invariants.log_replays(shard, store.config.events_maxlen)


async def test_without_users_nothing_is_kept_of_them(make_store: MakeStore) -> None:
    store = make_store(Clock())
    await beat(store, "")
    client: Any = store.connection.client
    (keys,) = store.keys.of_site(SITE)
    assert not await client.exists(keys.users, keys.user_pages, keys.user_seen)
    assert "activeUsers" not in json.loads(msgspec.json.encode(await store.stats(SITE)))
