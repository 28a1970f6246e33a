"""P8, P9 and P10: the memory of a session with one view marker, and what reads cost Redis, of a
small site and of a large one.

`used_memory` is read while nothing else happens, less what the empty server needs; the streams, of
a fixed length, are kept short. The time is that of scripts, from INFO commandstats; before each
call a new session comes: Redis keeps the count of a HyperLogLog only until somebody is added.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from statistics import median

from bench.crowd import LONG, SITE, beat, fill, store_of
from bench.result import Context, Result, spread
from bench.server import Valkey, valkey
from service.store.store import PresenceStore

BYTES, STATS_MS, STATS_RATIO, ACTIVE_US = 500, 1.0, 3.0, 100.0
PROTOTYPE = 646  # bytes: a hash and a hash of viewed paths per session, and the same index
SHORT_STREAMS = replace(LONG, events_maxlen=1, views_maxlen=1)
NEWCOMERS = count(10_000_000)


async def run(context: Context) -> list[Result]:
    """P8, P9 and P10."""
    least, most = (1_000, 10_000) if context.quick else (1_000, 1_000_000)
    rounds, calls = (3, 10) if context.quick else (9, 40)
    stats: dict[int, list[float]] = {}
    with valkey(context.folder) as redis:
        async with store_of(redis.url, SHORT_STREAMS) as store:
            await fill(store, range(-1, 0))  # the empty server has its connections and the script
            redis.client.flushall()
            empty = settled(redis)
            for have, sessions in ((0, least), (least, most)):
                context.say(f"memory and reads, {sessions:,} sessions")
                await fill(store, range(have, sessions))
                there = (await store.active(SITE)).activeVisitors
                each = (settled(redis) - empty) / there
                us = await _each(redis, store, store.stats, rounds, calls)
                stats[sessions] = [figure / 1000 for figure in us]
                active = await _each(redis, store, store.active, rounds, calls)
    ms, of_few, us_of_active = median(stats[most]), median(stats[least]), median(active)
    what = f"Redis memory per active session, {most:,} sessions with one view marker each"
    against, bar = "a hash of viewed paths per session", f"≤ {BYTES} B"
    memory = Result("P8", what, each, "B", against, PROTOTYPE, each / PROTOTYPE, bar, each <= BYTES)
    what, against = f"one `stats` at {most:,} sessions on 1,000 pages", f"{least:,} sessions"
    bar, is_reached = (
        f"≤ {STATS_MS:g} ms, ≤ {STATS_RATIO:g} ×",
        ms <= min(STATS_MS, STATS_RATIO * of_few),
    )
    ratio, shown = ms / of_few, spread(stats[most])
    reads = Result("P9", what, ms, "ms", against, of_few, ratio, bar, is_reached, shown)
    what, bar = f"one `active` at {most:,} sessions: Redis time", f"≤ {ACTIVE_US:g} µs"
    is_reached, shown = us_of_active <= ACTIVE_US, spread(active)
    actives = Result("P10", what, us_of_active, "µs", bar=bar, reached=is_reached, spread=shown)
    return [memory, reads, actives]


async def _each(
    redis: Valkey,
    store: PresenceStore,
    read: Callable[[str], Awaitable[object]],
    rounds: int,
    calls: int,
) -> list[float]:
    """µs of one call, a figure per round. The first round, which warms up, is left out."""
    figures = []
    for _ in range(rounds + 1):
        total = 0.0
        for _ in range(calls):
            await store.heartbeat(SITE, beat(next(NEWCOMERS)))
            redis.client.config_resetstat()
            await read(SITE)
            total += redis.usec()
        figures.append(total / calls)
    return figures[1:]


def settled(redis: Valkey) -> int:
    """`used_memory` once it no longer changes: tables grow over some time."""
    earlier = -1
    for _ in range(100):
        used = int(redis.client.info("memory")["used_memory"])
        if abs(used - earlier) < 1_000:
            return used
        earlier = used
        time.sleep(0.2)
    return earlier
