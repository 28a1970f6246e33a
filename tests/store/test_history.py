"""Views and peaks per minute and hour, across the borders of minutes, hours and days."""

import itertools

import pytest

from service import models
from service.store.keys import MS_PER_HOUR
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests.conftest import Clock, MakeStore

MINUTE_MS = 60_000
MIDNIGHT = 21_991 * 24 * MS_PER_HOUR  # 2030-03-18T00:00Z
S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


def beat(n: int, path: str = "/") -> Heartbeat:
    return Heartbeat(f"session-{n:010d}", path, "", "", "")


def view(n: int) -> PageView:
    return PageView(S, f"/{n}")


def believe_hours_behind(store: PresenceStore, hours: int) -> None:
    """Names keys, at every other call, as a service does that has not noticed yet that the hour is
    over."""
    hour, behind = store._runner.hour, itertools.cycle((hours, 0))
    store._runner.hour = lambda: hour() - next(behind)  # type: ignore[method-assign]


def views_of(history: models.History) -> list[int]:
    return [point.views for point in history.points]


def peaks_of(history: models.History) -> list[int]:
    return [point.peakActive for point in history.points]


async def test_a_site_without_a_past_has_empty_minutes(make_store: MakeStore) -> None:
    store = make_store(Clock(MIDNIGHT + 12_345))
    history = await store.history("blog", MINUTE_MS, 3)
    assert history == models.History(
        MINUTE_MS,
        [models.Point(MIDNIGHT - n * MINUTE_MS, 0, 0) for n in (2, 1, 0)],
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
    minutes = await store.history("blog", MINUTE_MS, 4)
    assert [point.at for point in minutes.points] == [
        border + n * MINUTE_MS for n in (-2, -1, 0, 1)
    ]
    assert views_of(minutes) == [0, 3, 2, 0]
    hours = await store.history("blog", MS_PER_HOUR, 2)
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
    minutes = await store.history("blog", MINUTE_MS, 3)
    assert peaks_of(minutes) == [3, 3, 1]  # of this minute nobody has noted anything yet
    hours = await store.history("blog", MS_PER_HOUR, 2)
    assert peaks_of(hours) == [3, 3]


async def test_hours_over_days_and_minutes_over_hours(make_store: MakeStore) -> None:
    clock = Clock(MIDNIGHT - 30 * MS_PER_HOUR)
    store = make_store(clock)
    for n in range(60):
        await store.view("blog", view(n))
        clock.advance(MS_PER_HOUR)
    clock.advance(-MS_PER_HOUR)
    hours = await store.history("blog", MS_PER_HOUR, 72)
    assert views_of(hours) == [0] * 12 + [1] * 60
    minutes = await store.history("blog", MINUTE_MS, 24 * 60)
    assert sum(views_of(minutes)) == 24
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
    history = await store.history("blog", MINUTE_MS, length, every)
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
