"""Checks the invariants on a live Redis, and repairs what can be recomputed.

A site shard's index is read in one MULTI/EXEC, so a busy site gives no false alarms; what is read
outside of it (session hashes, TTLs) is looked at once more before it is reported. This is the
one place that scans the keyspace: nothing on a request path does.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError

from service.ops.invariants import (
    COUNTERS,
    EVENT_REPLAY,
    HASHES,
    TTLS,
    USERS,
    VIEWS,
    WRONG_TYPE,
    Finding,
    counter_faults,
    life_faults,
    user_faults,
    view_faults,
)
from service.ops.key_kinds import KeyKinds
from service.ops.repair import Repair
from service.ops.shard_index import atomic, now_of, places, read_index, whole
from service.ops.site_load import SiteLoad, recent_outcomes, site_loads
from service.redis.connection import Connection
from service.redis.failures import FAILURES, as_store_error
from service.store.config import StoreConfig
from service.store.keys import Keys, ShardKeys
from service.store.members import Member
from service.store.resharding.layouts import read_layouts
from service.store.tags import site_of

PATIENCE_S = 60.0  # for one answer: a million members take Redis a second or two
_CHUNK = 500


@dataclass(slots=True)
class Checkup:
    """What was found. `sites`: every site that was looked at; `keys`: keys that were; `looked_at`:
    by invariant, how many things were compared; `unread`: by invariant, in how many site shards a
    key of a wrong type was in the way; `nodes`: how many share the sites; `foldable`: by site, how
    many earlier shards can be folded into one; `needless`: the sites of which shards are there
    still that are folded already; `loads`: the sites that keep these busy."""

    sites: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    keys: int = 0
    looked_at: Counter[int] = field(default_factory=Counter)
    unread: Counter[int] = field(default_factory=Counter)
    nodes: int = 1
    foldable: Counter[str] = field(default_factory=Counter)
    needless: set[str] = field(default_factory=set)
    loads: list[SiteLoad] = field(default_factory=list)

    def of_site(self, site: str) -> list[Finding]:
        """The findings of one site; with an empty name, of keys that belong to none."""
        return [finding for finding in self.findings if finding.site == site]


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
        self._keys = keys
        self._config = config = config or StoreConfig()
        # fakeredis keeps a HyperLogLog as a set.
        type_of_uniques = "set" if connection.topology == "memory" else "string"
        self._kinds = KeyKinds(keys, config, type_of_uniques)
        self._progress = progress
        # Within it a session writes once, as long as it stays on its page.
        self._window_ms = max(config.heartbeat_dedup_ms, 1_000)

    async def check(self, site: str | None = None) -> Checkup:
        """Checks one site, or all.

        Raises:
            StoreError: Redis cannot do it now.
        """
        async with _failures(self._connection):
            await self._connection.check_topology(self._keys.probe)
            self._keys.know(await read_layouts(self._client, self._keys))
            checkup = Checkup([site] if site else [])
            tags = await self._check_keys(site, checkup)
            if site is None:
                is_broken = any(finding.key == self._keys.sites for finding in checkup.findings)
                known = [] if is_broken else await self._client.zrange(self._keys.sites, 0, -1)
                checkup.sites = sorted({*known, *(site_of(tag) for tag in tags)})
            before_ms = await now_of(self._client) - self._config.carried_within_ms
            recent: dict[str, Counter[str]] = {}
            for name in checkup.sites:
                recent[name] = Counter()
                all_shards = (*self._keys.with_logs(name), *self._keys.of_site(name))
                shards = {keys.tag: keys for keys in all_shards}
                # Shards of another SHARDS setting are looked at as well.
                others = sorted(tag for tag in tags if site_of(tag) == name)
                shards |= {tag: self._keys.of_tag(tag) for tag in others}
                if foldable := self._keys.layouts_of(name).foldable(before_ms):
                    checkup.foldable[name] = sum(layout.shards for layout in foldable)
                for shard in shards.values():
                    self._progress(shard.tag, checkup.keys)
                    recent[name] += await self._check_shard(name, shard, checkup)
            if isinstance(self._client, RedisCluster):
                checkup.nodes = len(self._client.get_primaries())
            checkup.loads = site_loads(
                recent,
                self._window_ms / 1000,
                checkup.nodes,
                lambda name: self._keys.layouts_of(name).shards,
            )
            checkup.looked_at[WRONG_TYPE] = checkup.looked_at[TTLS] = checkup.keys
            return checkup

    async def repair(self, checkup: Checkup) -> list[str]:
        """Repairs what was found, as far as it can be recomputed; what was done, a line each.

        Raises:
            StoreError: Redis cannot do it now.
        """
        async with _failures(self._connection):
            repair = Repair(self._client, self._keys, self._config, self._kinds)
            return await repair.repair(checkup.findings)

    # Keys: types and TTLs

    async def _check_keys(self, site: str | None, checkup: Checkup) -> set[str]:
        """Checks every key of the prefix or the site; returns the tags that were seen."""
        prefix = self._keys.prefix
        pattern = f"{prefix}:{{{site}[}}/]*" if site else f"{prefix}:*"
        tags: set[str] = set()
        async for names in self._scan(pattern):
            checkup.keys += len(names)
            self._progress("keys", checkup.keys)
            tags |= {self._kinds.tag_of(name) for name in names}
            await self._check_types_and_lives(names, checkup)
        return tags - {""}

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

    async def _check_types_and_lives(self, names: Sequence[str], checkup: Checkup) -> None:
        found = await self._types_and_lives(names)
        if any(self._is_wrong(name, kind) for name, (kind, _) in found.items()):
            # Or its site was split since the layouts were read: a retired shard has other keys.
            self._keys.know(await read_layouts(self._client, self._keys))
            found = await self._types_and_lives(names)
        strings = [name for name, (kind, _) in found.items() if kind == "string"]
        no_counts = await self._no_counts(strings)
        for name, (kind, life_ms) in found.items():
            expected = self._kinds.of(name)
            site = site_of(self._kinds.tag_of(name))
            if self._kinds.is_needless(name, kind):
                checkup.needless.add(site)
                continue
            if expected and self._is_wrong(name, kind):
                what = f"is a {kind}; it should be a {expected.type}: delete it"
                checkup.findings.append(Finding(site, WRONG_TYPE, name, what))
            if name in no_counts:
                what = "is no HyperLogLog: delete it"
                checkup.findings.append(Finding(site, WRONG_TYPE, name, what))
            if life_ms == -1 and (expected is None or expected.life_ms is not None):
                what = "has no TTL: it would stay for ever"
                checkup.findings.append(Finding(site, TTLS, name, what))

    def _is_wrong(self, name: str, kind: str) -> bool:
        expected = self._kinds.of(name)
        if expected is None or kind in (expected.type, "none"):
            return False
        return not self._kinds.is_being_retired(name, kind)

    async def _types_and_lives(self, names: Sequence[str]) -> dict[str, tuple[str, int]]:
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.type(name)
            pipeline.pttl(name)
        flat = await pipeline.execute()
        return dict(zip(names, zip(flat[::2], flat[1::2], strict=True), strict=True))

    async def _no_counts(self, names: Sequence[str]) -> set[str]:
        """The strings among these that should count unique visitors, and cannot."""
        counting = [name for name in names if self._kinds.counts_visitors(name)]
        pipeline = self._client.pipeline(transaction=False)
        for name in counting:
            pipeline.execute_command("PFCOUNT", name)  # pfcount() fails on a cluster
        replies = await pipeline.execute(raise_on_error=False) if counting else []
        return {n for n, reply in zip(counting, replies, strict=True) if _is_no_count(reply)}

    # One shard

    async def _check_shard(self, site: str, keys: ShardKeys, checkup: Checkup) -> Counter[str]:
        """Checks one shard; returns the outcomes of what it wrote within the last window."""
        now_ms = await now_of(self._client)
        index = await read_index(self._client, keys)
        checkup.unread.update(index.unread(has_users=keys.has_users))

        def add(invariant: int, key: str, what: str) -> None:
            checkup.findings.append(Finding(site, invariant, key, what))

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
                (keys.places, index.places, places(index.located or {})),
            ):
                if counters is not None:
                    checkup.looked_at[COUNTERS] += len(counters)
                    for name, should, has in counter_faults(names, counters):
                        add(COUNTERS, key, f"counts {has:g} for {name}; it should be {should}")
            if index.users is not None and index.user_pages is not None:
                checkup.looked_at[USERS] += len(index.users)
                for key, what in user_faults(
                    members, index.users, index.user_pages, index.user_seen or {}
                ):
                    add(USERS, getattr(keys, key), what)
            present = [m for m in members if index.active[str(m)] > now_ms]
            checkup.looked_at[HASHES] += len(present)
            for key, what in await self._hash_faults(keys, present):
                add(HASHES, key, what)
            if index.events is not None:
                checkup.looked_at[EVENT_REPLAY] += len(index.events)
                for session, what in life_faults(
                    index.events, members, is_whole=index.is_events_whole
                ):
                    add(EVENT_REPLAY, keys.events, f"session {session} {what}")
        if index.totals is not None and index.top is not None and keys.past != "folded_":
            checkup.looked_at[VIEWS] += whole(index.totals.get("views")) or 0
            for what in view_faults(
                whole(index.totals.get("views")) or 0,
                whole(index.totals.get("since")),
                sum(index.top.values()),
                index.views_appended,
                now_ms,
            ):
                add(VIEWS, keys.totals, what)
        return recent_outcomes(
            index.active or {},
            index.events or (),
            since_ms=now_ms - self._window_ms,
            timeout_ms=self._config.session_timeout_ms,
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
            score, known = await atomic(
                self._client,
                ("ZSCORE", keys.active, str(member)),
                ("HMGET", keys.session(member.session), "path", "country", "user"),
            )
            if score is None or float(score) <= await now_of(self._client):
                continue
            if what := _fault(member, known):
                faults.append((keys.session(member.session), what))
        return faults

    async def _hashes(self, keys: ShardKeys, members: Iterable[Member]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for member in members:
            pipeline.hmget(keys.session(member.session), "path", "country", "user")
        return list(await pipeline.execute(raise_on_error=False))


def _fault(member: Member, known: Any) -> str:
    """Says what is wrong with a session's hash; empty: nothing."""
    if known is None or isinstance(known, RedisError):
        return ""  # a wrong type: that is reported by itself
    path, country, user = known
    if path is None:
        return f"is gone, but active has it on {member.path}"
    if path != member.path:
        return f"says {path}, but active has it on {member.path}"
    if (country or "--") != member.country:
        return f"says country {country}, but active has {member.country}"
    if (user or "") != member.user:
        return f"says user {user}, but active has {member.user or 'none'}"
    return ""


def _chunks(members: Iterable[Member]) -> Iterator[list[Member]]:
    rest = iter(members)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _is_no_count(reply: object) -> bool:
    said = str(reply) if isinstance(reply, ResponseError) else ""
    return "HyperLogLog" in said or "HLL" in said


@contextlib.asynccontextmanager
async def _failures(connection: Connection) -> AsyncIterator[None]:
    try:
        yield
    except FAILURES as error:
        raise as_store_error(connection.kind_of(error)) from error
