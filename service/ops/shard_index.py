"""Reads all that there is of a site shard, in one step, for `presence doctor`."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from service.ops.invariants import COUNTERS, EVENT_REPLAY, HASHES, USERS, VIEWS
from service.redis.replies import appended, pairs_of
from service.store.keys import ShardKeys


@dataclass(slots=True)
class ShardIndex:
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
    users: dict[str, str] | None
    user_pages: dict[str, float] | None
    user_seen: dict[str, float] | None

    def unread(self, *, has_users: bool) -> set[int]:
        """The invariants for which a key is missing here that has a wrong type."""
        needed: dict[int, tuple[object, ...]] = {
            COUNTERS: (self.active, self.pages, self.countries, self.places, self.located),
            HASHES: (self.active,),
            EVENT_REPLAY: (self.active, self.events),
            VIEWS: (self.totals, self.top),
        }
        if has_users:
            needed[USERS] = (self.active, self.users, self.user_pages, self.user_seen)
        return {number for number, keys in needed.items() if any(key is None for key in keys)}


async def read_index(client: Any, keys: ShardKeys) -> ShardIndex:
    active, pages, countries, places, located, *rest = await atomic(
        client,
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
        *(_commands_of_users(keys) if keys.has_users else ()),
    )
    events, events_info, totals, top, views_info, *of_users = rest
    users, user_pages, user_seen = of_users or (None, None, None)
    return ShardIndex(
        _scores(active),
        _scores(pages),
        _scores(countries),
        _scores(places),
        located,
        events,
        # Before Redis 7 nobody counts what was trimmed: then the log is taken as trimmed.
        not events or appended(events_info) == len(events),
        totals,
        _scores(top),
        appended(views_info),
        users,
        _scores(user_pages),
        _scores(user_seen),
    )


def _commands_of_users(keys: ShardKeys) -> tuple[tuple[str | int, ...], ...]:
    return (
        ("HGETALL", keys.users),
        ("ZRANGE", keys.user_pages, 0, -1, "WITHSCORES"),
        ("ZRANGE", keys.user_seen, 0, -1, "WITHSCORES"),
    )


async def atomic(client: Any, *commands: tuple[str | int, ...]) -> list[Any]:
    """The replies of one MULTI/EXEC; None where a key has a wrong type, or XINFO finds no
    stream. Plain commands: those of redis-py's methods fail in a transaction on a cluster."""
    pipeline = client.pipeline(transaction=True)
    for command in commands:
        pipeline.execute_command(*command)
    replies = await pipeline.execute(raise_on_error=False)
    return [None if isinstance(reply, RedisError) else reply for reply in replies]


async def now_of(client: Any) -> int:
    """Redis's time, ms."""
    # Of a cluster any node will do: the scripts ask theirs, and all of them are NTP's.
    if isinstance(client, RedisCluster):
        await client.initialize()
        node = client.get_random_node()
        seconds, microseconds = await client.time(target_nodes=node)
    else:
        seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def places(located: dict[str, str]) -> list[str]:
    """Where sessions are, and how they came: a value is `<ms> <name>`, or several names with tabs
    between them; in 0.1.0 it was the place alone."""
    texts = (value.partition(" ") for value in located.values())
    noted = (rest if first.isdigit() else f"{first} {rest}" for first, _, rest in texts)
    return [name for names in noted for name in names.split("\t")]


def _scores(reply: Any) -> dict[str, float] | None:
    return None if reply is None else {name: float(score) for name, score in pairs_of(reply)}


def whole(text: str | None) -> int | None:
    """A whole number as Redis has it; None: it is none."""
    return int(text) if text is not None and text.isdigit() else None
