"""Checks the invariants on a live Redis, and repairs what can be recomputed.

A site shard's index is read in one MULTI/EXEC, so a busy site gives no false alarms; what is read
outside of it (session hashes, TTLs) is looked at once more before it is reported. This is the
one place that scans the keyspace: nothing on a request path does.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from typing import Any, NamedTuple

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError

from service.ops.invariants import (
    COUNTERS,
    EVENT_REPLAY,
    HASHES,
    TTLS,
    VIEWS,
    WRONG_TYPE,
    Finding,
    counter_faults,
    events_to_append,
    life_faults,
    view_faults,
)
from service.redis.client import Connection
from service.redis.failures import FAILURES, as_store_error, kind_of
from service.redis.scripts import Call, load, run
from service.store.config import StoreConfig
from service.store.keys import MS_PER_HOUR, Keys, ShardKeys, site_of
from service.store.members import Member

PATIENCE_S = 60.0  # for one answer: a million members take Redis a second or two
_CHUNK = 500
_DAY_MS = 86_400_000


class _Kind(NamedTuple):
    """The Redis type of a key, and its TTL in ms; None: it is kept."""

    type: str
    life_ms: int | None


@dataclass(slots=True)
class Checkup:
    """What was found. `sites`: every site that was looked at; `keys`: keys that were."""

    sites: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    keys: int = 0

    def of_site(self, site: str) -> list[Finding]:
        """The findings of one site; with an empty name, of keys that belong to none."""
        return [finding for finding in self.findings if finding.site == site]


@dataclass(slots=True)
class _Index:
    """A shard's keys at one moment; None: that key has a wrong type, or was not read."""

    active: dict[str, float] | None
    pages: dict[str, float] | None
    countries: dict[str, float] | None
    places: dict[str, float] | None
    located: dict[str, str] | None
    events: list[tuple[str, dict[str, str]]] | None
    is_events_whole: bool
    totals: dict[str, str] | None
    top: dict[str, float] | None
    views_appended: int | None


class Doctor:
    """Checks and repairs the sites below one prefix.

    Args:
        connection: the way to Redis; given to a doctor, it waits longer for answers.
        keys: key spellings.
        config: how long keys live that are found without a TTL.
        progress: told what is looked at, and how many keys have been.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        config: StoreConfig | None = None,
        *,
        progress: Callable[[str, int], None] = lambda what, keys: None,
    ) -> None:
        self._connection = connection
        self._client: Any = connection.client
        # fakeredis keeps a HyperLogLog as a set.
        self._type_of_uniques = "set" if connection.topology == "memory" else "string"
        self._keys = keys
        self._config = config or StoreConfig()
        self._progress = progress

    async def check(self, site: str | None = None) -> Checkup:
        """Checks one site, or all.

        Raises:
            StoreError: Redis cannot do it now.
        """
        async with _failures():
            await self._connection.check_topology(self._keys.probe)
            checkup = Checkup([site] if site else [])
            tags = await self._check_keys(site, checkup)
            if site is None:
                known = await self._client.zrange(self._keys.sites, 0, -1)
                checkup.sites = sorted({*known, *(site_of(tag) for tag in tags)})
            for name in checkup.sites:
                shards = {keys.tag: keys for keys in self._keys.of_site(name)}
                # Shards of another SHARDS setting are looked at as well.
                others = sorted(tag for tag in tags if site_of(tag) == name)
                shards |= {tag: self._keys.of_tag(tag) for tag in others}
                for shard in shards.values():
                    self._progress(shard.tag, checkup.keys)
                    checkup.findings += await self._check_shard(name, shard)
            return checkup

    async def repair(self, checkup: Checkup) -> list[str]:
        """Counts anew where counters are wrong, writes session hashes and events that are missing,
        and sets TTLs; what was done, a line each. A key of a wrong type is for people to delete.

        Raises:
            StoreError: Redis cannot do it now.
        """
        done: list[str] = []
        async with _failures():
            for tag in _unique(
                self._tag_of(f.key) for f in checkup.findings if f.invariant == COUNTERS
            ):
                try:
                    hour = await self._now_ms() // MS_PER_HOUR
                    keys = self._keys.of_tag(tag).all_of(hour)
                    call = Call(load("repair"), keys, ("", hour))
                    _, _, pages, countries, places = await run(self._client, call)
                except ResponseError as error:
                    done.append(f"could not count {tag} anew: Redis answers {kind_of(error)}")
                    continue
                done.append(
                    f"counted {tag} anew: {pages} pages, {countries} countries, {places} places"
                )
            for tag in _unique(
                self._tag_of(f.key)
                for f in checkup.findings
                if f.invariant in (HASHES, EVENT_REPLAY)
            ):
                shard = self._keys.of_tag(tag)
                sessions = {
                    f.key.removeprefix(shard.session_prefix)
                    for f in checkup.findings
                    if f.invariant == HASHES
                }
                done += await self._repair_sessions(shard, sessions)
            for key in _unique(f.key for f in checkup.findings if f.invariant == TTLS):
                kind = self._kind_of(key)
                if kind is None or kind.life_ms is None:
                    done.append(f"left {key} alone: it is not ours; delete it or give it a TTL")
                    continue
                # NX is what an expiry by hand cannot say before Redis 7; a race costs nothing here.
                if await self._client.pttl(key) == -1:
                    await self._client.pexpire(key, kind.life_ms)
                    done.append(f"gave {key} a TTL of {kind.life_ms / 1000:.0f} s")
        return done

    async def _repair_sessions(self, keys: ShardKeys, sessions: set[str]) -> list[str]:
        """Writes hashes as the members of these sessions say, and the events after which the log
        replays to `active`."""
        index, now_ms = await self._read_index(keys), await self._now_ms()
        if index.active is None:
            return []
        members = [member for text in index.active if (member := Member.parse(text))]
        commands: list[tuple[str | int, ...]] = []
        hashes = 0
        for member in members:
            score = index.active[str(member)]
            if member.session in sessions and score > now_ms:
                seen = min(now_ms, round(score) - self._config.session_timeout_ms)
                session = keys.session(member.session)
                commands.append(("DEL", session))
                commands.append(("HSET", session, "path", member.path, "seen", seen, "since", seen))
                if member.country != "--":
                    commands.append(("HSET", session, "country", member.country))
                commands.append(("PEXPIREAT", session, ceil(score)))
                hashes += 1
        log = index.events or []
        events = list(events_to_append(log, members, is_whole=index.is_events_whole))
        for kind, one in events:
            fields: list[str | int] = ["type", kind, "session", one.session, "path", one.path]
            fields += ["at", now_ms]
            fields += ["country", one.country, *(("reason", "ended") if kind == "left" else ())]
            commands.append(("XADD", keys.events, "*", *fields))
        if not commands:
            return []
        if events:  # the log may have been deleted
            commands.append(("PEXPIRE", keys.events, self._config.site_idle_ms))
        await self._atomic(*commands)
        return [f"wrote {hashes} session hashes and {len(events)} events of {keys.tag}"]

    # Keys: types and TTLs

    def _kind_of(self, key: str) -> _Kind | None:
        """The kind of a key below the prefix; None: this service does not write it."""
        keys, config = self._keys, self._config
        if key in (keys.due, keys.sites):
            return _Kind("zset", 400 * _DAY_MS)
        if key == keys.probe:
            return _Kind("string", 60_000)
        if key == keys.shard_count:
            return _Kind("string", 400 * _DAY_MS)
        tag, _, name = key[len(keys.prefix) + 2 :].partition("}:")
        first, _, rest = name.partition(":")
        idle, kept = config.site_idle_ms, 400 * _DAY_MS
        kinds = {
            "active": _Kind("zset", idle),
            "pages": _Kind("zset", idle),
            "countries": _Kind("zset", idle),
            "places": _Kind("zset", idle),
            "located": _Kind("hash", idle),
            "events": _Kind("stream", idle),
            "newcomers": _Kind("hash", 60_000),
            "views": _Kind("stream", kept),
            "types": _Kind("hash", kept),
            "totals": _Kind("hash", None),
            "top": _Kind("zset", None),
            "uniques": _Kind(self._type_of_uniques, None),
        }
        parts = {
            "session": _Kind("hash", config.session_timeout_ms),
            "viewed": _Kind("string", config.view_dedup_ms),
            "uniques": _Kind(self._type_of_uniques, kept),
            "minutes": _Kind("hash", 2 * _DAY_MS),
            "hours": _Kind("hash", kept),
        }
        return (parts if rest else kinds).get(first) if tag else None

    async def _check_keys(self, site: str | None, checkup: Checkup) -> set[str]:
        """Checks every key of the prefix or the site; returns the tags that were seen."""
        prefix = self._keys.prefix
        pattern = f"{prefix}:{{{site}[}}/]*" if site else f"{prefix}:*"
        tags: set[str] = set()
        async for names in self._scan(pattern):
            checkup.keys += len(names)
            self._progress("keys", checkup.keys)
            tags |= {self._tag_of(name) for name in names}
            checkup.findings += await self._key_faults(names)
        return tags - {""}

    def _tag_of(self, key: str) -> str:
        start = f"{self._keys.prefix}:{{"
        return key[len(start) :].partition("}")[0] if key.startswith(start) else ""

    async def _scan(self, pattern: str) -> AsyncIterator[list[str]]:
        """Yields keys by the hundreds, each once; on a cluster those of all primaries."""
        seen: set[str] = set()
        names: list[str] = []
        async for name in self._client.scan_iter(match=pattern, count=_CHUNK):
            if name in seen:
                continue
            seen.add(name)
            names.append(name)
            if len(names) == _CHUNK:
                yield names
                names = []
        if names:
            yield names

    async def _key_faults(self, names: Sequence[str]) -> list[Finding]:
        faults: list[Finding] = []
        for name, (kind, life_ms) in (await self._types_and_lives(names)).items():
            expected = self._kind_of(name)
            site = site_of(self._tag_of(name))
            if expected and kind not in (expected.type, "none"):
                what = f"is a {kind}; it should be a {expected.type}: delete it"
                faults.append(Finding(site, WRONG_TYPE, name, what))
            if life_ms == -1 and (expected is None or expected.life_ms is not None):
                faults.append(Finding(site, TTLS, name, "has no TTL: it would stay for ever"))
        return faults

    async def _types_and_lives(self, names: Sequence[str]) -> dict[str, tuple[str, int]]:
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.type(name)
            pipeline.pttl(name)
        flat = await pipeline.execute()
        return dict(zip(names, zip(flat[::2], flat[1::2], strict=True), strict=True))

    # One shard

    async def _check_shard(self, site: str, keys: ShardKeys) -> list[Finding]:
        now_ms = await self._now_ms()
        index = await self._read_index(keys)
        faults: list[Finding] = []

        def add(invariant: int, key: str, what: str) -> None:
            faults.append(Finding(site, invariant, key, what))

        if index.active is not None:
            members = []
            for text in index.active:
                member = Member.parse(text)
                if member is None:
                    add(HASHES, keys.active, f"has a member that names no session: {text!r}")
                else:
                    members.append(member)
            for key, counters, names in (
                (keys.pages, index.pages, [member.path for member in members]),
                (keys.countries, index.countries, [member.country for member in members]),
                (keys.places, index.places, _places(index.located or {})),
            ):
                if counters is not None:
                    for name, should, has in counter_faults(names, counters):
                        add(COUNTERS, key, f"counts {has:g} for {name}; it should be {should}")
            present = [m for m in members if index.active[str(m)] > now_ms]
            for key, what in await self._hash_faults(keys, present):
                add(HASHES, key, what)
            if index.events is not None:
                for session, what in life_faults(
                    index.events, members, is_whole=index.is_events_whole
                ):
                    add(EVENT_REPLAY, keys.events, f"session {session} {what}")
        if index.totals is not None and index.top is not None:
            for what in view_faults(
                _whole(index.totals.get("views")) or 0,
                _whole(index.totals.get("since")),
                sum(index.top.values()),
                index.views_appended,
                now_ms,
            ):
                add(VIEWS, keys.totals, what)
        return faults

    async def _read_index(self, keys: ShardKeys) -> _Index:
        active, pages, countries, places, located, *rest = await self._atomic(
            ("ZRANGE", keys.active, 0, -1, "WITHSCORES"),
            ("ZRANGE", keys.pages, 0, -1, "WITHSCORES"),
            ("ZRANGE", keys.countries, 0, -1, "WITHSCORES"),
            ("ZRANGE", keys.places, 0, -1, "WITHSCORES"),
            ("HGETALL", keys.located),
            ("XRANGE", keys.events, "-", "+"),
            ("XINFO", "STREAM", keys.events),
            ("HGETALL", keys.totals),
            ("ZRANGE", keys.top, 0, -1, "WITHSCORES"),
            ("XINFO", "STREAM", keys.views),
        )
        events, events_info, totals, top, views_info = rest
        return _Index(
            _scores(active),
            _scores(pages),
            _scores(countries),
            _scores(places),
            located,
            events,
            # Before Redis 7 nobody counts what was trimmed: then the log is taken as trimmed.
            not events or _appended(events_info) == len(events),
            totals,
            _scores(top),
            _appended(views_info),
        )

    async def _hash_faults(
        self, keys: ShardKeys, members: Sequence[Member]
    ) -> list[tuple[str, str]]:
        suspects: list[Member] = []
        for chunk in _chunks(members):
            hashes = await self._hashes(keys, chunk)
            suspects += [m for m, known in zip(chunk, hashes, strict=True) if _fault(m, known)]
        # A session that beats, leaves or expires while it is looked at gives a false picture:
        # member and hash are read again, of one moment.
        faults = []
        for member in suspects:
            score, known = await self._atomic(
                ("ZSCORE", keys.active, str(member)),
                ("HMGET", keys.session(member.session), "path", "country"),
            )
            if score is None or float(score) <= await self._now_ms():
                continue
            if what := _fault(member, known):
                faults.append((keys.session(member.session), what))
        return faults

    async def _atomic(self, *commands: tuple[str | int, ...]) -> list[Any]:
        """The replies of one MULTI/EXEC; None where a key has a wrong type, or XINFO finds no
        stream. Plain commands: those of redis-py's methods fail in a transaction on a cluster."""
        pipeline = self._client.pipeline(transaction=True)
        for command in commands:
            pipeline.execute_command(*command)
        replies = await pipeline.execute(raise_on_error=False)
        return [None if isinstance(reply, RedisError) else reply for reply in replies]

    async def _hashes(self, keys: ShardKeys, members: Iterable[Member]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for member in members:
            pipeline.hmget(keys.session(member.session), "path", "country")
        return list(await pipeline.execute(raise_on_error=False))

    async def _now_ms(self) -> int:
        # Of a cluster any node will do: the scripts ask theirs, and all of them are NTP's.
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
            node = self._client.get_random_node()
            seconds, microseconds = await self._client.time(target_nodes=node)
        else:
            seconds, microseconds = await self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _places(located: dict[str, str]) -> list[str]:
    """Where sessions are: a value is `<ms> <place>`, in 0.1.0 it was the place alone."""
    texts = (value.partition(" ") for value in located.values())
    return [rest if first.isdigit() else f"{first} {rest}" for first, _, rest in texts]


def _fault(member: Member, known: Any) -> str:
    """Says what is wrong with a session's hash; empty: nothing."""
    if known is None or isinstance(known, RedisError):
        return ""  # a wrong type: that is reported by itself
    path, country = known
    if path is None:
        return f"is gone, but active has it on {member.path}"
    if path != member.path:
        return f"says {path}, but active has it on {member.path}"
    if (country or "--") != member.country:
        return f"says country {country}, but active has {member.country}"
    return ""


def _appended(info: Any) -> int | None:
    """Entries that a stream ever had; None: there is no stream, or this Redis does not say."""
    count = dict(_pairs(info or ())).get("entries-added")
    return None if count is None else int(count)


def _scores(reply: Any) -> dict[str, float] | None:
    return None if reply is None else {name: float(score) for name, score in _pairs(reply)}


def _pairs(reply: Any) -> Iterable[tuple[Any, Any]]:
    """Pairs, however they came: flat (RESP2), as lists of two, or as a map (RESP3)."""
    if isinstance(reply, dict):
        return reply.items()
    if reply and isinstance(reply[0], list):
        return ((name, value) for name, value in reply)
    return zip(reply[::2], reply[1::2], strict=True)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _chunks(members: Iterable[Member]) -> Iterator[list[Member]]:
    rest = iter(members)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


@contextlib.asynccontextmanager
async def _failures() -> AsyncIterator[None]:
    try:
        yield
    except FAILURES as error:
        raise as_store_error(kind_of(error)) from error
