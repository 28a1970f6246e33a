"""The doctor: a healthy site is well, and whatever is broken by hand is named, and only that."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import redis

from service.ops import doctor
from service.ops.doctor import Doctor
from service.ops.invariants import (
    COUNTERS,
    EVENT_REPLAY,
    HASHES,
    TTLS,
    VIEWS,
    WRONG_TYPE,
    Event,
    Finding,
    life_faults,
    view_faults,
)
from service.ops.prune import prune_paths
from service.redis.client import connect
from service.store.keys import Keys, ShardKeys
from service.store.layout import SiteLayouts
from service.store.members import Member
from service.store.resharding.layouts import read_layouts
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests.conftest import BACKENDS, Clock, MakeStore, on_servers, store_factory, url_of
from tests.servers import Server

SITE = "blog"
IDS = [str(uuid.UUID(int=n)) for n in range(1, 31)]


def _note(told: list[tuple[str, int]], what: str, keys: int) -> None:
    told.append((what, keys))


async def fill(store: PresenceStore) -> None:
    """A site with a past: some moved, one is leaving, one was ended, one only viewed."""
    await store.heartbeats(SITE, [Heartbeat(i, "/a", "DE" if n % 2 else "", "", "") for n, i in
                                  enumerate(IDS)])  # fmt: skip
    await store.heartbeats(SITE, [Heartbeat(i, "/b", "", "", "") for i in IDS[:10]])
    await store.leave(SITE, IDS[1])
    await store.end(SITE, IDS[2])
    await store.view(SITE, PageView(str(uuid.UUID(int=99)), "/c"))
    await store.claim([], 5_000, 10)


@pytest.mark.fault("B22")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "most, left",
    [
        (1, {"/0": 9, "/1": 3, "/2": 2, "__other__": 17}),
        (2, {"/0": 9, "/1": 3, "__other__": 19}),
        (8, {"/0": 9, "__other__": 22}),
        (1_000_000, {"__other__": 31}),
    ],
)
async def test_paths_seldom_viewed_give_up_their_rows(
    backend: str, most: int, left: dict[str, int], request: pytest.FixtureRequest, key_prefix: str
) -> None:
    async for make in store_factory(url_of(request, backend), key_prefix):
        store = make(Clock())
        paths = ["/0"] * 9 + ["/1"] * 3 + ["/2"] * 2 + [f"/{n}" for n in range(3, 19)]
        details = '{"type":"post"}'
        beats = [Heartbeat(i, path, "", "", details) for path, i in zip(paths, IDS, strict=True)]
        await store.heartbeats(SITE, [*beats, Heartbeat(IDS[0], "/19", "", "", "")])
        (shard,) = store.keys.of_site(SITE)
        given_up = await prune_paths(store.connection, shard, most)
        assert dict(given_up) == {
            path: views for path, views in Counter([*paths, "/19"]).items() if views <= most
        }
        assert given_up == sorted(given_up, key=lambda row: (row[1], row[0]))
        assert await prune_paths(store.connection, shard, most) == []
        rows = {row.path: row.views for row in (await store.stats(SITE)).pageStats}
        assert rows == left
        client: Any = store.connection.client
        types = dict.fromkeys(left.keys() - {"__other__"}, "post")
        assert await client.hgetall(shard.types) == types
        assert not (await Doctor(store.connection, store.keys).check(SITE)).findings


@dataclass
class Patient:
    """A filled site, a doctor, and a plain client to do harm with."""

    client: "redis.Redis"
    keys: Keys
    doctor: Doctor
    store: PresenceStore

    @property
    def shard(self) -> ShardKeys:
        """The shard of the session that is broken."""
        return self.keys.of_session(SITE, IDS[0])

    async def findings(self) -> list[Finding]:
        return (await self.doctor.check()).findings


@pytest.fixture(params=[1, 3])
async def patient(
    request: pytest.FixtureRequest, valkey: Server, key_prefix: str
) -> AsyncIterator[Patient]:
    shards: int = request.param
    connection = connect(valkey.url)
    async for make in store_factory(valkey.url, key_prefix):
        store = make(shards=shards)
        await fill(store)
        keys = Keys(key_prefix, shards)
        yield Patient(valkey.client, keys, Doctor(connection, keys), store)
    await connection.close()


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_healthy_site_is_well(
    request: pytest.FixtureRequest, backend: str, shards: int, key_prefix: str
) -> None:
    async for make in store_factory(url_of(request, backend), key_prefix):
        store = make(shards=shards)
        await fill(store)
        told: list[tuple[str, int]] = []
        doctor = Doctor(store.connection, store.keys, progress=partial(_note, told))
        checkup = await doctor.check()
        assert (checkup.sites, checkup.findings) == ([SITE], [])
        assert checkup.keys > len(IDS)
        assert ("keys", checkup.keys) in told
        assert (await doctor.check("nobody")).findings == []
        assert (await doctor.check(SITE)).keys < checkup.keys  # without `sites` and `due`


async def test_events_that_were_trimmed_are_no_fault(valkey: Server, key_prefix: str) -> None:
    async for make in store_factory(valkey.url, key_prefix):
        store = make(Clock(), events_maxlen=5, views_maxlen=5)
        for n in range(400):
            await store.heartbeats(SITE, [Heartbeat(i, f"/{n % 7}", "", "", "") for i in IDS])
        keys = store.keys.of_site(SITE)[0]
        assert valkey.client.xlen(keys.events) < 400 * len(IDS)
        assert (await Doctor(store.connection, store.keys).check()).findings == []


Harm = Callable[["redis.Redis", ShardKeys], object]
ID = IDS[0]  # on /b, country not known
MEMBER = f"{ID} -- /b"
# name: harm, and of each finding that must come of it: invariant, key, a part of what is said
HARM: dict[str, tuple[Harm, list[tuple[int, str, str]]]] = {
    "page counter": (
        lambda c, k: c.zincrby(k.pages, 2, "/b"),
        [(COUNTERS, "pages", "for /b; it should be")],
    ),
    "page without members": (
        lambda c, k: c.zadd(k.pages, {"/ghost": 1}),
        [(COUNTERS, "pages", "counts 1 for /ghost; it should be 0")],
    ),
    "page missing": (lambda c, k: c.zrem(k.pages, "/b"), [(COUNTERS, "pages", "counts 0 for /b")]),
    "country counter": (
        lambda c, k: c.zincrby(k.countries, -1, "--"),
        [(COUNTERS, "countries", "for --; it should be")],
    ),
    "no hash": (lambda c, k: c.delete(k.session(ID)), [(HASHES, f"session:{ID}", "is gone")]),
    "other path": (
        lambda c, k: c.hset(k.session(ID), "path", "/z"),
        [(HASHES, f"session:{ID}", "says /z, but active has it on /b")],
    ),
    "other country": (
        lambda c, k: c.hset(k.session(ID), "country", "FR"),
        [(HASHES, f"session:{ID}", "says country FR, but active has --")],
    ),
    "no session": (
        lambda c, k: c.zadd(k.active, {"nonsense": 9e12}),
        [(HASHES, "active", "names no session: 'nonsense'")],
    ),
    "event out of order": (
        lambda c, k: c.xadd(
            k.events, {"type": "joined", "session": ID, "path": "/b", "country": "--"}
        ),
        [(EVENT_REPLAY, "events", f"session {ID} joined twice")],
    ),
    "event of nobody": (
        lambda c, k: c.xadd(k.events, {"type": "left", "session": "x" * 16, "path": "/", "at": 1}),
        [(EVENT_REPLAY, "events", "left / without being there")],
    ),
    "event of no type": (
        lambda c, k: c.xadd(k.events, {"type": "sang", "session": "x" * 16}),
        [(EVENT_REPLAY, "events", "unknown type 'sang'")],
    ),
    "event lost": (
        lambda c, k: c.xdel(k.events, _last_event(c, k)),
        [(EVENT_REPLAY, "events", f"session {ID} is on /a by its events, but on /b by active")],
    ),
    "a view too many": (
        lambda c, k: c.hincrby(k.totals, "views", 1),
        [(VIEWS, "totals", "in top add up to"), (VIEWS, "totals", "appended to the stream")],
    ),
    "top": (lambda c, k: c.zincrby(k.top, 1, "/a"), [(VIEWS, "totals", "in top add up to")]),
    "a view that was not counted": (
        lambda c, k: c.xadd(k.views, {"session": ID, "path": "/", "at": 1}),
        [(VIEWS, "totals", "appended to the stream")],
    ),
    "index without TTL": (lambda c, k: c.persist(k.pages), [(TTLS, "pages", "no TTL")]),
    "session without TTL": (
        lambda c, k: c.persist(k.session(ID)),
        [(TTLS, f"session:{ID}", "no TTL")],
    ),
    "marker without TTL": (
        lambda c, k: c.persist(k.viewed(ID, "/b")),
        [(TTLS, f"viewed:{ID}:/b", "no TTL")],
    ),
    "unknown key": (lambda c, k: c.set(k.base + "mine", 1), [(TTLS, "mine", "no TTL")]),
    "unique visitors that are none": (
        lambda c, k: c.set(k.uniques, "by hand"),
        [(WRONG_TYPE, "uniques", "delete it")],
    ),
    "session of a wrong type": (
        lambda c, k: _retype(c, k.session(ID)),
        [(WRONG_TYPE, f"session:{ID}", "is a list; it should be a hash")],
    ),
} | {
    f"{name} of a wrong type": (
        lambda c, k, name=name: _retype(c, k.base + name),
        [(WRONG_TYPE, name, "is a list; it should be")],
    )
    for name in (
        "active",
        "pages",
        "countries",
        "events",
        "views",
        "totals",
        "top",
        "top_order",
        "types",
        "uniques",
    )
}


def _last_event(client: "redis.Redis", keys: ShardKeys) -> str:
    """The id of the session's last event."""
    entries: Any = client.xrange(keys.events)
    return str([entry_id for entry_id, fields in entries if fields["session"] == ID][-1])


def _retype(client: "redis.Redis", key: str) -> None:
    client.delete(key)
    client.rpush(key, "x")
    client.expire(key, 1000)


@pytest.mark.parametrize("name", HARM)
async def test_what_is_broken_is_named_and_nothing_else(patient: Patient, name: str) -> None:
    harm, expected = HARM[name]
    assert await patient.findings() == []
    harm(patient.client, patient.shard)
    found = await patient.findings()
    assert len(found) == len(expected), found
    for finding, (invariant, key, what) in zip(found, expected, strict=True):
        assert (finding.site, finding.invariant) == (SITE, invariant)
        assert finding.key == patient.shard.base + key
        assert what in finding.what


async def test_a_member_that_was_removed_breaks_all_that_hangs_on_it(patient: Patient) -> None:
    patient.client.zrem(patient.shard.active, MEMBER)
    assert [f.invariant for f in await patient.findings()] == [COUNTERS, COUNTERS, EVENT_REPLAY]


async def test_other_sites_and_other_shards_are_looked_at(patient: Patient) -> None:
    other = patient.keys.of_tag("shop/7")
    patient.client.zadd(other.pages, {"/": 1})
    found = await patient.findings()
    assert {(f.site, f.invariant) for f in found} == {("shop", COUNTERS), ("shop", TTLS)}
    assert (await patient.doctor.check(SITE)).findings == []


async def test_repair(patient: Patient) -> None:
    keys, client = patient.shard, patient.client
    client.zincrby(keys.pages, 2, "/b")
    client.zincrby(keys.countries, 2, "--")
    client.persist(keys.session(ID))
    client.persist(keys.events)
    client.set(keys.base + "mine", 1)
    _, positions = await patient.store.stats_and_positions(SITE)
    assert await patient.store.changes(SITE, positions)
    done = await patient.doctor.repair(await patient.doctor.check())
    assert sorted(line.split(" ")[0] for line in done) == ["counted", "gave", "gave", "left"]
    assert await patient.store.changes(SITE, positions) is None, "streams take a snapshot"
    assert [f.key for f in await patient.findings()] == [keys.base + "mine"]
    assert 0 < client.pttl(keys.session(ID)) <= 120_000
    assert 0 < client.pttl(keys.events) <= 86_400_000


async def test_repair_counts_all_but_nonsense(patient: Patient) -> None:
    before = patient.client.zrange(patient.shard.pages, 0, -1, withscores=True)
    patient.client.zadd(patient.shard.active, {"nonsense": 9e12})
    patient.client.zincrby(patient.shard.pages, 2, "/b")
    done = await patient.doctor.repair(await patient.doctor.check())
    assert [line.startswith("counted") for line in done] == [True]
    assert patient.client.zrange(patient.shard.pages, 0, -1, withscores=True) == before
    assert (await patient.doctor.check()).findings, "the nonsense itself is for people to remove"


def event(kind: str, session: str, path: str, origin: str = "") -> dict[str, str]:
    fields = {"type": kind, "session": session, "path": path}
    if kind != "left":
        fields["country"] = "--"
    return fields | ({"from": origin} if origin else {})


# events, who is active, whole: faults; trimmed: faults
@pytest.mark.parametrize(
    "events, active, whole, trimmed",
    [
        ([], [], 0, 0),
        ([], ["s -- /a"], 1, 0),
        ([event("joined", "s", "/a")], ["s -- /a"], 0, 0),
        ([event("joined", "s", "/a")], [], 1, 1),
        ([event("moved", "s", "/b", "/a")], ["s -- /b"], 1, 0),
        ([event("left", "s", "/a")], [], 1, 0),
        ([event("left", "s", "/a")], ["s -- /a"], 2, 0),
        ([event("joined", "s", "/a"), event("left", "s", "/a")], [], 0, 0),
        ([event("joined", "s", "/a"), event("left", "s", "/b")], [], 2, 1),
        ([event("joined", "s", "/a"), event("moved", "s", "/c", "/b")], ["s -- /c"], 2, 1),
        ([event("left", "s", "/a"), event("left", "s", "/a")], [], 2, 0),
        ([event("left", "s", "/a"), event("moved", "s", "/b", "/a")], ["s -- /b"], 2, 0),
        # Back on another page before its old member was swept.
        ([event("joined", "s", "/a"), event("joined", "s", "/b")], ["s -- /a", "s -- /b"], 0, 0),
        (
            [event("joined", "s", "/a"), event("joined", "s", "/b"), event("left", "s", "/a")],
            ["s -- /b"],
            0,
            0,
        ),
        ([event("joined", "s", "/a"), event("joined", "s", "/a")], ["s -- /a"], 1, 1),
    ],
)
def test_lives(events: list[dict[str, str]], active: list[str], whole: int, trimmed: int) -> None:
    log: list[Event] = [(f"{n}-0", fields) for n, fields in enumerate(events)]
    members = [member for text in active if (member := Member.parse(text))]
    assert len(list(life_faults(log, members, is_whole=True))) == whole
    assert len(list(life_faults(log, members, is_whole=False))) == trimmed


@pytest.mark.parametrize(
    "totals, top, appended, age_days, faults",
    [
        (5, 5, 5, 1, 0),
        (5, 5, None, 1, 0),
        (5, 4, 5, 1, 1),
        (5, 5, 4, 1, 1),
        (5, 5, 4, 401, 0),  # the stream expired with nobody viewing for 400 days
        (5, 5, 6, 401, 1),
    ],
)
def test_views(totals: int, top: int, appended: int | None, age_days: int, faults: int) -> None:
    now_ms = 1_900_000_000_000
    since_ms = now_ms - age_days * 86_400_000
    assert len(list(view_faults(totals, since_ms, top, appended, now_ms))) == faults


@pytest.mark.parametrize("text", ["", "s", "s --", "s  /a", " -- /a"])
def test_no_member(text: str) -> None:
    assert Member.parse(text) is None


async def test_a_list_of_sites_of_a_wrong_type_is_named(make_store: MakeStore) -> None:
    store = make_store()
    await store.heartbeat("blog", Heartbeat(ID, "/", "", "", ""))
    await store.claim([], 1_000, 0)  # a new site is noted behind its first heartbeat
    client: Any = store.connection.client
    await client.set(store.keys.sites, "by hand", px=60_000)
    checkup = await Doctor(store.connection, store.keys).check()
    assert [(finding.invariant, finding.key) for finding in checkup.findings] == [
        (WRONG_TYPE, store.keys.sites)
    ]
    assert checkup.sites == ["blog"]


async def test_a_site_that_is_split_meanwhile_gives_no_false_alarm(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the layouts were read."""
    store, operator = make_store(), make_store()
    await operator.heartbeat("blog", Heartbeat("session-0000000001", "/", "", "", ""))

    async def read_and_split(client: Any, keys: Keys) -> dict[str, SiteLayouts]:
        known = await read_layouts(client, keys)
        await operator.layouts.change("blog", 2)
        return known

    monkeypatch.setattr(doctor, "read_layouts", read_and_split)
    assert (await Doctor(store.connection, store.keys).check()).findings == []


async def test_a_site_whose_split_is_half_done_gives_no_false_alarm(make_store: MakeStore) -> None:
    """To delete what stands in the place of its keys, as that of a wrong type, would lose who is
    here."""
    store = make_store(shards=2)
    await store.heartbeats("blog", [Heartbeat(session, "/", "", "", "") for session in IDS[:12]])
    layouts = store.keys.layouts_of("blog")
    announced = layouts.with_announced(3, await store.layouts.now_ms("blog"))
    await store.layouts.write("blog", "", str(announced))
    await store.layouts.close(store.keys.of_site("blog")[1:], "retired_")
    assert (await Doctor(store.connection, store.keys).check()).findings == []
    await store.layouts.learn()
    assert (await store.active("blog")).activeVisitors == 12
    assert (await Doctor(store.connection, store.keys).check()).findings == []


@on_servers
async def test_a_busy_site_gives_no_false_alarm(make_store: MakeStore, backend_url: str) -> None:
    import asyncio

    store = make_store(heartbeat_dedup_ms=0, session_timeout_ms=300)
    is_done = asyncio.Event()

    async def bustle() -> None:
        n = 0
        while not is_done.is_set():
            n += 1
            beats = [
                Heartbeat(i, f"/{(n + m) % 5}", "", "", "") for m, i in enumerate(IDS[: 5 + n % 25])
            ]
            await store.heartbeats(SITE, beats)

    bustling = asyncio.create_task(bustle())
    looking = Doctor(store.connection, store.keys)
    try:
        for _ in range(15):
            assert (await looking.check()).findings == []
    finally:
        is_done.set()
        await bustling
