"""Repairs what `presence doctor` has found, as far as it can be recomputed."""

from math import ceil
from typing import Any

from redis.exceptions import ResponseError

from service.ops.invariants import (
    COUNTERS,
    EVENT_REPLAY,
    HASHES,
    TTLS,
    USERS,
    Finding,
    events_to_append,
)
from service.ops.key_kinds import KeyKinds
from service.ops.shard_index import atomic, now_of, read_index
from service.redis.failures import kind_of
from service.redis.scripts import Call, load, run
from service.store.config import StoreConfig
from service.store.keys import MS_PER_HOUR, Keys, ShardKeys
from service.store.members import Member


class Repair:
    """Repairs site shards below one prefix."""

    def __init__(self, client: Any, keys: Keys, config: StoreConfig, kinds: KeyKinds) -> None:
        self._client = client
        self._keys = keys
        self._config = config
        self._kinds = kinds

    async def repair(self, findings: list[Finding]) -> list[str]:
        """Counts anew where counters or rows of users are wrong, writes session hashes and events
        that are missing, and sets TTLs; what was done, a line each. A key of a wrong type is for
        people to delete.

        Raises:
            RedisError: Redis cannot do it now.
        """
        done: list[str] = []
        for tag in self._tags(findings, COUNTERS, USERS):
            done.append(await self._count_anew(tag))
        for tag in self._tags(findings, HASHES, EVENT_REPLAY):
            shard = self._keys.of_tag(tag)
            sessions = {
                f.key.removeprefix(shard.session_prefix) for f in findings if f.invariant == HASHES
            }
            done += await self._repair_sessions(shard, sessions)
        for key in dict.fromkeys(f.key for f in findings if f.invariant == TTLS):
            done += await self._set_ttl(key)
        return done

    def _tags(self, findings: list[Finding], *invariants: int) -> list[str]:
        tags = (self._kinds.tag_of(f.key) for f in findings if f.invariant in invariants)
        return list(dict.fromkeys(tags))

    async def _count_anew(self, tag: str) -> str:
        hour = await now_of(self._client) // MS_PER_HOUR
        call = Call(load("repair"), self._keys.of_tag(tag).all_of(hour), ("", hour))
        try:
            _, _, pages, countries, places, *users = await run(self._client, call)
        except ResponseError as error:
            return f"could not count {tag} anew: Redis answers {kind_of(error)}"
        here = f", {users[0]} users" if users else ""
        return f"counted {tag} anew: {pages} pages, {countries} countries, {places} places{here}"

    async def _set_ttl(self, key: str) -> list[str]:
        kind = self._kinds.of(key)
        if kind is None or kind.life_ms is None:
            return [f"left {key} alone: it is not ours; delete it or give it a TTL"]
        # NX is what an expiry by hand cannot say before Redis 7; a race costs nothing here.
        if await self._client.pttl(key) != -1:
            return []
        await self._client.pexpire(key, kind.life_ms)
        return [f"gave {key} a TTL of {kind.life_ms / 1000:.0f} s"]

    async def _repair_sessions(self, keys: ShardKeys, sessions: set[str]) -> list[str]:
        """Writes hashes as the members of these sessions say, and the events after which the log
        replays to `active`."""
        index, now_ms = await read_index(self._client, keys), await now_of(self._client)
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
                if member.user:
                    commands.append(("HSET", session, "user", member.user))
                commands.append(("PEXPIREAT", session, ceil(score)))
                hashes += 1
        log = index.events or []
        events = list(events_to_append(log, members, is_whole=index.is_events_whole))
        for kind, one in events:
            fields: list[str | int] = ["type", kind, "session", one.session, "path", one.path]
            fields += ["at", now_ms]
            fields += ["country", one.country, *(("reason", "ended") if kind == "left" else ())]
            fields += ["user", one.user] if one.user else []
            commands.append(("XADD", keys.events, "*", *fields))
        if not commands:
            return []
        if events:  # the log may have been deleted
            commands.append(("PEXPIRE", keys.events, self._config.site_idle_ms))
        await atomic(self._client, *commands)
        return [f"wrote {hashes} session hashes and {len(events)} events of {keys.tag}"]
