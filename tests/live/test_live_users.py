"""Streams of users: each user once, however many tabs, devices, shards and copies there are."""

import asyncio
import contextlib
import json
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from service.api.live import _events
from service.errors import StoreUnreachable
from service.live.hub import Hub
from service.live.messages import SubscribeOptions, Subscriber
from service.live.user_changes import UserChange
from service.live.user_slot import MOST_USERS_KEPT
from service.live.user_watch import USERS_SHOWN
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.tags import shard_of
from service.store.writer import Heartbeat
from tests.conftest import Clock, patient_store, url_of
from tests.live.test_live import events_in
from tests.servers import Server

SITE = "blog"
TIMEOUT_MS, GRACE_MS = 120_000, StoreConfig().leave_grace_ms
FAR = 3600.0  # a tick that never comes: tests look themselves
MakeUsersStore = Callable[..., PresenceStore]


@pytest.fixture(params=["fakeredis", "valkey"])
async def make_users_store(
    request: pytest.FixtureRequest, key_prefix: str
) -> AsyncIterator[MakeUsersStore]:
    """Makes stores of sites that know users: `make_users_store(clock, shards=1)`."""
    made: list[PresenceStore] = []

    def make(clock: Clock, shards: int = 1, **rules: Any) -> PresenceStore:
        url = url_of(request, request.param)
        keys = Keys(key_prefix, shards, has_users=lambda site: True)
        if url == "memory://":
            store = PresenceStore(connect(url), keys, StoreConfig(**rules))
        else:
            store = patient_store(url, keys, StoreConfig(**rules))
        store.clock = clock
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()


def beat(session: int, path: str = "/a", user: str = "", name: str = "") -> Heartbeat:
    details = json.dumps({"name": name}) if name else ""
    return Heartbeat(f"session-{session:>012}", path, "", "", details, user)


class Faces:
    """What a client shows that was sent these events. Strict: who is told to have come was not
    here, and who is told to have moved or gone was."""

    def __init__(self) -> None:
        self.here: dict[str, list[str]] = {}
        self.total = 0
        self.kinds: list[str] = []

    def show(self, event: dict[str, str]) -> None:
        kind, data = event["event"], json.loads(event["data"])
        self.kinds.append(kind)
        self.total = data["totalUsers"]
        match kind:
            case "snapshot":
                self.here = {row["userId"]: row["paths"] for row in data["users"]}
            case "online":
                assert data["userId"] not in self.here
                self.here[data["userId"]] = data["paths"]
            case "moved":
                assert self.here[data["userId"]] != data["paths"]
                self.here[data["userId"]] = data["paths"]
            case "offline":
                del self.here[data["userId"]]


async def sent(subscriber: Subscriber) -> list[dict[str, str]]:
    """What waits for a stream now."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            return events_in(await subscriber.take() or b"")
    return []


async def told(subscriber: Subscriber, faces: Faces | None = None) -> list[str]:
    """What is said of users: "online anna /a /b", "offline anna"."""
    said = []
    for event in await sent(subscriber):
        if faces:
            faces.show(event)
        data = json.loads(event["data"])
        if "userId" in data:
            said.append(" ".join([event["event"], data["userId"], *data.get("paths", ())]))
    return sorted(said)


async def look(hub: Hub) -> None:
    """A tick."""
    await hub._pollers[SITE]._look()


async def sweep(store: PresenceStore) -> None:
    for shard in store.keys.of_site(SITE):
        await store.sweep(shard.tag)


@contextlib.asynccontextmanager
async def watching(hub: Hub, path: str | None = None) -> AsyncIterator[Subscriber]:
    with hub.subscribed(SITE, SubscribeOptions(path=path, users=True)) as subscriber:
        await hub.catch_up(SITE, subscriber, None)
        yield subscriber
    await hub.settled()


def sessions_of_all_shards() -> list[int]:
    """Three sessions that live in three of three shards."""
    found: dict[int, int] = {}
    for n in range(100):
        found.setdefault(shard_of(f"session-{n:>012}", 3), n)
    return [found[shard] for shard in range(3)]


TAB, SECOND_TAB, PHONE = sessions_of_all_shards()
LEAVES, EXPIRES = "leaves", "expires"
Step = tuple[Any, list[str], list[str]]  # heartbeats, or a session that goes and how; what is told

HISTORIES: dict[str, list[Step]] = {
    "two tabs and a phone": [
        ([beat(TAB, user="anna")], ["online anna /a"], ["online anna /a"]),
        ([beat(SECOND_TAB, user="anna")], [], []),
        ([beat(PHONE, user="anna")], [], []),
        ((TAB, LEAVES), [], []),
        ((PHONE, LEAVES), [], []),
        ((SECOND_TAB, LEAVES), ["offline anna"], ["offline anna"]),
        ([beat(PHONE, user="anna")], ["online anna /a"], ["online anna /a"]),
        ((PHONE, EXPIRES), ["offline anna"], ["offline anna"]),
    ],
    "pages": [
        ([beat(TAB, "/b", "anna")], ["online anna /b"], []),
        ([beat(TAB, "/a", "anna")], ["moved anna /a"], ["online anna /a"]),
        ([beat(PHONE, "/b", "anna")], ["moved anna /a /b"], []),
        ([beat(TAB, "/c", "anna")], ["moved anna /b /c"], ["offline anna"]),
        ((PHONE, LEAVES), ["moved anna /c"], []),
        ((TAB, LEAVES), ["offline anna"], []),
    ],
    "login, logout, change of user": [
        ([beat(TAB), beat(PHONE)], [], []),
        ([beat(TAB, user="anna")], ["online anna /a"], ["online anna /a"]),
        (
            [beat(TAB, user="bob")],
            ["offline anna", "online bob /a"],
            ["offline anna", "online bob /a"],
        ),
        ([beat(PHONE, user="bob")], [], []),
        ([beat(TAB)], [], []),
        ([beat(PHONE)], ["offline bob"], ["offline bob"]),
    ],
    "there and back within a tick": [
        ([beat(TAB, user="anna"), beat(PHONE, user="bob")], ["online anna /a", "online bob /a"],
         ["online anna /a", "online bob /a"]),
        ([beat(TAB, "/b", "anna"), beat(TAB, "/a", "anna")], [], []),
        ([beat(SECOND_TAB, "/a", "carl"), beat(SECOND_TAB, "/a")], [], []),
        ([beat(TAB, user="bob"), beat(PHONE, user="anna")], [], []),
    ],
}  # fmt: skip


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("history", HISTORIES)
async def test_each_user_is_told_once(
    make_users_store: MakeUsersStore, history: str, shards: int
) -> None:
    clock = Clock()
    store = make_users_store(clock, shards, heartbeat_dedup_ms=0)
    hub = Hub(store, FAR)
    everything, one_page = Faces(), Faces()
    async with watching(hub) as site, watching(hub, "/a") as page:
        await told(site, everything)
        await told(page, one_page)
        for step, (done, of_site, of_page) in enumerate(HISTORIES[history]):
            clock.advance(1)
            match done:
                case (int(session), how):
                    if how == LEAVES:
                        await store.leave(SITE, f"session-{session:>012}")
                        for other in {TAB, SECOND_TAB, PHONE} - {session}:
                            known = await store.session(SITE, f"session-{other:>012}")
                            if known and known.userId:
                                await store.heartbeat(
                                    SITE, beat(other, known.currentPath, known.userId)
                                )
                    clock.advance(GRACE_MS + 1 if how == LEAVES else TIMEOUT_MS + 1)
                    await sweep(store)
                case beats:
                    for one in beats:
                        await store.heartbeat(SITE, one)
            await look(hub)
            assert await told(site, everything) == of_site, step
            assert await told(page, one_page) == of_page, step
            for path, faces in [(None, everything), ("/a", one_page)]:
                here = await store.users(SITE, limit=100, cursor=None, path=path)
                assert faces.here.keys() == {row.userId for row in here.users}
                assert faces.total == here.total


async def test_what_events_say(make_users_store: MakeUsersStore) -> None:
    clock = Clock()
    store = make_users_store(clock)
    hub = Hub(store, FAR)
    await store.heartbeat(SITE, beat(1, "/a", "anna", "Anna"))
    begun = clock.now_ms
    async with watching(hub) as site, watching(hub, "/b") as page:
        (event,) = await sent(site)
        snapshot = json.loads(event["data"])
        row = {
            "userId": "anna", "name": "Anna", "avatar": None, "since": begun, "lastSeen": begun,
            "sessions": 1, "paths": ["/a"],
        }  # fmt: skip
        assert snapshot["users"] == [row]
        assert snapshot["totalUsers"] == snapshot["activeUsers"] == 1
        (event,) = await sent(page)
        assert json.loads(event["data"])["users"] == []
        assert json.loads(event["data"])["totalUsers"] == 0

        clock.advance(5_000)
        await store.heartbeat(SITE, beat(2, "/b", "anna"))
        await look(hub)
        change, moved = await sent(site)
        assert (change["event"], moved["event"]) == ("change", "moved")
        assert json.loads(change["data"])["totalUsers"] == 1
        row |= {"lastSeen": clock.now_ms, "sessions": 2, "paths": ["/a", "/b"]}
        ends = {"asOf": clock.now_ms, "totalUsers": 1}
        assert json.loads(moved["data"]) == row | ends
        # A stream of one page says nothing of others.
        _, online = await sent(page)
        assert online["event"] == "online"
        assert json.loads(online["data"]) == row | ends | {"paths": ["/b"]}

        clock.advance(TIMEOUT_MS + 1)
        await sweep(store)
        await look(hub)
        _, offline = await sent(site)
        assert json.loads(offline["data"]) == {
            "userId": "anna", "lastSeen": begun + 5_000 if begun else 0,
            "asOf": clock.now_ms, "totalUsers": 0,
        }  # fmt: skip


def test_one_who_is_erased_has_gone() -> None:
    change = UserChange("anna", frozenset({"/a"}), 1, None)
    assert not change.paths
    event = change.encoded("offline", None, total=3, as_of=5)
    data = json.loads(event.partition(b"data: ")[2])
    assert data == {"userId": "anna", "lastSeen": 5, "asOf": 5, "totalUsers": 3}


async def test_streams_that_began_at_different_times_are_each_told_once(
    make_users_store: MakeUsersStore,
) -> None:
    store = make_users_store(Clock(), heartbeat_dedup_ms=0)
    hub = Hub(store, FAR)
    async with contextlib.AsyncExitStack() as stack:
        streams: list[tuple[Subscriber, Faces]] = []
        for n in range(6):
            streams.append((await stack.enter_async_context(watching(hub)), Faces()))
            await store.heartbeat(SITE, beat(n, f"/{n}", f"user{n}"))
            if n % 2:  # events between a snapshot and a look are part of both
                await look(hub)
            await store.heartbeat(SITE, beat(n // 2, f"/again{n}", f"user{n // 2}"))
        await look(hub)
        here = await store.users(SITE, limit=100, cursor=None, path=None)
        for stream, faces in streams:
            await told(stream, faces)
            assert faces.here == {row.userId: row.paths for row in here.users}
            assert faces.total == 6


async def test_a_snapshot_names_a_hundred_and_others_as_they_move(
    make_users_store: MakeUsersStore,
) -> None:
    clock = Clock()
    store = make_users_store(clock, heartbeat_dedup_ms=0)
    hub = Hub(store, FAR)
    await store.heartbeats(SITE, [beat(n, "/a", f"user{n:03}") for n in range(USERS_SHOWN + 20)])
    async with watching(hub) as site, watching(hub, "/a") as page:
        for stream in (site, page):
            (event,) = await sent(stream)
            data = json.loads(event["data"])
            assert len(data["users"]) == USERS_SHOWN
            assert data["totalUsers"] == USERS_SHOWN + 20
        # user, where to -> what the site's stream and the page's are told, total on the page
        for session, to, of_site, of_page, total in [
            (110, "/b", ["online user110 /b"], [], 119),  # whoever was not told is told now
            (110, "/c", ["moved user110 /c"], [], 119),
            (110, "/a", ["moved user110 /a"], ["online user110 /a"], 120),
            (5, "/b", ["moved user005 /b"], ["offline user005"], 119),
        ]:
            await store.heartbeat(SITE, beat(session, to, f"user{session:03}"))
            await look(hub)
            assert await told(site) == of_site
            faces = Faces()
            faces.here = {"user005": ["/a"]}
            assert await told(page, faces) == of_page
            assert faces.total == total
        # Nor was a stream that begins after others were told.
        await store.heartbeat(SITE, beat(112, "/b", "user112"))
        await look(hub)
        assert await told(site) == ["online user112 /b"]
        await told(page)
        async with watching(hub) as later:
            assert "user112" not in (await sent(later))[0]["data"]
            await store.heartbeat(SITE, beat(112, "/a", "user112"))
            await look(hub)
            assert await told(later) == ["online user112 /a"]
            assert await told(site) == ["moved user112 /a"]
            await told(page)
        # One who was not told and goes, or logs out, changes the total only.
        for gone in ("end", "logout"):
            if gone == "end":
                await store.end(SITE, f"session-{115:>012}")
            else:
                await store.heartbeat(SITE, beat(116, "/a"))
            await look(hub)
            for stream in (site, page):
                (event,) = await sent(stream)
                assert event["event"] == "change"
                total = 119 if stream is site else 118
                assert json.loads(event["data"])["totalUsers"] == total - (gone == "logout")
                assert total


async def test_a_slow_client_finds_the_newest_of_each_user(
    make_users_store: MakeUsersStore,
) -> None:
    clock = Clock()
    store = make_users_store(clock, heartbeat_dedup_ms=0)
    hub = Hub(store, FAR)
    async with watching(hub) as slow:
        await told(slow)
        for n in range(50):
            clock.advance(1)
            await store.heartbeats(SITE, [beat(n % 3, f"/{n}", f"user{n % 3}")])
            await look(hub)
        await store.end(SITE, f"session-{1:>012}")
        await look(hub)
        assert await told(slow) == ["online user0 /48", "online user2 /47"]
        assert slow._users
        assert not slow._users._waiting


async def test_what_is_too_much_to_keep_becomes_a_snapshot(
    make_users_store: MakeUsersStore,
) -> None:
    store = make_users_store(Clock())
    hub = Hub(store, FAR)
    async with watching(hub) as slow:
        await told(slow)
        for first in range(0, MOST_USERS_KEPT + 200, 100):
            numbers = range(first, first + 100)
            await store.heartbeats(SITE, [beat(n, "/a", f"user{n}") for n in numbers])
            await look(hub)
            assert slow._users
            assert len(slow._users._waiting) <= MOST_USERS_KEPT
        assert await slow.take() == b"", "it is to be caught up again"
        await store.heartbeat(SITE, beat(999, "/b", "late"))
        await look(hub)
        await hub.catch_up(SITE, slow, None)
        snapshot, *later = await sent(slow)
        assert snapshot["event"] == "snapshot"
        assert json.loads(snapshot["data"])["totalUsers"] == MOST_USERS_KEPT + 201
        assert [event["event"] for event in later] == ["change"], "its moment is the same"


async def test_second_tabs_of_many_are_nothing_that_waits(
    make_users_store: MakeUsersStore,
) -> None:
    store = make_users_store(Clock())
    hub = Hub(store, FAR)
    async with watching(hub) as slow:
        for shift in (0, 1000, 2000):
            for first in range(0, MOST_USERS_KEPT, 100):
                numbers = range(first, first + 100)
                beats = [beat(n + shift, "/a", f"user{n}") for n in numbers]
                await store.heartbeats(SITE, beats)
                await look(hub)
            assert len(await told(slow)) == (0 if shift else MOST_USERS_KEPT)


async def test_who_was_named_by_a_snapshot_logs_out(make_users_store: MakeUsersStore) -> None:
    store = make_users_store(Clock(), heartbeat_dedup_ms=0)
    hub = Hub(store, FAR)
    await store.heartbeats(SITE, [beat(1, "/a", "anna"), beat(2, "/a", "bob")])
    async with watching(hub, "/a") as page:
        faces = Faces()
        await told(page, faces)
        await store.heartbeat(SITE, beat(1, "/a"))  # says nothing of a page
        await look(hub)
        assert await told(page, faces) == ["offline anna"]
        assert faces.total == 1


async def test_a_stream_that_begins_between_a_move_and_its_look(
    make_users_store: MakeUsersStore,
) -> None:
    store = make_users_store(Clock(), heartbeat_dedup_ms=0)
    hub = Hub(store, FAR)
    async with watching(hub) as site:
        await store.heartbeat(SITE, beat(1, "/a", "anna"))
        await look(hub)
        await told(site)
        await store.heartbeat(SITE, beat(1, "/b", "anna"))
        async with watching(hub, "/b") as page:
            faces = Faces()
            await told(page, faces)
            assert faces.here == {"anna": ["/b"]}
            await store.end(SITE, f"session-{1:>012}")
            await look(hub)
            assert await told(page, faces) == ["offline anna"]
            assert faces.total == 0
        assert await told(site) == ["offline anna"]


async def test_a_read_that_a_look_has_overtaken_is_not_shared(
    make_users_store: MakeUsersStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_users_store(Clock())
    hub = Hub(store, FAR)
    may_end, ask = asyncio.Event(), store.users

    async def slow(site: str, **options: Any) -> Any:
        page = await ask(site, **options)
        await may_end.wait()
        return page

    async with watching(hub) as first:
        await told(first)
        monkeypatch.setattr(store, "users", slow)
        async with contextlib.AsyncExitStack() as stack:

            async def comes() -> Subscriber:
                return await stack.enter_async_context(watching(hub))

            before = asyncio.create_task(comes())
            await asyncio.sleep(0.05)
            await store.heartbeat(SITE, beat(1, "/a", "anna"))
            await look(hub)
            after = asyncio.create_task(comes())
            await asyncio.sleep(0.05)
            may_end.set()
            for stream in (first, await before, await after):
                faces = Faces()
                await told(stream, faces)
                assert faces.here == {"anna": ["/a"]}


async def test_what_is_lost_begins_anew(make_users_store: MakeUsersStore) -> None:
    store = make_users_store(Clock(), events_maxlen=100)
    hub = Hub(store, FAR)
    await store.heartbeat(SITE, beat(0, "/a", "anna"))
    async with watching(hub) as stream:
        await told(stream)
        await store.end(SITE, f"session-{0:>012}")
        await store.heartbeats(SITE, [beat(n, "/a", "bob") for n in range(1, 600)])
        await look(hub)
        assert await stream.take() == b""
        await hub.catch_up(SITE, stream, None)
        faces = Faces()
        await told(stream, faces)
        assert (faces.kinds, faces.here) == (["snapshot"], {"bob": ["/a"]})
        users = hub._pollers[SITE]._users
        assert users
        assert users._told.keys() == {"bob"}, "what is not true any more is not kept"
        await store.heartbeat(SITE, beat(0, "/a", "anna"))
        await look(hub)
        assert await told(stream) == ["online anna /a"]


async def test_a_look_that_fails_is_made_up_for(
    make_users_store: MakeUsersStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_users_store(Clock())
    hub = Hub(store, FAR)

    async def fails(*args: Any) -> Any:
        raise StoreUnreachable("Redis cannot be reached")

    with hub.subscribed(SITE) as plain:
        await hub.catch_up(SITE, plain, None)
        await sent(plain)
        async with watching(hub) as stream:
            await told(stream)
            with monkeypatch.context() as patched:
                patched.setattr(store, "user_states", fails)
                await store.heartbeat(SITE, beat(1, "/a", "anna"))
                await look(hub)
                assert await told(stream) == []
                assert [event["event"] for event in await sent(plain)] == ["change"]
            await look(hub)
            assert await told(stream) == ["online anna /a"]
            with monkeypatch.context() as patched:
                patched.setattr(store, "user_states", fails)
                patched.setattr("service.live.hub.GIVE_UP_S", 0.01)
                await store.heartbeat(SITE, beat(1, "/b", "anna"))
                await look(hub)
                await asyncio.sleep(0.02)
                await look(hub)
                assert await stream.take() is None, "it cannot tell the present"
                assert [event["event"] for event in await sent(plain)] == ["change"]


@pytest.mark.parametrize("shards", [1, 3])
async def test_streams_without_users_cost_and_say_what_they_did(
    make_users_store: MakeUsersStore, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    store = make_users_store(Clock(), shards)
    hub = Hub(store, FAR)
    calls: list[str] = []

    def noted(name: str) -> None:
        ask = getattr(store, name)

        async def asking(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return await ask(*args, **options)

        monkeypatch.setattr(store, name, asking)

    for name in ("users", "user_states", "count_users"):
        noted(name)
    with hub.subscribed(SITE) as plain:
        await hub.catch_up(SITE, plain, None)
        await sent(plain)
        await store.heartbeat(SITE, beat(1, "/a", "anna"))
        await look(hub)
        alone = await plain.take()
        assert not calls
        assert b"sers" not in (alone or b"")
        async with contextlib.AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(watching(hub)) for _ in range(20)]
            for stream in streams:
                await sent(stream)
            calls.clear()
            await store.heartbeats(SITE, [beat(n, "/b", f"user{n}") for n in range(2, 100)])
            await look(hub)
            assert calls == ["user_states", "count_users"], "one look, however many watch"
            assert len({await stream.take() for stream in streams}) == 1
        (event,) = events_in(await plain.take() or b"")
        assert event["event"] == "change"
        assert "totalUsers" not in event["data"]
        calls.clear()
        await store.heartbeat(SITE, beat(100, "/b", "late"))
        await look(hub)
        assert not calls, "nobody asks for users any more"


async def test_streams_that_come_together_share_calls(
    make_users_store: MakeUsersStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_users_store(Clock())
    hub = Hub(store, FAR)
    await store.heartbeats(SITE, [beat(n, "/a", f"user{n}") for n in range(50)])
    calls: list[str | None] = []
    ask = store.users

    async def counted(site: str, **options: Any) -> Any:
        calls.append(options["path"])
        return await ask(site, **options)

    monkeypatch.setattr(store, "users", counted)
    async with contextlib.AsyncExitStack() as stack:
        paths = [None, "/a", "/b"] * 30
        opened = (stack.enter_async_context(watching(hub, path)) for path in paths)
        await asyncio.gather(*opened)
    assert sorted(map(str, calls)) == ["/a", "/b", "None"]


# A race


RULES = StoreConfig(session_timeout_ms=20_000, heartbeat_dedup_ms=1_000)


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_race_over_three_copies_replays_to_exactly_who_is_here(
    valkey: Server, key_prefix: str, shards: int
) -> None:
    clock, chance = Clock(), random.Random(shards)
    keys = Keys(key_prefix, shards, has_users=lambda site: True)
    copies = [patient_store(valkey.url, keys, RULES) for _ in range(3)]
    for copy in copies:
        copy.clock = clock
    hubs = [Hub(copy, 0.005) for copy in copies]
    users = ["", *(f"user{n}" for n in range(12))]

    async def visitor(copy: PresenceStore) -> None:
        for _ in range(120):
            session, dice = chance.randrange(24), chance.random()
            if dice < 0.75:
                one = beat(session, f"/{chance.randrange(3)}", chance.choice(users))
                await copy.heartbeat(SITE, one)
            elif dice < 0.85:
                await copy.leave(SITE, f"session-{session:>012}")
            elif dice < 0.9:
                await copy.end(SITE, f"session-{session:>012}")
            else:
                clock.advance(chance.randrange(3_000))
                await sweep(copy)
            await asyncio.sleep(0.001 * chance.randrange(4))

    async def client(hub: Hub, path: str | None, faces: Faces) -> None:
        with hub.subscribed(SITE, SubscribeOptions(path=path, users=True)) as subscriber:
            await hub.catch_up(SITE, subscriber, None)
            async for chunk in _events(hub, SITE, subscriber, math.inf):
                for event in events_in(chunk):
                    faces.show(event)
                await asyncio.sleep(0.001 * chance.randrange(15))  # slow, now and then

    shown = [(path, Faces()) for _ in hubs for path in (None, "/0", "/1")]
    hubs_of_clients = [hub for hub in hubs for _ in range(3)]
    clients = [
        asyncio.create_task(client(hub, path, faces))
        for hub, (path, faces) in zip(hubs_of_clients, shown, strict=True)
    ]

    def differing(expected: dict[str | None, tuple[dict[str, list[str]], int]]) -> Iterator[Any]:
        for path, faces in shown:
            if (faces.here, faces.total) != expected[path]:
                yield path, faces.here, faces.total, expected[path]

    await asyncio.gather(*(visitor(copy) for copy in copies for _ in range(4)))
    await sweep(copies[0])
    expected: dict[str | None, tuple[dict[str, list[str]], int]] = {}
    for path in (None, "/0", "/1"):
        page = await copies[0].users(SITE, limit=100, cursor=None, path=path)
        rows = {row.userId: [path] if path else row.paths for row in page.users}
        expected[path] = rows, page.total
    for _ in range(1000):
        if not list(differing(expected)):
            break
        await asyncio.sleep(0.01)
    assert not list(differing(expected))
    assert not any(task.done() for task in clients), "no stream has ended"
    kinds = Counter(kind for _, faces in shown for kind in faces.kinds)
    assert min(kinds[kind] for kind in ("online", "moved", "offline")) > 20, "it was a race"
    for hub in hubs:
        hub.close()
    await asyncio.gather(*clients)
    for hub, copy in zip(hubs, copies, strict=True):
        await hub.settled()
        await copy.close()
