"""The scripts: each header says what its body does, Redis may forget them at any moment, and they
cost what they should."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ReadOnlyError

from service.redis.scripts import LUA, Call, Client, load, run, run_many
from service.store import keys as key_names
from service.store.config import StoreConfig
from service.store.keys import MS_PER_HOUR, Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests.conftest import NOW, Clock, MakeStore, patient_store
from tests.servers import Server

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
NAMES = sorted(path.stem for path in LUA.glob("*.lua"))


@pytest.fixture
def backend_url(valkey: Server) -> str:
    """All stores of this file are on one Valkey."""
    return valkey.url


def beat(session: str = S, path: str = "/") -> Heartbeat:
    return Heartbeat(session, path, "", "", "")


# The text

SHARD_KEYS, USER_KEYS, SETTINGS = 16, 3, range(3, 11)
PARTS = sorted(path.stem for path in (LUA / "include").glob("*.lua"))
USER_READERS = ("user_pages", "users")
USER_WRITERS = ("erase_user",)
READERS = ("changes", "count", "list", "sites", "snapshot", "webhook_here", *USER_READERS)
WRITES = re.compile(r"'(?:DEL|HDEL|HINCRBY|HSET|HSETNX|P?EXPIRE(?:AT)?|PFADD|SET|X(?:ADD|DEL|TRIM)"
                    r"|Z(?:ADD|INCRBY|REM\w*))'")  # fmt: skip


def split(name: str) -> tuple[str, str]:
    """A script's header, and its whole body without comments."""
    header, _, body = load(name).text.partition("]]")
    assert header.startswith("--[[\n"), name
    return header, re.sub(r"--[^\n]*", "", body)


def documented(header: str, kind: str) -> set[int]:
    """The numbers of KEYS or ARGV that the header names."""
    found = {int(n) for n in re.findall(rf"^  {kind}\[(\d+)\] ", header, re.MULTILINE)}
    for first, last in re.findall(rf"{kind}\[(\d+)\] +to {kind}\[(\d+)\]", header):
        found |= set(range(int(first), int(last) + 1))
    return found


def used(body: str, kind: str) -> set[int]:
    """The numbers of KEYS or ARGV that the body reads."""
    found = {int(n) for n in re.findall(rf"{kind}\[(\d+)\]", body)}
    if kind == "KEYS" and "open_shard(" in body:
        found |= set(range(1, SHARD_KEYS + 1))
    return found


def test_a_site_without_users_has_no_key_and_no_argument_more() -> None:
    keys = Keys(has_users=lambda site: site == "known")
    assert len(keys.of_session("blog", S).all_of(0)) == SHARD_KEYS
    assert len(keys.of_session("known", S).all_of(0)) == SHARD_KEYS + USER_KEYS


async def test_who_does_not_say_how_they_came_has_no_byte_more(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a whole batch of them; somebody who says it brings one key, and two characters."""
    sent: list[Call] = []

    async def recorded(client: Client, calls: Sequence[Call]) -> list[Any]:
        sent.extend(calls)
        return await run_many(client, calls)

    monkeypatch.setattr("service.store.runner.run_many", recorded)
    store = make_store(Clock())
    keys, hour = store.keys.of_session("blog", S), NOW // MS_PER_HOUR
    others = [f"session-{n:010d}" for n in range(3)]
    plain = [Heartbeat(session, "/a", "DE", "client", "") for session in (S, *others)]
    told = Heartbeat(S, "/a", "DE", "client", '{"sources":"device phone"}', "", True)
    of_all = [name for one in plain for name in (keys.session(one[0]), keys.viewed(one[0], "/a"))]
    settings = [str(NOW), hour, *store.config.heartbeat_arguments]
    members = [f"{session} DE /a" for session in (S, *others)]
    await store.heartbeats("blog", plain)
    await store.heartbeats("blog", [told, *plain[1:]])
    without, with_sources = (call for call in sent if call.script.name == "heartbeat")
    assert [*without.keys] == [*keys.all_of(hour), *of_all]
    assert [*without.args] == [*settings, 4, *members, *["client"] * 4]
    assert [*with_sources.keys] == [*keys.all_of(hour), keys.sources_of(hour), *of_all]
    known = [f"client {told.details}", *["client"] * 3]
    assert [*with_sources.args] == [*settings, "4.5", *members, *known]


@pytest.mark.parametrize("name", NAMES)
def test_a_header_names_each_key_and_argument(name: str) -> None:
    header, body = split(name)
    if name not in ("heartbeat", "sites"):  # theirs are counted
        keys = documented(header, "KEYS")
        if name in (*USER_READERS, *USER_WRITERS):  # only for sites that have users
            assert max(keys) == SHARD_KEYS + USER_KEYS
            keys -= set(range(SHARD_KEYS + 1, max(keys) + 1))
        assert keys == set(range(1, len(keys) + 1))
        assert used(body, "KEYS") <= keys
        assert max(keys) == max(used(body, "KEYS"))
    args = documented(header, "ARGV")
    assert args == set(range(1, len(args) + 1))
    assert used(body, "ARGV") <= args
    at_the_end = {max(args)} if "ARGV[#ARGV]" in body else set()
    assert args - set(SETTINGS) - {2} - at_the_end <= used(body, "ARGV")


@pytest.mark.parametrize("name", NAMES)
def test_a_header_names_types_and_units(name: str) -> None:
    header, _ = split(name)
    unit = re.compile(
        r", (ms|ms since the epoch|hours since the epoch|entries|sessions|users|paths|pages"
        r"|places)\b"
        r"|, site shards|empty: |^path|^site shard$|, a host|, a stream id|: the settings"
        r"|what is asked|^id of|: '\w+' or '\w+'$"
    )
    for text in re.findall(r"^  ARGV\[\+?\d+\] +(.+)$", header, re.MULTILINE):
        assert unit.search(text), text
    types = re.compile(r" (zset|hash|stream|string|HLL) |the shard's keys")
    for text in re.findall(r"^  KEYS\[\d+\] +(.+)$", header, re.MULTILINE):
        assert types.search(f" {text} "), text


def test_the_keys_of_a_shard_are_in_the_order_that_is_documented() -> None:
    rows = re.findall(r"^-- +(\d+) (\w+)", (LUA / "include/keys.lua").read_text(), re.MULTILINE)
    keys = Keys(has_users=lambda site: True).of_session("blog", S)
    names = [key.removeprefix(keys.base).partition(":")[0] for key in keys.all_of(0)]
    assert [names[int(number) - 1] for number, _ in rows] == [name for _, name in rows]
    assert len(names) == len(rows) == SHARD_KEYS + USER_KEYS


def test_the_settings_are_in_the_order_that_is_documented() -> None:
    text = (LUA / "include/settings.lua").read_text()
    assert [int(n) for n in re.findall(r"ARGV\[(\d+)\] +\w", text)] == [*SETTINGS]
    config = StoreConfig(1, 2, 3, 0, True, 4, 5, 6, 7, 8)
    assert config.arguments == (1, 2, 3, 4, 5, 6, 7, 8)
    assert StoreConfig(1, 2, 3, 0, False, 4).heartbeat_arguments[:4] == (1, 2, 0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_every_status_a_script_returns_is_documented(name: str) -> None:
    header, body = split(name)
    words = set()
    for returned in re.findall(r"^ *(?:return|reply\[[^]]+\] =) (.*?)$", body, re.MULTILINE):
        words |= set(re.findall(r"(?<![A-Z(] )'([a-z]{4,})\b *'", returned))
    words -= {"timeout", "leave", "number"}  # reasons in the log of events, a type of Lua's
    assert words <= set(re.findall(r"'([a-z]+)\b", header)), words
    if name == "heartbeat":
        assert {"created", "moved", "refreshed", "duplicate", "limited", "stale"} <= words


@pytest.mark.parametrize("name", NAMES)
def test_no_script_scans_or_touches_what_it_did_not_declare(name: str) -> None:
    _, body = split(name)
    called = set(re.findall(r"\bredis\.p?call\('(\w+)'", body))
    assert not called & {"KEYS", "SCAN", "HSCAN", "ZSCAN", "SSCAN", "SMEMBERS", "HGETALL"}
    # The clock is asked once; every key of a call is a name bound to a KEYS.
    assert body.count("'TIME'") == 1
    first_arguments = set(re.findall(r"\bredis\.p?call\('(?!TIME)\w+', ([^,)]+)", body))
    assert not {text for text in first_arguments if text.startswith("'") or ".." in text}


@pytest.mark.parametrize("name", READERS)
def test_readers_name_no_command_that_writes(name: str) -> None:
    _, body = split(name)
    assert not WRITES.findall(body)


def test_the_sizes_that_were_promised() -> None:
    """A script that is read from top to bottom: what grows beyond this is to be cut anew."""
    lines = {path: path.read_text().count("\n") for path in LUA.rglob("*.lua")}
    assert lines[LUA / "heartbeat.lua"] <= 250
    assert max(lines[LUA / "include" / f"{part}.lua"] for part in PARTS) <= 90
    # Users, webhooks, mark.lua; and to split a site anew: to retire a shard, write down a layout,
    # and carry a session from one shard to another.
    assert sum(lines.values()) <= 1_200 + 581 + 81 + 14 + 127


def test_every_part_is_included_somewhere() -> None:
    texts = [path.read_text() for path in LUA.rglob("*.lua")]
    assert {part for text in texts for part in re.findall(r"-- @include (\w+)\n", text)} == {*PARTS}
    for name in NAMES:
        assert "@include" not in load(name).text


def test_no_request_path_scans() -> None:
    service = Path(key_names.__file__).parents[1]
    readers = [*(service / "store").glob("*.py"), *(service / "api").glob("*.py")]
    for path in readers:
        text = path.read_text()
        assert not re.search(r"\b(scan|scan_iter|keys\(\"|hscan|zscan)\(", text), path


# Loading


async def test_a_server_that_has_forgotten_a_script_is_told_it_again(make_store: MakeStore) -> None:
    store = make_store(Clock())
    client: Any = store.connection.client
    for n, outcome in enumerate(["created", "duplicate", "duplicate"]):
        await client.script_flush()
        assert await store.heartbeat("blog", beat()) == outcome, n
    await client.script_flush()
    assert (await store.stats("blog")).activeVisitors == 1


async def test_calls_keep_their_order_when_the_scripts_are_gone(make_store: MakeStore) -> None:
    store = make_store(Clock())
    client: Any = store.connection.client
    await client.script_flush()
    calls = [call for path in ("/a", "/b", "/a") for call in _heartbeat_calls(store, path)]
    calls.insert(1, _leave_call(store, "nobody-is-here-01"))
    replies = await run_many(client, calls)
    assert [reply[-1] or reply[-2] for reply in replies] == ["created", "unknown", "moved", "moved"]
    entries = await client.xrange(store.keys.of_session("blog", S).events)
    assert [fields["path"] for _, fields in entries] == ["/a", "/b", "/a"]


def _leave_call(store: PresenceStore, session: str) -> Call:
    keys, hour = store.keys.of_session("blog", session), NOW // MS_PER_HOUR
    args: list[str | int] = [NOW, hour, *store.config.arguments, 3000, ""]
    return Call(load("leave"), (*keys.all_of(hour), keys.session(session)), args)


def _heartbeat_calls(store: PresenceStore, path: str) -> list[Call]:
    keys, hour = store.keys.of_session("blog", S), NOW // MS_PER_HOUR
    names = [*keys.all_of(hour), keys.session(S), keys.viewed(S, path)]
    return [
        Call(
            load("heartbeat"), names, [NOW, hour, *store.config.arguments, 1, f"{S} -- {path}", ""]
        )
    ]


async def test_one_call_that_fails_does_not_fail_the_others(make_store: MakeStore) -> None:
    store = make_store(Clock())
    client: Any = store.connection.client
    keys = store.keys.of_site("blog")[0]
    await client.set(keys.session(S), "wrong", px=100_000)
    leave = [
        _leave_call(store, session) for session in ("nobody-is-here-01", S, "nobody-is-here-02")
    ]
    replies = await run_many(client, leave)
    assert [reply[1] if isinstance(reply, list) else "error" for reply in replies] == [
        "unknown", "error", "unknown",
    ]  # fmt: skip
    assert await run(client, leave[0]) == [str(NOW), "unknown", ""]


async def test_a_flush_under_load_is_invisible(make_store: MakeStore) -> None:
    store = make_store(Clock())
    client: Any = store.connection.client
    is_done = asyncio.Event()

    async def flush() -> None:
        while not is_done.is_set():
            await client.script_flush()
            await asyncio.sleep(0.002)

    flushing = asyncio.ensure_future(flush())
    sessions = [f"session-{n:010d}" for n in range(1_000)]
    try:
        outcomes = await asyncio.gather(
            *(store.heartbeat("blog", beat(session)) for session in sessions),
            *(store.leave("blog", session) for session in sessions),
        )
    finally:
        is_done.set()
        await flushing
    assert outcomes == ["created"] * 1_000 + ["leaving"] * 1_000


async def test_calls_on_a_cluster_keep_their_order(
    valkey_cluster: list[Server], key_prefix: str
) -> None:
    from tests.servers import cluster_url

    store = patient_store(cluster_url(valkey_cluster), Keys(key_prefix), StoreConfig())
    sessions = [f"session-{n:010d}" for n in range(300)]
    for node in valkey_cluster:
        node.client.script_flush()
    outcomes = await asyncio.gather(
        *(store.heartbeat("blog", beat(session)) for session in sessions),
        *(store.leave("blog", session) for session in sessions),
        *(store.heartbeat("blog", beat(session, "/b")) for session in sessions),
    )
    assert outcomes == ["created"] * 300 + ["leaving"] * 300 + ["moved"] * 300
    await store.close()


# What they cost


def calls_of(server: Server) -> dict[str, int]:
    """How often each command was carried out since the last CONFIG RESETSTAT."""
    stats = server.client.info("commandstats")
    return {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}


async def test_a_burst_of_heartbeats_travels_in_few_calls(
    make_store: MakeStore, valkey: Server
) -> None:
    store = make_store()
    await store.heartbeat("blog", beat())
    valkey.client.config_resetstat()
    burst = [beat(f"session-{n:010d}") for n in range(1_000)]
    outcomes = await asyncio.gather(*(store.heartbeat("blog", one) for one in burst))
    assert outcomes == ["created"] * 1_000
    asked = calls_of(valkey)
    assert asked["evalsha"] <= 40
    assert asked["hset"] >= 1_000
    assert asked["time"] == asked["evalsha"]  # the clock is asked once for a whole batch


async def test_a_duplicate_costs_one_read(make_store: MakeStore, valkey: Server) -> None:
    store = make_store()
    await store.heartbeat("blog", beat())
    await store.claim([], 1_000, 0)  # so that the site is noted as due, which happens behind
    valkey.client.config_resetstat()
    await store.heartbeat("blog", beat())
    asked = calls_of(valkey)
    assert (asked.pop("evalsha"), asked.pop("time"), asked.pop("zscore")) == (1, 1, 1)
    assert set(asked) <= {"config|resetstat", "info"}


async def test_a_hundred_duplicates_cost_one_read(make_store: MakeStore, valkey: Server) -> None:
    store = make_store()
    crowd = [beat(f"session-{n:010d}") for n in range(100)]
    await store.heartbeats("blog", crowd)
    await store.claim([], 1_000, 0)  # so that the site is noted as due, which happens behind
    valkey.client.config_resetstat()
    await store.heartbeats("blog", crowd)
    asked = calls_of(valkey)
    assert [asked.pop(name) for name in ("evalsha", "time", "zmscore")] == [1] * 3
    assert set(asked) <= {"config|resetstat", "info"}


async def test_heartbeats_of_many_sites_travel_in_few_calls(
    make_store: MakeStore, valkey: Server
) -> None:
    store = make_store()
    sites = [f"site-{n}" for n in range(300)]
    for outcome in ("created", "duplicate"):
        valkey.client.config_resetstat()
        assert await asyncio.gather(*(store.heartbeat(site, beat()) for site in sites)) == (
            [outcome] * 300
        )
        asked = calls_of(valkey)
        # 128 heartbeats in each; where the script is not known, two of them are asked again.
        assert asked["evalsha"] <= 5
        assert asked["time"] == 3


def _call_of_sites(store: PresenceStore, *sites: str) -> Call:
    hour, names = NOW // MS_PER_HOUR, []
    args: list[str | int] = [NOW, hour, *store.config.arguments]
    for site in sites:
        keys = store.keys.of_session(site, S)
        names += [*keys.all_of(hour), keys.session(S), keys.viewed(S, "/")]
        args += [1, f"{S} -- /", ""]
    return Call(load("heartbeat"), names, args)


async def test_a_reply_tells_each_site_its_own(make_store: MakeStore) -> None:
    store = make_store(Clock())
    client: Any = store.connection.client
    await client.set(store.keys.of_site("b")[0].pages, "wrong")
    replies = [await run(client, _call_of_sites(store, "a", "b", "c")) for _ in range(2)]
    for reply, word, outcome in zip(
        replies, ("opened", "open"), ("created", "duplicate"), strict=True
    ):
        assert reply[:3] == [str(NOW), word, outcome]
        assert reply[3].startswith("failed ")
        assert "WRONGTYPE" in reply[3]
        assert reply[4:] == [None, word, outcome]


async def test_a_replica_refuses_all_sites_as_one(key_prefix: str) -> None:
    with Server("valkey") as server:
        store = patient_store(server.url, Keys(key_prefix), StoreConfig())
        server.client.replicaof("127.0.0.1", "1")
        for sites in (("a",), ("a", "b", "c")):
            with pytest.raises(ReadOnlyError):
                await run(store.connection.client, _call_of_sites(store, *sites))
        await store.close()


async def test_readers_touch_no_key_of_a_single_session(
    make_store: MakeStore, valkey: Server
) -> None:
    store = make_store()
    await store.heartbeats("blog", [beat(f"session-{n:010d}") for n in range(50)])
    await store.stats("blog")
    with valkey.client.monitor() as monitor:
        await store.stats("blog")
        await store.count("blog", "/")
        await store.connection.client.time()
        seen = []
        for row in monitor.listen():
            if row["command"] == "TIME" and row["client_type"] != "lua":
                break
            seen.append(row["command"])
    assert any(command.startswith("ZCOUNT") for command in seen)
    assert not [command for command in seen if ":session:" in command or ":viewed:" in command]


# Many sessions


@pytest.fixture(scope="module")
def big() -> Iterator[Server]:
    """A Valkey of its own with 2,000 sessions of one site and 200,000 of another, on 50 pages."""
    with Server("valkey") as server:
        for site, count in (("small", 2_000), ("large", 200_000)):
            asyncio.run(_fill(server.url, site, count))
        yield server


async def _fill(url: str, site: str, count: int) -> None:
    store = patient_store(url, Keys("big"), StoreConfig())
    client: Any = store.connection.client
    keys, hour = store.keys.of_site(site)[0], NOW // MS_PER_HOUR
    for start in range(0, count, 2_000):
        names: list[str] = [*keys.all_of(hour)]
        args: list[str | int] = [NOW, hour, *store.config.arguments, 2_000]
        for n in range(start, start + 2_000):
            session, path = f"session-{n:010d}", f"/{n % 50}"
            names += (keys.session(session), keys.viewed(session, path))
            args.append(f"{session} {'DE' if n % 3 else '--'} {path}")
        args += [""] * 2_000
        await run(client, Call(load("heartbeat"), names, args))
    await store.close()


async def _cost(server: Server, site: str, read: str) -> tuple[dict[str, int], float]:
    """The commands of one call of the store, and the microseconds its script took in Redis."""
    store = patient_store(server.url, Keys("big"), StoreConfig())
    store.clock = Clock(NOW + 1_000)
    reads: dict[str, Any] = {
        "stats": lambda: store.stats(site),
        "count": lambda: store.count(site, "/1"),
        "sessions": lambda: store.sessions(site, limit=100, cursor=None, path=None),
        "sweep": lambda: store.sweep(site),
        "refresh": lambda: store.heartbeat(site, beat("session-0000000001", "/1")),
    }
    fastest = 1e9
    for _ in range(5):
        server.client.config_resetstat()
        await reads[read]()
        stats = server.client.info("commandstats")
        name = "evalsha" if read in ("sweep", "refresh") else "evalsha_ro"
        usec = stats[f"cmdstat_{name}"]["usec_per_call"]
        fastest = min(fastest, usec)
    asked = calls_of(server)
    await store.close()
    return {
        name: n for name, n in asked.items() if name not in ("info", "config|resetstat")
    }, fastest


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("read", ["stats", "count", "sessions", "sweep", "refresh"])
async def test_a_hundred_times_the_sessions_cost_no_more_commands(big: Server, read: str) -> None:
    small, _ = await _cost(big, "small", read)
    large, usec = await _cost(big, "large", read)
    assert small == large
    assert not {"scan", "keys", "hgetall"} & set(large) or read == "sessions"
    assert usec < 10_000  # a walk over 200,000 members takes several times that


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_times_the_sessions_are_counted_right(big: Server) -> None:
    store = patient_store(big.url, Keys("big"), StoreConfig())
    store.clock = Clock(NOW + 1_000)
    stats = await store.stats("large")
    assert (stats.activeVisitors, stats.totalPageViews) == (200_000, 200_000)
    assert [row.count for row in stats.activeByPath] == [4_000] * 50
    assert abs(stats.uniqueVisitors / 200_000 - 1) < 4 * 0.0081  # HyperLogLog's standard error
    await store.close()
