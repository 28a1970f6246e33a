"""Views and peaks per minute and hour, across the borders of minutes, hours and days."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from msgspec import UNSET

from service import models
from service.store.keys import MS_PER_HOUR
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests.conftest import Clock, MakeStore

MINUTE_MS = 60_000
DAY_MS = 24 * MS_PER_HOUR
MIDNIGHT = 21_991 * 24 * MS_PER_HOUR  # 2030-03-18T00:00Z
S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


def beat(n: int, path: str = "/") -> Heartbeat:
    return Heartbeat(f"session-{n:010d}", path, "", "", "")


def view(n: int) -> PageView:
    return PageView(S, f"/{n}")


def believe_hours_behind(store: PresenceStore, hours: int) -> None:
    """Names keys, at every other call of a task, as a service does that has not noticed yet that
    the hour is over."""
    hour = store._runner.hour
    behind: dict[Any, Iterator[int]] = {}

    def believed() -> int:
        of_task = behind.setdefault(asyncio.current_task(), itertools.cycle((hours, 0)))
        return hour() - next(of_task)

    store._runner.hour = believed  # type: ignore[method-assign]


def views_of(history: models.History) -> list[int | None]:
    return [point.views for point in history.points]


def peaks_of(history: models.History) -> list[int | None]:
    return [point.peakActive for point in history.points]


def previous_of(history: models.History) -> list[int | None]:
    """The views that were before."""
    return [point.previous.views if point.previous else None for point in history.points]


async def test_a_site_without_a_past_has_empty_minutes(make_store: MakeStore) -> None:
    store = make_store(Clock(MIDNIGHT + 12_345))
    history = await store.history("blog", "minutes", 3)
    assert history == models.History(
        MINUTE_MS,
        [models.Point(MIDNIGHT - n * MINUTE_MS, 0, 0) for n in (2, 1, 0)],
        None,
        MIDNIGHT + 12_345,
    )


# Each border is one of a minute; some are of an hour, one of a day too.
@pytest.mark.parametrize(
    "border",
    [MIDNIGHT, MIDNIGHT - MS_PER_HOUR, MIDNIGHT + 7 * MINUTE_MS, MIDNIGHT + MS_PER_HOUR],
)
@pytest.mark.parametrize("shards, hours_behind", [(1, 0), (1, 1), (3, 0)])
async def test_a_view_belongs_to_the_minute_and_hour_it_was_made_in(
    make_store: MakeStore, border: int, shards: int, hours_behind: int
) -> None:
    clock = Clock(border - 1)
    store = make_store(clock, shards=shards)
    believe_hours_behind(store, hours_behind)
    for n in range(3):
        await store.view("blog", view(n))
    clock.advance(1)
    await store.view("blog", view(3))
    clock.advance(MINUTE_MS - 1)
    await store.view("blog", view(4))
    clock.advance(1)
    minutes = await store.history("blog", "minutes", 4)
    assert [point.at for point in minutes.points] == [
        border + n * MINUTE_MS for n in (-2, -1, 0, 1)
    ]
    assert views_of(minutes) == [0, 3, 2, 0]
    hours = await store.history("blog", "hours", 2)
    assert views_of(hours) == ([3, 2] if border % MS_PER_HOUR == 0 else [0, 5])
    assert hours.points[-1].at == border // MS_PER_HOUR * MS_PER_HOUR


@pytest.mark.parametrize("hours_behind", [0, 1])
async def test_a_minutes_peak_is_the_most_that_were_here_in_it(
    make_store: MakeStore, hours_behind: int
) -> None:
    clock = Clock(MIDNIGHT - MINUTE_MS)
    store = make_store(clock)
    believe_hours_behind(store, hours_behind)
    await store.heartbeats("blog", [beat(n) for n in range(3)])
    await store.end("blog", beat(0).session_id)
    await store.end("blog", beat(1).session_id)
    await store.heartbeat("blog", beat(3))  # two are here now, but there were three
    clock.advance(MINUTE_MS)
    await store.heartbeat("blog", beat(4))
    clock.advance(MINUTE_MS)
    minutes = await store.history("blog", "minutes", 3)
    assert peaks_of(minutes) == [3, 3, 1]  # of this minute nobody has noted anything yet
    hours = await store.history("blog", "hours", 2)
    assert peaks_of(hours) == [3, 3]


async def test_hours_over_days_and_minutes_over_hours(make_store: MakeStore) -> None:
    clock = Clock(MIDNIGHT - 30 * MS_PER_HOUR)
    store = make_store(clock)
    for n in range(60):
        await store.view("blog", view(n))
        clock.advance(MS_PER_HOUR)
    clock.advance(-MS_PER_HOUR)
    hours = await store.history("blog", "hours", 72)
    assert views_of(hours) == [0] * 12 + [1] * 60
    minutes = await store.history("blog", "minutes", 24 * 60)
    assert sum(views or 0 for views in views_of(minutes)) == 24
    assert [point.at for point in minutes.points if point.views] == [
        clock.now_ms - n * MS_PER_HOUR for n in reversed(range(24)) if clock.now_ms
    ]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(
    "length, every, begins, views, peaks",
    [
        # It is 00:07. A point begins at a multiple of `every`, and the last is not over.
        (8, 4, [0, 4], [4, 4], [4, 8]),
        (9, 4, [0, 4], [4, 4], [4, 8]),
        (10, 5, [0, 5], [5, 3], [5, 8]),
        (10, 10, [0], [8], [8]),
        (1, 10, [0], [8], [8]),
        (3, 1, [5, 6, 7], [1, 1, 1], [6, 7, 8]),
    ],
)
async def test_some_minutes_make_one_point(
    make_store: MakeStore,
    shards: int,
    length: int,
    every: int,
    begins: list[int],
    views: list[int],
    peaks: list[int],
) -> None:
    clock = Clock(MIDNIGHT)
    store = make_store(clock, shards=shards, session_timeout_ms=60 * MINUTE_MS)
    for n in range(8):
        await store.heartbeat("blog", beat(n))
        clock.advance(MINUTE_MS)
    clock.advance(-1)
    history = await store.history("blog", "minutes", length, every)
    assert history.resolutionMs == every * MINUTE_MS
    assert [(point.at - MIDNIGHT) // MINUTE_MS for point in history.points] == begins
    assert views_of(history) == views
    if shards == 1:  # over shards it is an upper bound
        assert peaks_of(history) == peaks


async def test_minutes_end_after_two_days_and_hours_after_a_year(make_store: MakeStore) -> None:
    store = make_store(Clock(MIDNIGHT))
    await store.heartbeat("blog", beat(0))
    keys, client = store.keys.of_site("blog")[0], store.connection.client
    hour = MIDNIGHT // MS_PER_HOUR
    for name, hours in ((keys.minutes_of(hour), 48), (keys.hours_of(hour), 400 * 24)):
        assert await client.hgetall(name) == {"views:00": "1", "peak:00": "1"}
        assert (hours - 1) * MS_PER_HOUR < await client.pttl(name) <= hours * MS_PER_HOUR
    life_ms = await client.pttl(keys.uniques_of(hour))
    assert 399 * 24 * MS_PER_HOUR < life_ms <= 400 * 24 * MS_PER_HOUR


# Days, and what was before


@pytest.mark.parametrize("shards", [1, 3])
async def test_days_have_unique_visitors_and_are_null_before_tracking_began(
    make_store: MakeStore, shards: int
) -> None:
    clock = Clock(MIDNIGHT + 5 * MS_PER_HOUR)
    store = make_store(clock, shards=shards)
    for visitors in (3, 0, 1, 2):
        for n in range(visitors):
            for path in ("/a", "/b"):
                await store.heartbeat("blog", beat(n, path))
            await store.end("blog", beat(n).session_id)
        clock.advance(DAY_MS)
    clock.advance(-DAY_MS)
    days = await store.history("blog", "days", 6)
    assert days.resolutionMs == DAY_MS
    assert days.trackingSince == MIDNIGHT + 5 * MS_PER_HOUR
    assert [point.at for point in days.points] == [MIDNIGHT + n * DAY_MS for n in range(-2, 4)]
    assert [point.uniqueVisitors for point in days.points] == [None, None, 3, 0, 1, 2]
    assert views_of(days) == [None, None, 6, 0, 2, 4]
    assert peaks_of(days)[:2] == [None, None]
    if shards == 1:  # over shards it is an upper bound
        assert peaks_of(days)[2:] == [1, 0, 1, 1]
    # A visitor of two days is one of the two days together.
    two = await store.history("blog", "days", 4, every=2)
    assert [point.at % (2 * DAY_MS) for point in two.points] == [0, 0]
    assert (await store.history("nobody", "days", 1)).points[0].views is None


# Day n, from the first to the 31st, had n views in each hour. Tracking began at 05:00 of the first,
# and of the last it is 02:30.
@pytest.mark.parametrize(
    "unit, length, every, compare, views, previous",
    [
        ("hours", 3, 1, "day", [31, 31, 31], [30, 30, None]),
        ("hours", 3, 1, "week", [31, 31, 31], [24, 24, None]),
        ("hours", 3, 1, "4weeks", [31, 31, 31], [14, 14, None]),  # of 24, 17, 10 and 3
        ("hours", 4, 2, "day", [62, 31], [60, None]),
        ("days", 3, 1, "day", [24 * 29, 24 * 30, 93], [24 * 28, 24 * 29, None]),
        ("days", 2, 1, "week", [24 * 30, 93], [24 * 23, None]),
        ("days", 2, 1, "4weeks", [24 * 30, 93], [300, None]),  # 24 times 23, 16, 9 and 2
        # Of those four only what is known counts: 22, 15, 8, and no more than a part of the first.
        ("days", 3, 1, "4weeks", [24 * 29, 24 * 30, 93], [24 * 15, 300, None]),
        ("minutes", 3, 1, "day", [7, 0, 0], [5, 0, None]),
    ],
)
@pytest.mark.parametrize("shards", [1, 3])
async def test_each_point_has_what_was_before(
    make_store: MakeStore,
    shards: int,
    unit: str,
    length: int,
    every: int,
    compare: str,
    views: list[int],
    previous: list[int | None],
) -> None:
    store = await store_with_a_month(make_store, shards)
    history = await store.history("blog", unit, length, every, compare)
    assert (views_of(history), previous_of(history)) == (views, previous)


@pytest.mark.parametrize(
    "unit, length, every, compare, visitors, tables",
    [
        ("days", 400, 1, None, 400, 400),
        ("days", 400, 2880, None, 401, 401),
        ("days", 1, 2880, None, 401, 401),
        ("days", 364, 7, "4weeks", 364 + 28, 364 + 28),
        ("hours", 9600, 2880, None, 0, 401),
        ("minutes", 2880, 2880, None, 0, 49),
    ],
)
async def test_no_more_is_read_than_may_be_there(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch,
    unit: str, length: int, every: int, compare: str | None, visitors: int, tables: int,
) -> None:  # fmt: skip
    """Anybody may ask; a table is a command, and each day of a union takes Redis 7 some 40 µs."""
    store = await store_with_a_month(make_store)
    look, seen = store._runner.look, Counter[str]()

    async def counted(commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        listed = list(commands)
        for name, *keys in listed:
            seen[name] += len(keys)
        return await look(listed)

    monkeypatch.setattr(store._runner, "look", counted)
    assert (await store.history("blog", unit, length, every, compare)).points
    assert (seen["PFCOUNT"] > 0) == (visitors > 0)
    assert seen["PFCOUNT"] <= visitors
    assert 0 < seen["HGETALL"] <= tables


async def test_what_is_not_known_is_null_not_nothing(make_store: MakeStore) -> None:
    store = await store_with_a_month(make_store)
    hours = await store.history("blog", "hours", 31 * 24, compare="day")
    known = [point.at for point in hours.points if point.previous]
    assert known[0] == MIDNIGHT + (24 + 24 + 5) * MS_PER_HOUR  # a day after tracking began
    assert known == [point.at for point in hours.points[:-1] if point.at >= known[0]]
    # Minutes are kept for two days.
    minutes = await store.history("blog", "minutes", 2880, compare="day")
    assert minutes.points[1440 - 2].previous is None
    assert minutes.points[1440].previous is not None
    without = await store.history("blog", "minutes", 2880)
    assert {point.previous for point in without.points} == {UNSET}


async def store_with_a_month(make_store: MakeStore, shards: int = 1) -> PresenceStore:
    """As if it had been running; what is counted is in one of its shards."""
    clock = Clock(MIDNIGHT + 31 * DAY_MS + int(2.5 * MS_PER_HOUR))
    store = make_store(clock, shards=shards)
    client: Any = store.connection.client
    keys = store.keys.of_site("blog")[-1]
    await client.hset(keys.totals, "since", MIDNIGHT + DAY_MS + 5 * MS_PER_HOUR)
    for day in range(1, 32):
        hours = range(5 if day == 1 else 0, 3 if day == 31 else 24)
        table = {f"views:{hour:02}": day for hour in hours}
        await client.hset(keys.hours_of((MIDNIGHT + day * DAY_MS) // MS_PER_HOUR), mapping=table)
    for day, views in ((30, 5), (31, 7)):
        hour = (MIDNIGHT + day * DAY_MS) // MS_PER_HOUR + 2
        await client.hset(keys.minutes_of(hour), "views:28", views)
    return store
