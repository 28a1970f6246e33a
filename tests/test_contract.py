"""The contract of the store, the same on every backend. Times are given, to the millisecond."""

import uuid

import pytest

from service.store import Beat
from tests.conftest import NOW, Clock, MakeStore

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


def beat(path: str = "/", session: str = S, **more: str) -> Beat:
    return Beat(
        session, path, more.get("country", ""), more.get("client", ""), more.get("details", "")
    )


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


async def test_a_duplicate_does_not_prolong_the_life(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    await store.heartbeat("blog", beat())
    clock.advance(9_000)
    assert await store.heartbeat("blog", beat()) == "duplicate"
    clock.advance(111_000)
    assert (await store.active("blog")).activeVisitors == 0


async def test_all_session_ids_are_counted_once(make_store: MakeStore) -> None:
    store = make_store(Clock())
    ids = [str(uuid.UUID(int=n)) for n in range(300)]
    outcomes = await store.heartbeats("blog", [beat(session=i) for i in [*ids, *ids]])
    assert outcomes == ["created"] * 300 + ["duplicate"] * 300
    stats = await store.stats("blog")
    assert (stats.activeVisitors, stats.totalPageViews) == (300, 300)
    assert abs(stats.uniqueVisitors - 300) < 10
    assert stats.asOf == NOW
