"""Deletes a site: every key of it, and its name from the lists."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from service.redis.connection import Connection
from service.store.keys import PASTS, RENAMED, Keys, ShardKeys
from service.store.tags import site_of

_CHUNK = 500
_PASSING = ("session:", "viewed:")  # the keys of one session, which expire by themselves


async def delete_site(
    connection: Connection, keys: Keys, site: str, progress: Callable[[int], None]
) -> int:
    """Deletes all that is kept of a site; returns how many keys that was.

    First what names a session, then all counters and logs of a shard in one step, also those that
    were not there yet when they were looked for: whoever sends a heartbeat meanwhile finds a shard
    that is new or one that is whole. Where it fails on its way, deleting again does the rest.

    Args:
        progress: told how many keys are gone so far.

    Raises:
        RedisError: Redis cannot do it now.
    """
    client: Any = connection.client
    deleted = 0
    shards: dict[str, set[str]] = {}
    async for names in _keys_of(client, keys, site):
        passing: dict[str, list[str]] = {}
        for name in names:
            tag, _, rest = name[len(keys.prefix) + 2 :].partition("}:")
            kept = shards.setdefault(tag, set())
            if rest.startswith(_PASSING):
                passing.setdefault(tag, []).append(name)
            else:
                kept.add(name)
        for some in passing.values():  # of one slot each
            deleted += await client.unlink(*some)
        progress(deleted)
    # The lists before the keys: whoever comes to a shard that is empty enters both again.
    await client.zrem(keys.sites, site)
    async for name in client.scan_iter(match=keys.webhook(site, "*"), count=_CHUNK):
        deleted += await client.unlink(name)
    hour = int(time.time()) // 3600
    for tag, found in shards.items():
        await client.zrem(keys.due, tag)
        deleted += await client.unlink(*(found | _made_meanwhile(keys.of_tag(tag), hour)))
        progress(deleted)
    return deleted


def _made_meanwhile(shard: ShardKeys, hour: int) -> set[str]:
    """What a heartbeat may write beside sessions, in this hour and those about it."""
    names = {shard.shares, shard.user_pages, shard.user_seen, shard.users}
    names |= {f"{shard.base}{past}{name}" for past in PASTS for name in RENAMED}
    for each in (hour - 1, hour, hour + 1):
        names |= {*shard.all_of(each), shard.sources_of(each)}
    return names


async def _keys_of(client: Any, keys: Keys, site: str) -> AsyncIterator[Sequence[str]]:
    """The keys of a site, of other numbers of shards too; on a cluster those of all primaries."""
    names: list[str] = []
    async for name in client.scan_iter(match=f"{keys.prefix}:{{{site}[}}/]*", count=_CHUNK):
        tag = name[len(keys.prefix) + 2 :].partition("}")[0]
        if site_of(tag) == site:
            names.append(name)
        if len(names) == _CHUNK:
            yield names
            names = []
    yield names
