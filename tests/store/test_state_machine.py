"""Any history of several sites, on fakeredis and on Valkey, agrees with the plain model, and the
invariants hold after every step of it."""

import asyncio
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import UNSET

from service.models import Stats
from service.redis.client import connect
from service.redis.connection import Connection
from service.store.config import StoreConfig
from service.store.event_log import CARRIED
from service.store.keys import Keys
from service.store.members import Member
from service.store.sources import KINDS
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests import invariants
from tests.conftest import Clock, patient_store, url_of
from tests.model import DAY_MS, Event, Site
from tests.store.test_history import believe_hours_behind

T = TypeVar("T")
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
RULES = StoreConfig(max_paths=3)
SITES = ("blog", "shop.example")
KNOWS_USERS = "shop.example"
IDS = [f"session-{n:08d}" for n in range(4)]
PLACES = {
    "": ("--", "", ""),
    "DE": ("DE", '{"latitude":"52.5","longitude":"13.4","city":"Berlin"}', "52.5 13.4 DE Berlin"),
    "FR": ("FR", '{"type":"post","referrer":"example.org"}', ""),
}
SOURCES = {
    "": (),
    "ad": ("source example.org", "medium cpc", "campaign a b", "device phone"),
    "direct": ("source --", "device desktop"),
}
MOST_SPLITS = 4
_numbers = itertools.count()

sites = st.sampled_from(SITES)
ids = st.sampled_from(IDS)
paths = st.sampled_from(["/", "/a", "/b c", "/d", "/e"])
places = st.sampled_from(sorted(PLACES))
users = st.sampled_from(["", "", "anna", "bob"])
arrivals = st.sampled_from(sorted(SOURCES))
beats = st.tuples(ids, paths, places, users, st.booleans(), arrivals)
Beat = tuple[str, str, str, str, bool, str]
# Every rule has its border, to the millisecond; the rest lands anywhere.
pauses = st.one_of(
    st.sampled_from(
        [border + slack for slack in (-1, 0, 1) for border in (
            RULES.heartbeat_dedup_ms, RULES.session_timeout_ms, RULES.leave_grace_ms,
            RULES.view_dedup_ms, MINUTE_MS, HOUR_MS,
        )]
    ),
    st.integers(1, 3 * MINUTE_MS),
)  # fmt: skip


def in_turns(given: list[T], who: Callable[[T], Hashable]) -> list[tuple[int, T]]:
    """What is sent at once, numbered, in the order in which it is written: where a session says
    something else again, that travels behind what all others say first."""
    last: dict[Hashable, tuple[int, T]] = {}
    turns = []
    for item in given:
        turn, before = last.get(who(item), (0, item))
        turns.append(turn + (item != before))
        last[who(item)] = turns[-1], item
    return sorted(enumerate(given), key=lambda numbered: turns[numbered[0]])


def in_true_order(entry: tuple[str, dict[str, str]]) -> tuple[int, bool]:
    """Whoever comes back after a change of shards has joined in a new one, and the former one tells
    that they left before when it is swept: `at` has the order."""
    event = entry[1]
    return int(event["at"]), event["type"] != "left" or event["reason"] == "ended"


class PresenceMachine(RuleBasedStateMachine):
    """Does everything twice: in the store and in the model."""

    url: str
    shared: Connection | None = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = {site: Site(RULES) for site in SITES}
        self.prefix = f"m{os.getpid()}-{next(_numbers)}"
        self.splits = 0

    @initialize(
        shards=st.sampled_from([1, 3]),
        # Shortly before the end of a minute, of an hour and of a day.
        start=st.integers(0, 2 * MINUTE_MS).map(lambda ms: 21_991 * DAY_MS - ms),
        expires_at_once=st.booleans(),
        hours_behind=st.sampled_from([0, 1]),
    )
    def begin(self, shards: int, start: int, expires_at_once: bool, hours_behind: int) -> None:
        self.hours_behind = hours_behind
        self.clock = Clock(start)
        self.shards = shards
        self.expires_at_once = expires_at_once
        self.server = connect(self.url) if self.url == "memory://" else None
        self.store = self.make_store()
        self.watcher = self.make_store()  # it knows of each new layout at once

    def make_store(self) -> PresenceStore:
        keys = Keys(self.prefix, self.shards, has_users=lambda site: site == KNOWS_USERS)
        if self.server:
            store = PresenceStore(self.server, keys, RULES)
        else:
            store = patient_store(self.url, keys, RULES)
        store.clock = self.clock
        believe_hours_behind(store, self.hours_behind)
        return store

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def now(self) -> int:
        assert self.clock.now_ms is not None
        return self.clock.now_ms

    @rule(site=sites, given=st.lists(beats, min_size=1, max_size=6))
    def heartbeats(self, site: str, given: list[Beat]) -> None:
        # Two shards that are told two names in one millisecond have no order.
        beats = [
            (i, path, at, user, f"{user} {self.now % 3}" if user and is_named else "", came)
            for i, path, at, user, is_named, came in (
                given if site == KNOWS_USERS else [(*b[:3], "", False, b[5]) for b in given]
            )
        ]
        batch = [
            Heartbeat(
                i,
                path,
                PLACES[at][0].strip("-"),
                "",
                _details(PLACES[at][1], name, SOURCES[came]),
                user,
                bool(came),
            )
            for i, path, at, user, name, came in beats
        ]
        expected = {
            n: self.model[site].heartbeat(
                self.now, i, path, PLACES[at][0], PLACES[at][2], user, name, SOURCES[came]
            )
            for n, (i, path, at, user, name, came) in in_turns(beats, lambda beat: beat[0])
        }
        outcomes = self.run(self.store.heartbeats(site, batch))
        assert dict(enumerate(outcomes)) == expected

    @rule(given=st.lists(st.tuples(sites, ids, paths), min_size=2, max_size=8))
    def heartbeats_of_all_sites(self, given: list[tuple[str, str, str]]) -> None:
        async def at_once() -> list[str]:
            return await asyncio.gather(
                *(
                    self.store.heartbeat(site, Heartbeat(i, path, "", "", ""))
                    for site, i, path in given
                )
            )

        expected = {
            n: self.model[site].heartbeat(self.now, i, path)
            for n, (site, i, path) in in_turns(given, lambda beat: beat[:2])
        }
        assert dict(enumerate(self.run(at_once()))) == expected

    @precondition(lambda self: self.splits < MOST_SPLITS)
    @rule(site=sites, shards=st.integers(1, 4))
    def split_anew(self, site: str, shards: int) -> None:
        """By somebody else: the copy that goes on hears of it when it meets what is retired."""
        self.splits += 1
        layouts = self.run(self.watcher.layouts.change(site, shards))
        assert layouts.shards == shards

    @rule(site=sites)
    def fold(self, site: str) -> None:
        """As `split_anew`, long after: nobody is in earlier shards any more."""
        self.time_passes(self.watcher.keys.carried_within_ms)
        self.sweep(site)
        self.watcher.folding.settle_s = 0
        self.run(self.watcher.folding.fold(site))

    @rule(site=sites, session_id=ids)
    def leave(self, site: str, session_id: str) -> None:
        expected = self.model[site].leave(self.now, session_id)
        assert self.run(self.store.leave(site, session_id)) == expected

    @rule(site=sites, session_id=ids, path=paths)
    def view(self, site: str, session_id: str, path: str) -> None:
        expected = self.model[site].view(self.now, session_id, path)
        page_view = PageView(session_id, path)
        assert self.run(self.store.view(site, page_view)) == expected

    @rule(site=sites, session_id=ids)
    def end(self, site: str, session_id: str) -> None:
        expected = self.model[site].end(self.now, session_id)
        assert self.run(self.store.end(site, session_id)) == expected

    @rule(ms=pauses)
    def time_passes(self, ms: int) -> None:
        self.clock.advance(ms)
        for model in self.model.values():
            model.expire(self.now)
        if self.expires_at_once:
            self.run(self.drop_expired_keys())

    async def drop_expired_keys(self) -> None:
        """What Redis does by itself when the time is not a given one."""
        client: Any = self.store.connection.client
        for kind in ("session", "viewed"):
            async for name in client.scan_iter(match=f"{self.prefix}:*:{kind}:*", count=1000):
                if await client.execute_command("PEXPIRETIME", name) < self.now:
                    await client.delete(name)

    @rule(site=sites)
    def sweep(self, site: str) -> None:
        self.run(self.store.layouts.learn())
        for keys in self.store.keys.with_sessions(site):
            sweep = self.run(self.store.sweep(keys.tag))
            assert (sweep.backlog, sweep.now_ms) == (0, self.now)
            assert sweep.next_ms is None or sweep.next_ms > self.now
        logged = self.run(self.logged_events(site))
        by_session = events_by_session(logged)
        for session_id in IDS:
            expected = self.model[site].events_of(session_id)
            assert Counter(by_session.get(session_id, [])) == Counter(expected)
        if len(self.store.keys.layouts_of(site).in_force) > 1:
            logged.sort(key=in_true_order)
        assert invariants.here_after(logged) == {
            str(Member(session.id, session.country, session.path, session.user))
            for session in self.model[site].sessions.values()
        }

    @rule(site=sites, path=paths)
    def count(self, site: str, path: str) -> None:
        model = self.model[site]
        counted = self.run(self.store.count(site, path))
        assert counted == (model.active(), model.active(path), self.now)

    @rule(site=sites)
    def stats(self, site: str) -> None:
        model, stats = self.model[site], self.run(self.store.stats(site))
        assert stats.activeVisitors == model.active()
        assert [(row.path, row.count) for row in stats.activeByPath] == model.by_path()
        assert [
            (row.country or "--", row.count) for row in stats.activeByCountry
        ] == model.by_country()
        assert [
            (f"{at.latitude} {at.longitude} {at.country} {at.city}", at.count)
            for at in stats.visitorLocations
        ] == model.by_place()
        assert _by_source(stats) == model.by_source()
        assert stats.totalPageViews == len(model.views)
        assert stats.trackingSince == (model.views[0].at if model.views else None)
        assert stats.uniqueVisitors == len(model.uniques)
        assert stats.uniqueVisitorsToday == model.unique_today(self.now)
        views = Counter(view.path for view in model.views)
        top = {row.path: row.views for row in stats.pageStats}
        assert sum(top.values()) == len(model.views)
        if len(views) <= RULES.max_paths:
            assert top == views
        else:  # which of them have a row depends on what travelled together
            others = top.pop("__other__", 0)
            assert all(count <= views[path] for path, count in top.items())
            most = len(model.views) / RULES.max_paths
            assert all(count - top.get(path, 0) <= most for path, count in views.items())
            # Each shard has its own MAX_PATHS.
            assert others or len(self.watcher.keys.of_site(site)) > 1
        assert (stats.sweepBacklog, stats.asOf) == (0, self.now)
        assert stats.activeUsers == (len(model.users_here()) if site == KNOWS_USERS else UNSET)

    @rule(site=sites, days=st.integers(1, 3))
    def arrivals(self, site: str, days: int) -> None:
        model, today = self.model[site], self.now // DAY_MS
        tables = (model.sources_by_day.get(today - n, Counter()) for n in range(days))
        expected = sum(tables, Counter[str]())
        found = self.run(self.store.arrivals(site, days))
        assert _names(found.sources, found.mediums, found.campaigns, found.devices) == expected

    @rule(
        site=sites,
        unit=st.sampled_from([("minutes", MINUTE_MS), ("hours", HOUR_MS)]),
        points=st.integers(1, 200),
    )
    def history(self, site: str, unit: tuple[str, int], points: int) -> None:
        name, resolution = unit
        history = self.run(self.store.history(site, name, points))
        assert len(history.points) == points
        for point in history.points:
            expected = self.model[site].views_within(point.at, point.at + resolution)
            assert point.views == expected, point
        assert history.points[-1].at == self.now // resolution * resolution

    @rule(path=st.one_of(st.none(), paths), limit=st.integers(1, 3))
    def users_here(self, path: str | None, limit: int) -> None:
        model, found, cursor = self.model[KNOWS_USERS], [], None
        while True:
            page = self.run(self.store.users(KNOWS_USERS, limit=limit, cursor=cursor, path=path))
            assert len(page.users) <= limit
            assert page.total == len(model.users_here(path))
            found += page.users
            if (cursor := page.nextCursor) is None:
                break
        assert sorted(row.userId for row in found) == model.users_here(path)
        for row in found:
            expected = model.user(self.now, row.userId)
            assert expected == (row.name or "", row.sessions, row.since, row.paths, row.lastSeen)
        assert self.run(self.store.count_users(KNOWS_USERS, path)) == page.total

    @rule()
    def users_known(self) -> None:
        model = self.model[KNOWS_USERS]
        asked = ["bob", "anna", "nobody"]
        answer = self.run(self.store.user_statuses(KNOWS_USERS, asked))
        for status in answer.statuses:
            expected = model.user(self.now, status.userId)
            if expected is None:
                assert (status.online, status.lastSeen) == (False, None)
            else:
                assert (status.online, status.lastSeen) == (expected[1] > 0, expected[4])
        assert [status.userId for status in answer.statuses] == asked

    @rule(site=sites, session_id=ids)
    def session(self, site: str, session_id: str) -> None:
        found = self.run(self.store.session(site, session_id))
        expected = self.model[site].sessions.get(session_id)
        if found is None or expected is None:
            assert (found, expected) == (None, None)
            return
        assert (found.currentPath, found.lastSeen, found.since, found.expiresAt) == (
            expected.path, expected.seen, expected.since, expected.ends_at,
        )  # fmt: skip

    @rule()
    def restart_of_a_copy(self) -> None:
        if self.server is None:
            self.run(self.store.close())
        self.store = self.make_store()
        self.run(self.store.layouts.learn())  # before it answers anybody

    @precondition(lambda self: hasattr(self, "watcher"))
    @invariant()
    def agrees(self) -> None:
        self.run(self.check())

    async def check(self) -> None:
        await self.watcher.layouts.learn()
        for site in SITES:
            shards = await invariants.check(self.watcher, site, self.now)
            logged = events_by_session(
                entry
                for shard in shards
                for entry in shard.events
                if entry[1]["type"] not in CARRIED
            )
            for session_id in IDS:
                expected = self.model[site].events_of(session_id)
                written = logged.get(session_id, [])
                assert _without_departures(written) == _without_departures(expected)
                # A departure may be missing still, or come late: nobody has swept since.
                assert not Counter(written) - Counter(expected)

    async def logged_events(self, site: str) -> list[tuple[str, dict[str, str]]]:
        """The log as it is told, a few entries at a time."""
        events: list[tuple[str, dict[str, str]]] = []
        after, is_more = "", True
        while is_more:
            page = await self.store.events(site, after=after, limit=5)
            after, is_more = page.next, page.more
            events += map(invariants.as_logged, page.events)
        return events

    async def forget(self) -> None:
        """Deletes all keys: each step of the next history looks through those that are there."""
        client: Any = self.store.connection.client
        async for name in client.scan_iter(match=f"{self.prefix}:*", count=1000):
            await client.delete(name)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.forget())
            self.run(self.store.close())
            if self.server is None:
                self.run(self.watcher.close())
        self.runner.close()


def events_by_session(entries: Iterable[tuple[str, dict[str, str]]]) -> dict[str, list[Event]]:
    """What a site has logged of each session, in order."""
    logged: dict[str, list[Event]] = {}
    for _, event in entries:
        logged.setdefault(event["session"], []).append(
            Event(
                event["type"], event["session"], event["path"], int(event["at"]),
                event.get("country", ""), event.get("from", ""), event.get("reason", ""),
                event.get("user", ""), event.get("was", ""),
            )
        )  # fmt: skip
    return logged


def _details(text: str, name: str, sources: tuple[str, ...]) -> str:
    told = {"name": name, "sources": "\t".join(sources)}
    return json.dumps(json.loads(text or "{}") | {key: said for key, said in told.items() if said})


def _by_source(stats: Stats) -> Counter[str]:
    lists = (
        stats.activeBySource, stats.activeByMedium, stats.activeByCampaign, stats.activeByDevice,
    )  # fmt: skip
    return _names(*(() if rows is UNSET else rows for rows in lists))


def _names(*lists: Iterable[Any]) -> Counter[str]:
    """Rows by source, medium, campaign and device, by the names they are counted by."""
    counts: Counter[str] = Counter()
    for kind, rows in zip(KINDS, lists, strict=True):
        counts.update({f"{kind} {getattr(row, kind) or '--'}": row.count for row in rows})
    return counts


def _without_departures(events: list[Event]) -> list[Event]:
    return [event for event in events if event.type != "left"]


@pytest.mark.parametrize("hours_behind", [0, 1])
def test_folded_in_the_hour_of_its_first_view(hours_behind: int) -> None:
    """A history that once was found."""
    machine = type("Machine", (PresenceMachine,), {"url": "memory://"})()
    machine.begin(shards=1, start=21_991 * DAY_MS, expires_at_once=False, hours_behind=hours_behind)
    machine.split_anew(site="blog", shards=2)
    machine.view(site="blog", session_id=IDS[0], path="/")
    machine.split_anew(site="blog", shards=1)
    machine.fold(site="blog")
    machine.stats(site="blog")
    machine.history(site="blog", unit=("hours", HOUR_MS), points=2)
    machine.agrees()
    machine.teardown()


# Several cases, so that they run side by side; Valkey takes half the time of fakeredis for one.
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "backend, case", [("fakeredis", 0), *(("valkey", n) for n in range(1, 10))]
)
def test_any_history_agrees_with_the_model(
    request: pytest.FixtureRequest, backend: str, case: int
) -> None:
    machine = type("Machine", (PresenceMachine,), {"url": url_of(request, backend)})
    if "CI" in os.environ:
        machine = seed(case)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
