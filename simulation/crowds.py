"""What a session costs Redis beside its heartbeats: memory while it is there, a sweep when it has
gone."""

import asyncio
from dataclasses import replace

from bench.crowd import CHUNK, LONG, SITE, beat, fill, store_of, write
from bench.redis_crowd import settled
from bench.result import Context
from bench.server import valkey

CROWD = 65_536
GOING = replace(LONG, session_timeout_ms=2_000)


async def measured(context: Context, crowd: int = CROWD) -> tuple[float, float]:
    """Bytes of a session, and µs of sweeping one."""
    with valkey(context.folder) as redis:
        async with store_of(redis.url, replace(LONG, events_maxlen=1, views_maxlen=1)) as store:
            await fill(store, range(1))
            redis.client.flushall()
            empty = settled(redis)
            await fill(store, range(crowd))
        session_bytes = (settled(redis) - empty) / crowd
        redis.client.flushall()
        async with store_of(redis.url, GOING) as store:
            await write(store, SITE, [beat(number) for number in range(2 * CHUNK)])
            (tag,) = (keys.tag for keys in store.keys.of_site(SITE))
            await asyncio.sleep(GOING.session_timeout_ms / 1000)
            began_s, removed = redis.program.cpu_s(), 0
            while (sweep := await store.sweep(tag)).removed:
                removed += sweep.removed
            return session_bytes, (redis.program.cpu_s() - began_s) / removed * 1e6
