"""Moves paths that were seldom viewed from rows of their own to `__other__`."""

from typing import Any

from service.redis.connection import Connection
from service.redis.failures import FAILURES, as_store_error
from service.redis.replies import pairs_of
from service.store.keys import ShardKeys

_CHUNK = 500
OTHER = "__other__"


async def prune_paths(
    connection: Connection, shard: ShardKeys, most: int = 1
) -> list[tuple[str, int]]:
    """Counts the views of paths that were viewed at most so often under `__other__`; returns these
    paths with their views, least first.

    They are taken out of `top` in one step and counted again in the next. Who is killed between
    the two leaves `top` short of the totals, which doctor reports as invariant 4.

    Raises:
        StoreError: Redis cannot do it; WrongTypeError where a key has a wrong type.
    """
    try:
        return await _moved(connection.client, shard, most)
    except FAILURES as error:
        raise as_store_error(connection.kind_of(error)) from error


async def _moved(client: Any, shard: ShardKeys, most: int) -> list[tuple[str, int]]:
    # Plain commands: those of redis-py's methods fail in a transaction on a cluster.
    pipeline = client.pipeline(transaction=True)
    pipeline.execute_command("ZRANGEBYSCORE", shard.top, 1, most, "WITHSCORES")
    pipeline.execute_command("ZREMRANGEBYSCORE", shard.top, 1, most)
    pipeline.execute_command("DEL", shard.top_order)  # made anew when there is no room again
    found, *_ = await pipeline.execute()
    rows = [(str(path), int(float(views))) for path, views in pairs_of(found)]
    if not rows:
        return []
    paths = [path for path, _ in rows]
    await client.execute_command("ZINCRBY", shard.top, sum(views for _, views in rows), OTHER)
    pipeline = client.pipeline(transaction=True)
    for start in range(0, len(paths), _CHUNK):
        pipeline.execute_command("HDEL", shard.types, *paths[start : start + _CHUNK])
    await pipeline.execute(raise_on_error=False)  # of a wrong type there is nothing to forget
    return [row for row in rows if row[0] != OTHER]
