"""P9 and P10: what reading costs Redis as a site grows: `stats` and `active`; and, for the chapter
on growth, a refresh, and both with more shards.

The time is that of the scripts, from INFO commandstats. Before each `stats` a new session comes,
as in life: Redis keeps the count of a HyperLogLog only until somebody is added.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from statistics import median

from bench.crowd import CURVE, LONG, SITE, beat, fill, filled, store_of
from bench.result import Context, Result, spread
from bench.server import Valkey, valkey
from service.store.store import PresenceStore

STATS_MS, STATS_RATIO, ACTIVE_US = 1.0, 3.0, 100.0
BATCH = 64
SHARDS, CROWD = (1, 3, 12), 20_480
NEWCOMERS = count(10_000_000)
EAGER = replace(LONG, heartbeat_dedup_ms=0)  # each repeat is a refresh


async def run(context: Context) -> list[Result]:
    """P9 and P10."""
    curve = CURVE[:2] if context.quick else CURVE
    rounds, calls = (3, 10) if context.quick else (9, 40)
    stats: dict[int, list[float]] = {}
    active: dict[int, list[float]] = {}
    refresh: dict[int, float] = {}
    by_shards: dict[int, dict[str, float]] = {}
    have = 0
    with valkey(context.folder) as redis:
        for sessions in curve:
            context.say(f"reads, {sessions:,} sessions")
            await filled(redis, sessions, have)
            have = sessions
            async with store_of(redis.url, EAGER) as store:
                stats[sessions] = await _each(redis, store, store.stats, rounds, calls)
                refresh[sessions] = await _refresh_us(redis, store, rounds, sessions)
                active[sessions] = await _each(redis, store, store.active, rounds, calls)
                assert (await store.active(SITE)).activeVisitors >= sessions
        for shards in () if context.quick else SHARDS:
            context.say(f"reads, {shards} shards")
            redis.client.flushall()
            async with store_of(redis.url, EAGER, shards) as store:
                await fill(store, range(CROWD))
                by_shards[shards] = {
                    "refresh_us": await _refresh_us(redis, store, 3, CROWD),
                    "stats_us": median(await _each(redis, store, store.stats, 3, 10)),
                }
    ms = {sessions: median(figures) / 1000 for sessions, figures in stats.items()}
    us = {sessions: median(figures) for sessions, figures in active.items()}
    least, most = curve[0], curve[-1]
    ratio = ms[most] / ms[least]
    return [
        Result(
            "P9",
            f"one `stats` at {most:,} sessions on 1,000 pages: Redis time",
            ms[most],
            "ms",
            f"{least:,} sessions",
            ms[least],
            ratio,
            f"≤ {STATS_MS:g} ms, ≤ {STATS_RATIO:g} ×",
            ms[most] <= STATS_MS and ratio <= STATS_RATIO,
            spread([figure / 1000 for figure in stats[most]]),
            detail={"by_sessions": ms, "refresh_us_by_sessions": refresh, "by_shards": by_shards},
        ),
        Result(
            "P10",
            f"one `active` at {most:,} sessions: Redis time",
            us[most],
            "µs",
            bar=f"≤ {ACTIVE_US:g} µs",
            reached=us[most] <= ACTIVE_US,
            spread=spread(active[most]),
            detail={"by_sessions": us},
        ),
    ]


async def _refresh_us(redis: Valkey, store: PresenceStore, rounds: int, sessions: int) -> float:
    """µs of Redis of one heartbeat that refreshes, in batches of 64."""
    figures, batches = [], 10
    for number in range(rounds + 1):
        redis.client.config_resetstat()
        for batch in range(batches):
            # From all over the crowd: its neighbours in the index are others'.
            first = (number * batches + batch) * 7_919 % (sessions - BATCH)
            beats = [beat(n) for n in range(first, first + BATCH)]
            outcomes = set(await store.heartbeats(SITE, beats))
            if outcomes != {"refreshed"}:
                raise RuntimeError(f"not refreshed: {outcomes}")
        figures.append(redis.usec() / batches / BATCH)
    return median(figures[1:])


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
