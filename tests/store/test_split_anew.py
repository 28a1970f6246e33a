"""A site is split anew: what is followed goes on, and a change that is half done is completed."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from service.errors import StoreBusy, StoreUnreachable, WrongTypeError
from service.redis.scripts import Call, load
from service.store.due import LISTS_LIFE_MS
from service.store.keys import ShardKeys
from service.store.layout import SiteLayouts
from service.store.resharding import carrier
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests.conftest import PATIENCE_S, Clock, MakeStore, on_servers

SESSIONS = [f"session-{n:010d}" for n in range(12)]


def on(path: str) -> list[Heartbeat]:
    return [Heartbeat(session, path, "", "", "") for session in SESSIONS]


async def test_a_stream_goes_on_where_it_stopped(make_store: MakeStore) -> None:
    store, operator = make_store(Clock()), make_store(Clock())
    await store.heartbeats("blog", on("/a"))
    _, positions = await store.stats_and_positions("blog")
    assert len(positions) == 1
    await operator.layouts.change("blog", 4)
    assert await store.heartbeats("blog", on("/b")) == ["moved"] * 12
    known = store.known_positions("blog", ",".join(positions))
    changes = await store.changes("blog", known)
    assert changes
    assert (changes.change.activeVisitors, len(changes.log)) == (12, 12)
    assert {row.path: row.count for row in changes.change.activeByPath} == {"/a": 0, "/b": 12}
    assert (changes.change.arrivals, changes.change.departures) == (0, 0)
    page = await store.events("blog", after=positions[0], limit=100)
    assert [event.type for event in page.events] == ["moved"] * 12
    assert not any(event.gapBefore for event in page.events)
    assert not (await store.events("blog", after=page.next, limit=100)).events


async def test_whoever_meets_a_change_that_is_half_done_completes_it(
    make_store: MakeStore,
) -> None:
    """Announced, and one of two shards retired, when whoever ordered it died."""
    clock = Clock()
    store = make_store(clock, shards=2)
    assert await store.heartbeats("blog", on("/a")) == ["created"] * 12
    announced = store.keys.layouts_of("blog").with_announced(3, int(clock()))
    assert await store.layouts.write("blog", "", str(announced))
    first = store.keys.of_site("blog")[0]
    await store.connection.client.execute_command(
        *Call(load("retire"), first.renamed("retired_"), (clock(), LISTS_LIFE_MS)).eval()
    )
    assert await store.heartbeats("blog", on("/b")) == ["moved"] * 12
    assert store.keys.layouts_of("blog") == announced.switched()
    assert (await store.active("blog")).activeVisitors == 12
    assert SiteLayouts.parse(str(announced)) == announced


@pytest.mark.parametrize("retired", [0, 1])
async def test_a_change_that_cannot_be_completed_is_no_matter_of_other_sites(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, retired: int
) -> None:
    """One of two shards is retired, and the node of the other is down; then a copy is started."""
    clock = Clock()
    store, copy = make_store(clock, shards=2), make_store(clock, shards=2)
    for site in ("well", "stuck", "other"):
        await store.heartbeats(site, on("/a"))
    well = await store.layouts.change("well", 3)
    announced = store.keys.layouts_of("stuck").with_announced(3, int(clock()))
    assert await store.layouts.write("stuck", "", str(announced))
    shards = store.keys.of_site("stuck")
    await store.layouts.close([shards.pop(retired)], "retired_")
    (left,) = shards
    close = copy.layouts.close

    async def closed(shards: Iterable[ShardKeys], past: str) -> None:
        shards = list(shards)
        if left.tag in {shard.tag for shard in shards}:
            raise StoreUnreachable("its node is down")
        await close(shards, past)

    with monkeypatch.context() as patched:
        patched.setattr(copy.layouts, "close", closed)
        await copy.agree_on_shards()
        assert copy.keys.layouts == {"well": well, "stuck": announced}
        assert await copy.heartbeats("well", on("/b")) == ["moved"] * 12
        assert await copy.stats("well") == await store.stats("well")
        assert (await copy.layouts.change("other", 4)).shards == 4
        for _ in range(2):
            with pytest.raises(StoreBusy, match="its node is down"):
                await copy.active("stuck")
        for number in (2, 3, 4):
            with pytest.raises(StoreUnreachable, match="its node is down"):
                await copy.layouts.change("stuck", number)
        with pytest.raises(StoreBusy, match="its node is down"):
            await copy.layouts.forget_earlier("stuck")
        client: Any = copy.connection.client
        broken = copy.keys.of_site("well")[-1]
        await client.rename(broken.active, f"{broken.active}-kept")
        await client.set(broken.active, "by hand")
        with pytest.raises(WrongTypeError):
            await copy.active("well")
        await client.rename(f"{broken.active}-kept", broken.active)
    assert await copy.heartbeats("stuck", on("/b")) == ["moved"] * 12
    assert (await copy.active("stuck")).activeVisitors == 12
    assert copy.keys.layouts_of("stuck").shards == 4


async def test_a_layout_is_not_written_over_by_who_was_frozen(make_store: MakeStore) -> None:
    store = make_store(Clock())
    old = store.keys.layouts_of("blog").with_announced(4, 1)
    await store.layouts.change("blog", 4)
    newest = await store.layouts.change("blog", 3)
    await store.layouts._switch("blog", old)
    await store.layouts.learn()
    assert store.keys.layouts_of("blog") == newest
    # They lead to totals, which are kept for ever.
    assert await store.connection.client.ttl(store.keys.registry) == -1


async def test_who_had_timed_out_before_the_change_has_left(make_store: MakeStore) -> None:
    """Nobody had swept them; who comes back begins anew, and the end of before is told."""
    clock = Clock()
    store = make_store(clock)
    await store.heartbeats("blog", on("/a"))
    clock.advance(store.config.session_timeout_ms)
    await store.layouts.change("blog", 2)
    assert await store.heartbeats("blog", on("/a")) == ["created"] * 12
    for shard in store.keys.with_sessions("blog"):
        await store.sweep(shard.tag)
    events = (await store.events("blog", after="", limit=100)).events
    assert Counter((event.type, event.reason) for event in events) == {
        ("joined", None): 24,
        ("left", "timeout"): 12,
    }


async def test_no_key_is_left_without_an_end(make_store: MakeStore) -> None:
    """Somebody is carried over in the step in which all others leave the only page there is."""
    store = make_store(Clock())
    client: Any = store.connection.client
    for n in range(6):  # pages, in whatever order they are counted
        site, before, after = f"site-{n}", f"/{n}", f"/{n + 1}"
        there, carried = SESSIONS[:2]
        await store.heartbeat(site, Heartbeat(carried, after, "", "", ""))
        await store.layouts.change(site, 2)
        await store.layouts.change(site, 1)
        await store.heartbeat(site, Heartbeat(there, before, "", "", ""))
        both = [Heartbeat(session, after, "", "", "") for session in (carried, there)]
        assert await store.heartbeats(site, both) == ["duplicate", "moved"]
        shard = store.keys.of_site(site)[-1]
        for key in (shard.active, shard.pages, shard.countries):
            assert await client.pttl(key) > 0, key


async def test_unique_visitors_over_two_changes(make_store: MakeStore) -> None:
    """Who is here over a change counts once. Who left and comes back after it counts once on one
    server; on a cluster, whose slots share no count, once more for each change: that day, and in
    the count of all time."""
    clock = Clock()
    store = make_store(clock)
    assert await store.heartbeats("blog", on("/a")) == ["created"] * 12
    await store.layouts.change("blog", 4)
    assert await store.heartbeats("blog", on("/b")) == ["moved"] * 12
    assert await uniques(store) == (12, 12, 12)
    clock.advance(store.config.session_timeout_ms)
    assert await store.heartbeats("blog", on("/b")) == ["created"] * 12
    twice = 12 if store.connection.allows_cross_slot else 24
    assert await uniques(store) == (twice, twice, twice)
    await store.layouts.change("blog", 3)
    clock.advance(24 * 3_600_000)
    assert await store.heartbeats("blog", on("/b")) == ["created"] * 12
    assert await uniques(store) == (12 if twice == 12 else 36, 12, 12)


async def uniques(store: PresenceStore) -> tuple[int, int, object]:
    """Of all time, and of today as two answers have it."""
    stats = await store.stats("blog")
    (today,) = (await store.history("blog", "days", 1)).points
    return stats.uniqueVisitors, stats.uniqueVisitorsToday, today.uniqueVisitors


@on_servers
async def test_a_crowd_goes_on_at_once(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a request of a backend, or a reconnect of everybody: all are let go of where they
    were, before their outcomes are told, however long a busy machine takes."""
    monkeypatch.setattr(carrier, "VALID_S", PATIENCE_S)
    clock = Clock()
    store, crowd = make_store(clock), [f"crowd-{n:010d}" for n in range(1500)]
    for path, outcome, shards in (("/a", "created", 4), ("/b", "moved", 3), ("/c", "moved", 1)):
        beats = [Heartbeat(session, path, "", "", "") for session in crowd]
        assert set(await store.heartbeats("blog", beats)) == {outcome}
        assert (await store.active("blog")).activeVisitors == 1500
        await store.layouts.change("blog", shards)


async def test_a_view_counts_again_from_the_same_moment_on(make_store: MakeStore) -> None:
    """To the millisecond of the clock that the scripts go by, though the session is gone."""
    clock = Clock()
    store = make_store(clock)
    assert await store.heartbeats("blog", on("/a")) == ["created"] * 12
    again_ms = int(clock()) + store.config.view_dedup_ms
    clock.advance(store.config.view_dedup_ms - 1)
    await store.layouts.change("blog", 4)
    assert await store.heartbeats("blog", on("/a")) == ["created"] * 12
    assert (await store.stats("blog")).totalPageViews == 12
    client: Any = store.connection.client
    for session in SESSIONS:
        mark = store.keys.of_session("blog", session).viewed(session, "/a")
        assert await client.execute_command("PEXPIRETIME", mark) == again_ms
