"""Erased: nothing that Redis holds names the user or the session, and all else is as it was."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.errors import StoreBusy
from service.models import Erased
from service.ops.doctor import Doctor
from service.store import erase
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests import invariants
from tests.conftest import NOW, Clock, MakeStore, on_servers

SITE, ANNA = "team", "anna.secret@example.org"
NAMES = {"name": "Anna Secret", "avatar": "https://example.org/secret.png"}
SHARDS = pytest.mark.parametrize("shards", [1, 3])


def session_of(n: int) -> str:
    return f"session-{n:08d}"


async def beat(store: PresenceStore, n: int, user: str = "", path: str = "/a") -> str:
    details = json.dumps(NAMES) if user == ANNA else ""
    return await store.heartbeat(SITE, Heartbeat(session_of(n), path, "DE", "", details, user))


async def everything(store: PresenceStore) -> AsyncIterator[str]:
    """Every key below the store's prefix, with every field, member, score and stream entry."""
    client: Any = store.connection.client
    async for key in client.scan_iter(match=f"{store.keys.prefix}:*", count=1000):
        yield key
        if "uniques" in key:  # hashes of ids; those of fakeredis are sets of the ids themselves
            continue
        match await client.type(key):
            case "hash":
                yield str(await client.hgetall(key))
            case "zset":
                yield str(await client.zrange(key, 0, -1, withscores=True))
            case "stream":
                yield str(await client.xrange(key))
            case "string":
                yield str(await client.get(key))


async def holds(store: PresenceStore, text: str) -> bool:
    return any([text in one async for one in everything(store)])


async def check(store: PresenceStore) -> None:
    """Everything fits together, and nothing names her."""
    assert not await holds(store, "secret")
    assert not await holds(store, "Secret")
    await invariants.check(store, SITE, int(store.clock()), views_erased=True)
    assert (await store.user(SITE, ANNA)) is None


@SHARDS
async def test_nothing_names_a_user_who_is_erased(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=True, heartbeat_dedup_ms=0)
    await beat(store, 0, ANNA)  # is here, on two pages
    await beat(store, 1, ANNA, "/b")
    await beat(store, 2)  # was nobody, and is here
    await beat(store, 2, ANNA)
    await beat(store, 2, ANNA, "/b")
    await beat(store, 3, ANNA)  # was here, and is nobody now
    await beat(store, 3, "", "/c")
    await beat(store, 4, ANNA)  # is somebody else now
    await beat(store, 4, "bob")
    await beat(store, 5, ANNA)  # has ended
    await store.end(SITE, session_of(5))
    await beat(store, 6, ANNA)  # says goodbye
    await store.leave(SITE, session_of(6))
    await beat(store, 7, "bob", "/b")
    await beat(store, 8)
    clock.advance(1_000)
    assert await holds(store, ANNA)
    erased = await store.erase_user(SITE, ANNA)
    assert erased == Erased(sessionsEnded=4, eventsErased=17, viewsErased=9)
    await check(store)
    (bob,) = (await store.users(SITE, limit=9, cursor=None, path=None)).users
    assert (bob.userId, bob.sessions, bob.paths, bob.since) == ("bob", 2, ["/a", "/b"], NOW)
    stats = await store.stats(SITE)
    assert {row.path: row.count for row in stats.activeByPath} == {"/a": 2, "/b": 1, "/c": 1}
    assert stats.totalPageViews == 11  # are views of nobody in particular
    # Who goes on, goes on; and she may come again.
    assert await beat(store, 3, "", "/c") == "refreshed"
    assert await beat(store, 4, "bob", "/d") == "moved"
    assert await beat(store, 0, ANNA) == "created"
    await invariants.check(store, SITE, int(clock()), views_erased=True)
    await store.erase_user(SITE, ANNA)
    await check(store)


@on_servers
@SHARDS
async def test_a_session_that_expired_unswept_is_erased(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=True)
    for n in range(400):  # more than one sweep removes
        await beat(store, n, ANNA)
    clock.advance(60_000)
    await beat(store, 500)
    clock.advance(60_000)
    await beat(store, 0, "bob", "/b")  # the same session, before its end as hers is swept
    await store.erase_user(SITE, ANNA)
    await check(store)
    assert (await store.stats(SITE)).activeVisitors == 2
    (bob,) = (await store.users(SITE, limit=9, cursor=None, path=None)).users
    assert (bob.userId, bob.paths) == ("bob", ["/b"])


@SHARDS
async def test_a_session_whose_hash_or_member_is_lost_is_erased(
    make_store: MakeStore, shards: int
) -> None:
    """Somebody deletes what a hand can delete."""
    store = make_store(Clock(), shards=shards, has_users=True)
    for n in range(60):
        await beat(store, n, ANNA)
    client: Any = store.connection.client
    for n in (0, 30):
        keys = store.keys.of_session(SITE, session_of(n))
        await client.delete(keys.session(session_of(n)))
    keys = store.keys.of_session(SITE, session_of(40))
    (member,) = [m for m in await client.zrange(keys.active, 0, -1) if session_of(40) in m]
    await client.zrem(keys.active, member)
    await store.erase_user(SITE, ANNA)
    assert not await holds(store, "secret")


async def test_erasing_again_or_nobody_changes_nothing(make_store: MakeStore) -> None:
    store = make_store(Clock(), has_users=True)
    await beat(store, 0, ANNA)
    await beat(store, 1, "bob")
    for _ in range(2):
        await store.erase_user(SITE, ANNA)
        first = [one async for one in everything(store)]
    await store.erase_user(SITE, "anna.secret")
    await store.erase_user(SITE, "nobody")
    assert sorted([one async for one in everything(store)]) == sorted(first)


async def test_part_of_an_id_is_not_the_id(make_store: MakeStore) -> None:
    store = make_store(Clock(), has_users=True)
    for n, user in enumerate(["ann", "anna", "an", "a:n", "xann"]):
        await beat(store, n, user)
    await store.erase_user(SITE, "ann")
    page = await store.users(SITE, limit=9, cursor=None, path=None)
    assert {row.userId for row in page.users} == {"anna", "an", "a:n", "xann"}
    await invariants.check(store, SITE, NOW, views_erased=True)


@pytest.mark.parametrize("is_ahead", [False, True])
async def test_live_readers_are_given_a_snapshot(make_store: MakeStore, is_ahead: bool) -> None:
    """Nobody who has seen her come is left with a page on which she stays."""
    clock = Clock()
    store = make_store(clock, has_users=True, heartbeat_dedup_ms=0)
    await beat(store, 0)
    if is_ahead:
        await beat(store, 1, ANNA, "/b")
    _, position = await store.stats_and_positions(SITE)
    if not is_ahead:
        await beat(store, 1, ANNA, "/b")
    await store.erase_user(SITE, ANNA)
    assert await store.changes(SITE, position) is None
    _, position = await store.stats_and_positions(SITE)
    await beat(store, 0, "", "/c")
    changes = await store.changes(SITE, position)
    assert changes
    assert {row.path: row.count for row in changes.change.activeByPath} == {"/a": 0, "/c": 1}
    assert (changes.change.arrivals, changes.change.departures) == (0, 0)
    feed = await store.last_events(SITE, changes.positions)
    assert [event.type for event in feed] == ["joined", "moved"]


async def test_the_doctor_finds_nothing_after_it(make_store: MakeStore) -> None:
    store = make_store(has_users=True)
    await beat(store, 0, ANNA)
    await beat(store, 1, ANNA)
    await beat(store, 1, "bob")
    await beat(store, 2)
    await store.erase_user(SITE, ANNA)
    doctor = Doctor(store.connection, store.keys)
    assert (await doctor.check(SITE)).findings == []
    await beat(store, 1, "bob", "/z")
    await store.end(SITE, session_of(1))
    checkup = await doctor.check(SITE)
    assert checkup.findings == []
    assert await doctor.repair(checkup) == []


@on_servers
@SHARDS
async def test_a_long_log_is_erased_in_steps(
    make_store: MakeStore, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase, "STEP", 7)
    clock, chance = Clock(), random.Random(shards)  # no secret
    store = make_store(clock, shards=shards, has_users=True, heartbeat_dedup_ms=0)
    for _ in range(400):
        dice, n = chance.random(), chance.randrange(30)
        if dice < 0.9:
            user = chance.choice(["", "bob", ANNA])
            await beat(store, n, user, f"/{chance.randrange(3)}")
        elif dice < 0.95:
            await store.end(SITE, session_of(n))
        else:
            clock.advance(20_000)
    await store.erase_user(SITE, ANNA)
    await check(store)


@SHARDS
async def test_who_comes_and_goes_meanwhile(make_store: MakeStore, shards: int) -> None:
    """Others beat while she is erased, in sessions that were hers; then nothing names her."""
    clock, chance = Clock(), random.Random(shards)  # no secret
    store = make_store(clock, shards=shards, has_users=True, heartbeat_dedup_ms=0)
    for n in range(20):
        await beat(store, n, ANNA)

    async def visitor() -> None:
        for _ in range(40):
            n = chance.randrange(20)
            await beat(store, n, chance.choice(["", "bob"]), f"/{chance.randrange(3)}")

    await asyncio.gather(store.erase_user(SITE, ANNA), *(visitor() for _ in range(3)))
    await check(store)


async def test_who_goes_on_coming_is_told_to_be_stopped(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(Clock(), has_users=True, heartbeat_dedup_ms=0)
    await beat(store, 0, ANNA)
    commands, tabs = store._runner.commands, itertools.count()

    async def comes_again(*args: Any) -> list[Any]:
        replies = await commands(*args)
        await beat(store, next(tabs), ANNA)
        return replies

    with monkeypatch.context() as patch:
        patch.setattr(store._runner, "commands", comes_again)
        with pytest.raises(StoreBusy, match="goes on coming"):
            await store.erase_user(SITE, ANNA)
    await store.erase_user(SITE, ANNA)
    await check(store)


async def is_here(store: PresenceStore, n: int) -> None:
    await beat(store, n)
    await beat(store, n, "", "/b")


async def has_left(store: PresenceStore, n: int) -> None:
    await is_here(store, n)
    await store.end(SITE, session_of(n))


async def says_goodbye(store: PresenceStore, n: int) -> None:
    await is_here(store, n)
    await store.leave(SITE, session_of(n))


async def said_goodbye_first(store: PresenceStore, n: int) -> None:
    await store.leave(SITE, session_of(n), "/a")


async def only_viewed(store: PresenceStore, n: int) -> None:
    await store.view(SITE, PageView(session_of(n), "/a", "", "example.org"))


@SHARDS
@pytest.mark.parametrize("has_users", [False, True])
@pytest.mark.parametrize(
    ("lives", "erased"),
    [
        (is_here, Erased(1, 3, 2)),
        (has_left, Erased(0, 3, 2)),
        (says_goodbye, Erased(1, 3, 2)),
        (said_goodbye_first, Erased(0, 0, 0)),
        (only_viewed, Erased(0, 0, 1)),
    ],
)
async def test_nothing_names_a_session_that_is_erased(
    make_store: MakeStore, shards: int, has_users: bool, lives: Any, erased: Erased
) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards, has_users=has_users, heartbeat_dedup_ms=0)
    for n in (1, 2):  # two of a kind, and one of them goes
        await lives(store, n)
        await beat(store, 10 + n)
    before = await store.stats(SITE)
    assert await store.erase_session(SITE, session_of(1)) == erased
    assert not await holds(store, session_of(1))
    assert await holds(store, session_of(2))
    await invariants.check(store, SITE, int(clock()), views_erased=True)
    after = await store.stats(SITE)
    assert after.totalPageViews == before.totalPageViews
    assert after.activeVisitors == before.activeVisitors - erased.sessionsEnded
    assert await store.erase_session(SITE, session_of(1)) == Erased(0, 0, 0)
    assert await beat(store, 1) == "created"  # as somebody who was never there: a view, too
    assert (await store.stats(SITE)).totalPageViews == before.totalPageViews + 1
    await invariants.check(store, SITE, int(clock()), views_erased=True)


@on_servers
@SHARDS
async def test_a_session_that_expired_unswept_leaves_no_trace(
    make_store: MakeStore, shards: int
) -> None:
    clock = Clock()
    store = make_store(clock, shards=shards)
    for n in range(400):  # more than one sweep removes
        await beat(store, n)
    clock.advance(120_000)
    assert await store.erase_session(SITE, session_of(7)) == Erased(0, 2, 1)
    for keys in store.keys.of_site(SITE):  # nor does a later sweep write of it
        await store.sweep(keys.tag, 1_000)
    assert not await holds(store, session_of(7))
    await invariants.check(store, SITE, int(clock()), views_erased=True)


async def test_a_session_that_goes_on_coming_is_told_to_be_stopped(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(Clock(), heartbeat_dedup_ms=0)
    await beat(store, 0)
    commands, pages = store._runner.commands, itertools.count()

    async def comes_again(*args: Any) -> list[Any]:
        replies = await commands(*args)
        await beat(store, 0, "", f"/{next(pages)}")
        return replies

    with monkeypatch.context() as patch:
        patch.setattr(store._runner, "commands", comes_again)
        with pytest.raises(StoreBusy, match="goes on coming"):
            await store.erase_session(SITE, session_of(0))
    await store.erase_session(SITE, session_of(0))
    assert not await holds(store, session_of(0))


@pytest.mark.parametrize("of", ["user", "session"])
@pytest.mark.parametrize("is_folded", [False, True])
async def test_former_shards_name_nobody_either(
    make_store: MakeStore, *, of: str, is_folded: bool
) -> None:
    """The site was split anew since, once while they were here and once after they had gone."""
    clock = Clock()
    store = make_store(clock, has_users=True)
    store.folding.settle_s = 0
    for number in (1, 2, 3):
        if number > 1:
            await store.layouts.change(SITE, number)
        await beat(store, 0, ANNA, f"/{number}")
        await beat(store, 1, "bob", f"/{number}")
        if number == 2:
            clock.advance(store.keys.carried_within_ms)
            for shard in store.keys.of_site(SITE):
                await store.sweep(shard.tag)
    if is_folded:
        assert (await store.folding.fold(SITE)).shards == 1
    assert (await store.user(SITE, ANNA)) is not None
    if of == "user":
        erased = await store.erase_user(SITE, ANNA)
    else:
        erased = await store.erase_session(SITE, session_of(0))
    assert (erased.sessionsEnded, erased.viewsErased) == (1, 3)
    assert not await holds(store, session_of(0))
    assert await holds(store, session_of(1))
    assert len((await store.views(SITE, after="", limit=9)).views) == 3
    if of == "user":
        await check(store)
