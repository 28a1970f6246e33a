"""A copy that has not heard that a site was split anew: whatever it is asked first, it does and
answers as a copy that has."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.errors import WrongTypeError
from service.models import Erased
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests.conftest import Clock, MakeStore

NOW_MS = int(Clock()())
SESSIONS = [f"session-{n:010d}" for n in range(12)]
SOURCES = '{"sources": "source example.org\\tdevice phone"}'
BEATS = [Heartbeat(session, "/a", "DE", "", SOURCES, "ann", True) for session in SESSIONS]

Asked = Callable[[PresenceStore], Awaitable[Any]]

READS: dict[str, Asked] = {
    "active": lambda copy: copy.active("blog"),
    "count": lambda copy: copy.count("blog", "/b"),
    "stats": lambda copy: copy.stats("blog"),
    "stats_and_positions": lambda copy: copy.stats_and_positions("blog"),
    "on_pages": lambda copy: copy.on_pages("blog", ["/a", "/b"]),
    "changes": lambda copy: copy.changes("blog", ["1-0"]),
    "history": lambda copy: copy.history("blog", "hours", 24),
    "arrivals": lambda copy: copy.arrivals("blog", 2),
    "came": lambda copy: copy.came("blog", []),
    "session": lambda copy: copy.session("blog", SESSIONS[0]),
    "sessions": lambda copy: copy.sessions("blog", limit=50, cursor=None, path=None),
    "events": lambda copy: copy.events("blog", after="", limit=50),
    "newest_events": lambda copy: copy.newest_events("blog", 50),
    "users": lambda copy: copy.users("blog", limit=50, cursor=None, path=None),
    "user": lambda copy: copy.user("blog", "ann"),
    "user_states": lambda copy: copy.user_states("blog", ["ann"]),
    "user_statuses": lambda copy: copy.user_statuses("blog", ["ann"]),
    "count_users": lambda copy: copy.count_users("blog"),
    "webhook_here": lambda copy: copy.webhook_here("blog", "/b"),
    "sites": lambda copy: copy.sites(["blog"]),
}
WRITES: dict[str, tuple[Asked, Any]] = {
    "heartbeat": (lambda copy: copy.heartbeat("blog", BEATS[0]), "moved"),
    "heartbeats": (lambda copy: copy.heartbeats("blog", BEATS), ["moved"] * 12),
    "heartbeat_and_count": (
        lambda copy: copy.heartbeat_and_count("blog", BEATS[0]),
        ("moved", (12, 1, NOW_MS)),
    ),
    "leave": (lambda copy: copy.leave("blog", SESSIONS[0], "/b"), "leaving"),
    "view": (lambda copy: copy.view("blog", PageView(SESSIONS[0], "/c")), "recorded"),
    "end": (lambda copy: copy.end("blog", SESSIONS[0]), True),
    "erase_session": (lambda copy: copy.erase_session("blog", SESSIONS[0]), Erased(1, 5, 2)),
    "erase_user": (lambda copy: copy.erase_user("blog", "ann"), Erased(12, 60, 24)),
}
# They read nothing but logs, in which nothing is ever closed: those of new shards are read as soon
# as the copy hears of them, from their beginning.
LOGS = {"last_events", "views", "last_views_position"}
BY_TAG = {"sweep", "sweep_many"}
WITHOUT_SHARDS = {
    "add_share", "agree_on_shards", "claim", "close", "follow_replicas", "probe", "remove_share",
    "share_digests", "shares", "site_names",
}  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def split_anew(store: PresenceStore) -> None:
    await store.heartbeats("blog", BEATS)
    await store.layouts.change("blog", 4)
    await store.heartbeats("blog", [beat._replace(path="/b") for beat in BEATS])


async def test_reads(make_store: MakeStore, clock: Clock) -> None:
    store = make_store(clock, has_users=True)
    unaware = {name: make_store(clock, has_users=True) for name in READS}
    await split_anew(store)
    for name, ask in READS.items():
        assert await ask(unaware[name]) == await ask(store), name


@pytest.mark.parametrize("name", WRITES)
async def test_writes(make_store: MakeStore, clock: Clock, name: str) -> None:
    store, unaware = (make_store(clock, has_users=True) for _ in range(2))
    await split_anew(store)
    ask, expected = WRITES[name]
    assert await ask(unaware) == expected


async def test_sweeps(make_store: MakeStore, clock: Clock) -> None:
    store, unaware, other = (make_store(clock, has_users=True) for _ in range(3))
    (tag,) = (shard.tag for shard in store.keys.of_site("blog"))
    await store.heartbeats("blog", BEATS)
    await store.layouts.change("blog", 4)
    clock.advance(store.config.session_timeout_ms)
    assert (await unaware.sweep(tag, 5)).removed == 5
    (swept,) = await other.sweep_many([tag])
    assert not isinstance(swept, Exception)
    assert swept.removed == 7


async def test_no_event_is_skipped_after_a_position_in_one_shard(make_store: MakeStore) -> None:
    """It is a moment for all new shards, and the log of the retired one goes on."""
    store, unaware = (make_store(has_users=True) for _ in range(2))  # ids are of Redis's clock
    await store.heartbeats("blog", BEATS[:1])
    began = (await unaware.events("blog", after="", limit=50)).next
    await store.layouts.change("blog", 4)
    for some in (BEATS[1:], BEATS[:1]):  # the last one is carried out of the old shard
        await store.heartbeats("blog", some)
    page = await unaware.events("blog", after=began, limit=50)
    following = await store.events("blog", after=page.next, limit=50)
    told = [*page.events, *following.events]
    assert told == (await store.events("blog", after=began, limit=50)).events
    assert len(told) == 11


async def test_a_key_of_a_wrong_type_is_refused_all_the_same(
    make_store: MakeStore, clock: Clock
) -> None:
    store = make_store(clock)
    (shard,) = store.keys.of_site("blog")
    client: Any = store.connection.client
    await client.set(shard.active, "by hand")
    with pytest.raises(WrongTypeError):
        await store.active("blog")


def test_no_method_is_forgotten(make_store: MakeStore) -> None:
    methods = inspect.getmembers(make_store(Clock()), inspect.iscoroutinefunction)
    public = {name for name, _ in methods if not name.startswith("_")}
    assert public == {*READS, *WRITES, *LOGS, *BY_TAG, *WITHOUT_SHARDS}
