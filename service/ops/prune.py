"""Gives up the rows of paths that were viewed once, of which an attack, or years, leave many."""

from typing import Any

from service.redis.client import Connection
from service.store.keys import ShardKeys

_CHUNK = 500
OTHER = "__other__"


async def prune_paths(connection: Connection, shard: ShardKeys) -> int:
    """Counts the views of these paths under `__other__`; returns how many paths there were.

    They are taken out of `top` in one step and counted again in the next. Who is killed between
    the two leaves `top` short of the totals, which doctor reports as invariant 4.
    """
    client: Any = connection.client
    # Plain commands: those of redis-py's methods fail in a transaction on a cluster.
    pipeline = client.pipeline(transaction=True)
    pipeline.execute_command("ZRANGEBYSCORE", shard.top, 1, 1)
    pipeline.execute_command("ZREMRANGEBYSCORE", shard.top, 1, 1)
    names, _ = await pipeline.execute()
    if not names:
        return 0
    pipeline = client.pipeline(transaction=True)
    pipeline.execute_command("ZINCRBY", shard.top, len(names), OTHER)
    for start in range(0, len(names), _CHUNK):
        pipeline.execute_command("HDEL", shard.types, *names[start : start + _CHUNK])
    await pipeline.execute()
    return len(names) - (OTHER in names)
