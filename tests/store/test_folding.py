"""The numbers of former layouts are folded into one shard: every answer stays what it was."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest

from service.errors import StoreBusy
from service.ops.doctor import Doctor
from service.store.keys import Keys
from service.store.layout import SiteLayouts
from service.store.resharding import archive
from service.store.resharding.archive import ArchiveWriter
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests.conftest import Clock, MakeStore

SESSIONS = [f"session-{n:010d}" for n in range(12)]
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MIDNIGHT = 21_991 * DAY_MS
CAME = '{"sources":"source search.example\\tdevice phone"}'


def on(path: str, sessions: list[str] = SESSIONS, details: str = "") -> list[Heartbeat]:
    has_sources = "sources" in details
    return [Heartbeat(session, path, "", "", details, "", has_sources) for session in sessions]


def quick(store: PresenceStore) -> PresenceStore:
    """One that does not wait for other copies, of which there are none."""
    store.folding.settle_s = 0
    return store


async def grown(store: PresenceStore, clock: Clock, numbers: tuple[int, ...] = (4, 3)) -> None:
    """Has a site be split again and again, each time on another day, with another crowd."""
    await store.heartbeats("blog", on("/a", details=CAME))
    await store.heartbeats("blog", on("/b", SESSIONS[:6]))
    for n, number in enumerate(numbers):
        await store.layouts.change("blog", number)
        await store.heartbeats("blog", on(f"/{n}", SESSIONS[: 8 + n]))
        clock.advance(DAY_MS)
        await sweep(store)
        await store.heartbeats("blog", on("/a", [*SESSIONS[:5], f"newcomer-{n:09d}"]))
    await sweep(store)


async def sweep(store: PresenceStore) -> None:
    """Has everybody who is gone be gone."""
    for shard in store.keys.with_sessions("blog"):
        while (await store.sweep(shard.tag)).backlog:
            pass


async def answers(store: PresenceStore) -> dict[str, Any]:
    """All that is answered of a site."""
    stats, _ = await store.stats_and_positions("blog")
    return {
        "stats": stats,
        "active": await store.active("blog", "/a"),
        "arrivals": await store.arrivals("blog", 30),
        "views": await store.views("blog", after="", limit=1000),
        "events": await store.events("blog", after="", limit=1000),
        "newest": await store.newest_events("blog", 50),
        "sessions": await store.sessions("blog", limit=50, cursor=None, path=None),
        **{
            unit: await store.history("blog", unit, length)
            for unit, length in (("minutes", 60), ("hours", 72), ("days", 5))
        },
    }


def text(answer: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(answer)).decode()


def without_uniques(answer: Any) -> str:
    return re.sub(r'("uniqueVisitors(Today)?":) \d+', r"\1 …", text(answer))


async def test_every_answer_stays_what_it_was(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ROWS_AT_ONCE", 2)  # there are four pages
    clock = Clock()
    store = quick(make_store(clock))
    await grown(store, clock)
    before = await answers(store)
    uniques = before["stats"].uniqueVisitors
    assert [row.count for row in before["arrivals"].sources] == [12]
    folded = await store.folding.fold("blog")
    assert (folded.shards, folded.ready_ms, folded.here) == (5, 0, 0)
    after = await answers(store)
    if not store.connection.allows_cross_slot:
        # Of shards in several slots each counts for itself; in the archive they count together.
        assert after["stats"].uniqueVisitors < uniques
    told = text if store.connection.allows_cross_slot else without_uniques
    assert {name: told(answer) for name, answer in after.items()} == {
        name: told(answer) for name, answer in before.items()
    }
    assert len(store.keys.of_site("blog")) == 1 + 3
    assert len(store.keys.with_sessions("blog")) == 3
    doctor = Doctor(store.connection, store.keys, store.config)
    assert (await doctor.check("blog")).findings == []


async def test_what_is_folded_is_gone(make_store: MakeStore) -> None:
    """But for logs, whose positions everybody keeps, and what stands in the place of the rest."""
    clock = Clock()
    store = quick(make_store(clock))
    await grown(store, clock)
    former = [shard.tag for shard in store.keys.of_site("blog")[:5]]
    await store.folding.fold("blog")
    client: Any = store.connection.client
    left = {
        name.partition("}:")[2].partition(":")[0]
        for tag in former
        async for name in client.scan_iter(match=f"{store.keys.prefix}:{{{tag}}}:*")
    }
    of_sessions = {"session", "viewed"}  # which expire
    assert left - of_sessions - {"events"} <= {
        "views", "active", "uniques", "retired_active", "retired_uniques"
    }  # fmt: skip


@contextmanager
def wrong_clock(store: PresenceStore, by_ms: int) -> Iterator[None]:
    """Has the clock of a copy be set wrong each time that Redis has told it the time."""
    runner, error_ms = store._runner, by_ms
    right = runner.about_now_ms

    def asking(ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*args: Any, **options: Any) -> Any:
            nonlocal error_ms
            error_ms = 0
            try:
                return await ask(*args, **options)
            finally:
                error_ms = by_ms

        return asked

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runner, "about_now_ms", lambda: right() + error_ms)
        for name in ("read", "replies"):
            patched.setattr(runner, name, asking(getattr(runner, name)))
        yield


@pytest.mark.parametrize("by_ms", [-HOUR_MS, -DAY_MS, 3 * DAY_MS, 500 * DAY_MS], ids="{}".format)
async def test_by_the_clock_of_redis_alone(make_store: MakeStore, by_ms: int) -> None:
    """Whoever folds has a clock of its own that is wrong: no hour and no day is left out, all are
    kept as long as before, and nothing dated stays where it was."""
    clock = Clock(MIDNIGHT)  # of this hour and of this day nothing is counted before
    store, other = quick(make_store(clock)), make_store(clock)
    await other.heartbeats("blog", on("/a", details=CAME))
    await other.layouts.change("blog", 2)
    clock.advance(other.keys.carried_within_ms)
    await sweep(other)
    before = await answers(other)
    assert before["stats"].uniqueVisitorsToday == 12
    with wrong_clock(store, by_ms):
        folded = await store.folding.fold("blog")
    assert folded.shards == 1
    await other.layouts.learn()
    assert {name: text(answer) for name, answer in (await answers(other)).items()} == {
        name: text(answer) for name, answer in before.items()
    }
    client: Any = other.connection.client
    lives_ms = dict.fromkeys(("hours", "sources", "uniques"), 400 * DAY_MS)
    for kind, life_ms in {"minutes": 2 * DAY_MS, **lives_ms}.items():
        (name,) = [name async for name in client.scan_iter(f"{other.keys.prefix}:*:{kind}:*")]
        assert f"{{blog/@{clock()}}}" in name
        assert life_ms < await client.pttl(name) <= life_ms + DAY_MS


async def test_a_site_may_be_folded_again_and_again(make_store: MakeStore) -> None:
    clock = Clock()
    store = quick(make_store(clock))
    await grown(store, clock, (2,))
    assert (await store.folding.fold("blog")).shards == 1
    await grown(store, clock, (3,))
    before = await answers(store)
    assert (await store.folding.fold("blog")).shards == 2
    after = await answers(store)
    assert (await store.folding.fold("blog")).shards == 0
    for name in ("views", "events", "hours", "arrivals", "sessions"):
        assert text(after[name]) == text(before[name])
    assert after["stats"].pageStats == before["stats"].pageStats
    assert len(await archives(store)) == 1


async def archives(store: PresenceStore) -> set[str]:
    """The tags of shards that have what an archive has."""
    client: Any = store.connection.client
    closed = {"active", "uniques"}  # what stands in the place of one that was replaced
    names = [
        name.removeprefix(f"{store.keys.prefix}:{{").partition("}:")
        async for name in client.scan_iter(match=f"{store.keys.prefix}:{{blog/@*")
    ]
    kept = {tag for tag, _, name in names if name not in closed}
    return kept - {"blog/@0"}  # which has the list of them


async def test_pages_have_the_type_that_was_told_last(make_store: MakeStore) -> None:
    """Also where a page has had another type in an earlier layout, and before that is folded."""
    clock = Clock()
    store = quick(make_store(clock))
    for number, kind in ((2, "draft"), (3, "article"), (1, "")):
        told = f'{{"type":"{kind}"}}' if kind else ""
        await store.heartbeats("blog", on("/a", details=told))
        await store.layouts.change("blog", number)
        clock.advance(DAY_MS)
        for shard in store.keys.with_sessions("blog"):
            await store.sweep(shard.tag)
    before = (await store.stats("blog")).pageStats
    assert [row.pageType for row in before] == ["article"]
    assert (await store.folding.fold("blog")).shards == 6
    assert (await store.stats("blog")).pageStats == before


async def test_an_answer_that_is_lost(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after Redis has written the layouts: asked again, it says that
    somebody else has changed them."""
    clock = Clock()
    store = quick(make_store(clock))
    await grown(store, clock)
    before = await store.stats("blog")
    write = store.layouts.write

    async def write_twice(*args: str) -> bool:
        await write(*args)
        return await write(*args)

    monkeypatch.setattr(store.layouts, "write", write_twice)
    assert (await store.folding.fold("blog")).shards == 5
    after = await store.stats("blog")
    assert (after.totalPageViews, after.pageStats) == (before.totalPageViews, before.pageStats)


async def test_what_is_gone_before_it_is_whole(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever folds is stopped for an hour, or Redis fails over: nothing is removed for it."""
    clock = Clock()
    store = quick(make_store(clock))
    await grown(store, clock)
    before = await store.stats("blog")
    write = ArchiveWriter.write

    async def write_too_long(writer: ArchiveWriter) -> None:
        await write(writer)
        await store._runner.commands([("UNLINK", writer._archive.totals)])

    with monkeypatch.context() as patched:
        patched.setattr(ArchiveWriter, "write", write_too_long)
        with pytest.raises(StoreBusy, match="try again"):
            await store.folding.fold("blog")
    assert text(await store.stats("blog")) == text(before)
    assert await archives(store) == set()
    assert (await store.folding.fold("blog")).shards == 5


async def test_nothing_of_half_an_archive_stays(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    store = quick(make_store(clock))
    await grown(store, clock)

    async def stop(_: ArchiveWriter) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(ArchiveWriter, "keep", stop)
        with pytest.raises(Stopped):
            await store.folding.fold("blog")
    (tag,) = await archives(store)
    client: Any = store.connection.client
    names = [name async for name in client.scan_iter(match=f"{store.keys.prefix}:{{{tag}}}:*")]
    assert {"totals", "top", "uniques", "hours", "sources"} <= {
        name.partition("}:")[2].partition(":")[0] for name in names
    }
    lives = await store._runner.commands(("PTTL", name) for name in names)
    assert 0 < min(lives) <= max(lives) <= 3_600_000
    # A doctor who comes by has nothing to say about it.
    doctor = Doctor(store.connection, store.keys, store.config)
    assert (await doctor.check("blog")).findings == []


async def test_what_nobody_has_removed_yet(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever folds is killed before that: the doctor says who removes it, and nothing else."""
    clock = Clock()
    store = quick(make_store(clock))

    async def stop(_: str) -> None:
        raise Stopped

    for number in (2, 3):  # then with an archive that is replaced
        await grown(store, clock, (number,))
        with monkeypatch.context() as patched:
            patched.setattr(store.folding, "_remove", stop)
            with pytest.raises(Stopped):
                await store.folding.fold("blog")
        doctor = Doctor(store.connection, store.keys, store.config)
        checkup = await doctor.check("blog")
        assert (checkup.findings, checkup.needless) == ([], {"blog"})
        if number == 2:
            continue
        await store.folding.fold("blog")
        checkup = await doctor.check("blog")
        assert (checkup.findings, checkup.needless) == ([], set())
        assert len(await archives(store)) == 1


async def test_an_archive_is_newer_than_the_one_it_replaces(make_store: MakeStore) -> None:
    """Also by a clock that was set back."""
    clock = Clock()
    store = quick(make_store(clock))
    await grown(store, clock, (2,))
    first = (await store.folding.fold("blog")).layouts.archive
    await grown(store, clock, (3,))
    assert first
    clock.advance(first.since_ms - DAY_MS - int(clock()))
    changed = store.keys.layouts_of("blog")
    older = tuple(one._replace(since_ms=one.since_ms - 9 * DAY_MS) for one in changed.in_force)
    await store.layouts.write("blog", str(changed), str(changed._replace(in_force=older)))
    second = (await store.folding.fold("blog")).layouts.archive
    assert second
    assert second.layouts > first.layouts
    assert second.since_ms == first.since_ms + 1


async def test_sites_go_on(make_store: MakeStore) -> None:
    clock = Clock()
    store = quick(make_store(clock))
    await grown(store, clock)
    _, positions = await store.stats_and_positions("blog")
    cursor = (await store.events("blog", after="", limit=1000)).next
    await store.folding.fold("blog")
    # Who has read all that came before is told what comes after, once.
    assert await store.changes("blog", positions) is None
    stats, positions = await store.stats_and_positions("blog")
    assert await store.heartbeats("blog", on("/new", ["session-of-after1"])) == ["created"]
    changes = await store.changes("blog", positions)
    assert changes
    assert [entry.event.type for entry in changes.log] == ["joined"]
    assert changes.change.totalPageViews == stats.totalPageViews + 1
    again = await store.changes("blog", changes.positions)
    assert again
    assert again.log == []
    page = await store.events("blog", after=cursor, limit=100)
    assert [event.type for event in page.events] == ["joined"]
    assert not page.events[0].gapBefore
    # And the number may change once more.
    assert (await store.layouts.change("blog", 2)).archive
    assert await store.heartbeats("blog", on("/newer", ["session-of-after1"])) == ["moved"]
    changes = await store.changes("blog", changes.positions)
    assert changes
    assert [entry.event.type for entry in changes.log] == ["moved"]
    assert (await store.stats("blog")).totalPageViews == stats.totalPageViews + 2


async def test_only_what_nothing_of_a_session_can_be_left_in(make_store: MakeStore) -> None:
    clock = Clock()
    store = quick(make_store(clock))
    await store.heartbeats("blog", on("/a"))
    assert (await store.folding.fold("blog")).layouts.archive is None
    changed = await store.layouts.change("blog", 2)
    since_ms = changed.current.since_ms
    folded = await store.folding.fold("blog")
    assert (folded.shards, folded.ready_ms) == (0, since_ms + store.keys.carried_within_ms)
    clock.advance(store.keys.carried_within_ms)
    folded = await store.folding.fold("blog")
    assert (folded.shards, folded.here) == (0, 12)  # nobody has swept them
    await sweep(store)
    assert (await store.folding.fold("blog")).shards == 1
    # Of several layouts those that are old enough.
    await store.layouts.change("blog", 3)
    clock.advance(store.keys.carried_within_ms)
    newest = await store.layouts.change("blog", 1)
    folded = await store.folding.fold("blog")
    assert folded.shards == 2
    assert folded.ready_ms == newest.current.since_ms + store.keys.carried_within_ms


async def test_a_copy_that_has_not_heard(make_store: MakeStore) -> None:
    """It was frozen while the numbers moved: it asks again instead of answering without them."""
    clock = Clock()
    store, frozen = quick(make_store(clock)), make_store(clock)
    await grown(store, clock)
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "stats": lambda: frozen.stats("blog"),
        "active": lambda: frozen.active("blog"),
        "hours": lambda: frozen.history("blog", "hours", 72),
        "arrivals": lambda: frozen.arrivals("blog", 30),
        "sites": lambda: frozen.sites(["blog"]),
        "sessions": lambda: frozen.sessions("blog", limit=50, cursor=None, path=None),
    }
    await frozen.layouts.learn()
    known = frozen.keys.layouts
    await store.folding.fold("blog")
    for name, ask in asked.items():
        await store.layouts.learn()
        expected = text(await ask())
        assert frozen.keys.layouts_of("blog").archive, name
        frozen.keys.know(known, 1)
        assert text(await ask()) == expected, name


async def test_two_at_once(make_store: MakeStore) -> None:
    clock = Clock()
    stores = [quick(make_store(clock)) for _ in range(2)]
    await grown(stores[0], clock)
    before = await stores[0].stats("blog")
    results = await asyncio.gather(
        *(store.folding.fold("blog") for store in stores), return_exceptions=True
    )
    assert all(isinstance(one, (tuple, StoreBusy)) for one in results), results
    await stores[0].layouts.learn()
    after = await stores[0].stats("blog")
    assert (after.totalPageViews, after.pageStats) == (before.totalPageViews, before.pageStats)


def tell_before_each_call(
    monkeypatch: pytest.MonkeyPatch, store: PresenceStore, hook: Callable[[int], Awaitable[None]]
) -> None:
    """Has each call of plain commands wait for `hook`, which is told its number, from 1."""
    commands, numbers = store._runner.commands, itertools.count(1)

    async def hooked(given: Any) -> list[Any]:
        await hook(next(numbers))
        return await commands(given)

    monkeypatch.setattr(store._runner, "commands", hooked)


@pytest.mark.parametrize("calls", [1, 2, 14, 26, 37])
@pytest.mark.parametrize("backend_url", ["valkey"], indirect=True)
async def test_another_one_is_faster(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """What the slower one reads is removed by then: it asks again, and finds nothing to do."""
    clock = Clock()
    slow, fast = quick(make_store(clock)), quick(make_store(clock))
    await grown(slow, clock)
    before = await fast.stats("blog")

    async def hook(call: int) -> None:
        if call == calls:
            await fast.folding.fold("blog")

    tell_before_each_call(monkeypatch, slow, hook)
    with suppress(StoreBusy):  # "somebody else": it had read all before
        await slow.folding.fold("blog")
    for store in (slow, fast):
        await store.layouts.learn()
        assert text(await store.stats("blog")) == text(before)


class Stopped(Exception):
    """Who folds is killed here."""


@pytest.mark.parametrize("calls", range(1, 40, 3))
@pytest.mark.parametrize("backend_url", ["valkey"], indirect=True)
async def test_whoever_is_killed_leaves_nothing_wrong(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """After so many calls; then somebody else does it."""
    clock = Clock()
    store, other = quick(make_store(clock)), quick(make_store(clock))
    await grown(store, clock)
    before = await other.stats("blog")

    async def hook(call: int) -> None:
        if call > calls:
            raise Stopped

    with monkeypatch.context() as patched:
        tell_before_each_call(patched, store, hook)
        try:
            await store.folding.fold("blog")
        except Stopped:
            assert text(await other.stats("blog")) == text(before)
    await other.folding.fold("blog")
    assert text(await other.stats("blog")) == text(before)
    assert (await Doctor(other.connection, other.keys, other.config).check("blog")).findings == []
    client: Any = store.connection.client
    former = {
        shard.totals
        for shard in other.keys.of_layouts("blog", other.keys.layouts_of("blog").folded)
    }
    assert not await client.exists(*former)
    now = other.keys.layouts_of("blog").archive
    assert now
    assert await archives(other) == {f"blog/@{now.since_ms}"}


@pytest.mark.parametrize("backend_url", ["valkey"], indirect=True)
async def test_more_pages_than_rows(make_store: MakeStore) -> None:
    """An archive has no more rows than another shard: those of the most viewed pages."""
    clock = Clock()
    store = quick(make_store(clock, max_paths=5))
    for n in range(5):
        await store.heartbeats("blog", on(f"/{n}", SESSIONS[: 5 - n]))
    await store.layouts.change("blog", 2)
    for n in range(3, 9):
        await store.heartbeats("blog", on(f"/{n}", [f"another-{k:010d}" for k in range(n)]))
    await store.layouts.change("blog", 1)
    clock.advance(DAY_MS)
    for shard in store.keys.with_sessions("blog"):
        await store.sweep(shard.tag)
    before = await store.stats("blog")
    await store.folding.fold("blog")
    after = await store.stats("blog")
    assert after.totalPageViews == before.totalPageViews
    rows = {row.path: row.views for row in after.pageStats}
    assert len(rows) == 6
    assert sum(rows.values()) == after.totalPageViews
    known = {row.path: row.views for row in before.pageStats}
    assert all(rows[path] == known[path] for path in rows if path != "__other__")


@pytest.mark.parametrize(
    "text",
    ["0:1:0", "1:4:17 0:1:0", "!3:2:19 2:3:18 1:4:17 0:1:0 folded=2@20", "5:1:18 folded=0@3"],
)
def test_layouts_as_the_registry_has_them(text: str) -> None:
    assert str(SiteLayouts.parse(text)) == text


def test_the_shards_of_a_site() -> None:
    keys = Keys("p")
    keys.know({"blog": SiteLayouts.parse("2:2:18 1:2:17 0:1:0 folded=2@20")})
    assert [shard.tag for shard in keys.of_site("blog")] == ["blog/@20", "blog/0@2.1", "blog/1@2.1"]
    assert [shard.past for shard in keys.with_logs("blog")] == ["folded_"] * 3 + [""] * 2
    assert keys.of_tag("blog/@20").past == ""
    assert keys.of_tag("blog/@19").past == "retired_"
    assert keys.of_tag("blog/@21").past == ""  # one that is begun
    assert keys.of_tag("blog").past == "folded_"
    assert keys.of_tag("blog/0@1").renamed("folded_") == (
        "p:{blog/0@1}:retired_active",
        "p:{blog/0@1}:folded_active",
        "p:{blog/0@1}:retired_uniques",
        "p:{blog/0@1}:folded_uniques",
    )
