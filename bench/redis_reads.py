"""P9 and P10: what reading costs Redis as a site grows: `stats` and `active`.

The time is that of the script, from INFO commandstats. Before each `stats` a new session comes, as
in life: Redis keeps the count of a HyperLogLog only until somebody is added.
"""

from collections.abc import Awaitable, Callable
from itertools import count
from statistics import median

from bench import redis_growth
from bench.redis_crowd import CURVE, SITE, beat, command_line, filled, store_of, usec
from bench.result import Context, Result
from bench.server import Valkey, valkey
from bench.trial import spread
from service.store.store import PresenceStore

STATS_MS, STATS_RATIO, ACTIVE_US = 1.0, 3.0, 100.0
NEWCOMERS = count(10_000_000)


async def run(context: Context) -> list[Result]:
    """P9 and P10."""
    curve = [sessions for sessions in CURVE if sessions <= (10_000 if context.quick else 10**6)]
    rounds, calls = (3, 10) if context.quick else (9, 40)
    crowd = redis_growth.SESSIONS // (10 if context.quick else 1)
    context.progress.start("reads", len(curve) + 2)
    stats: dict[int, list[float]] = {}
    active: dict[int, list[float]] = {}
    refresh: dict[int, list[float]] = {}
    have = 0
    with valkey(context.folder) as redis:
        for sessions in curve:
            context.progress.step(f"{sessions:,} sessions")
            await filled(redis, sessions, have)
            have = sessions
            async with store_of(redis.url) as store:
                stats[sessions] = await _each(redis, store, store.stats, rounds, calls)
                refresh[sessions] = await _refreshes(redis, rounds, sessions)
                active[sessions] = await _each(redis, store, store.active, rounds, calls)
                assert (await store.active(SITE)).activeVisitors >= sessions
        redis.client.flushall()
        context.progress.step("pages")
        pages = await redis_growth.by_pages(redis, crowd)
        context.progress.step("shards")
        shards = await redis_growth.by_shards(redis, crowd)
    p9, p10 = _p9(stats), _p10(active)
    p9.detail |= {"by_pages": pages, "by_shards": shards}
    p9.detail["refresh_us_by_sessions"] = {str(n): median(us) for n, us in refresh.items()}
    return [p9, p10]


async def _refreshes(redis: Valkey, rounds: int, sessions: int) -> list[float]:
    """µs of Redis of one heartbeat that refreshes, in batches of 64; a figure per round."""
    figures, batches = [], 10
    async with store_of(redis.url, redis_growth.EAGER) as store:
        for number in range(rounds + 1):
            redis.client.config_resetstat()
            for batch in range(batches):
                # From all over the crowd: its neighbours in the index are others'.
                first = (number * batches + batch) * 7_919 % (sessions - redis_growth.BATCH)
                await redis_growth.refreshes(store, SITE, first)
            total_us, _ = usec(redis.client, "evalsha", "eval")
            figures.append(total_us / batches / redis_growth.BATCH)
    return figures[1:]


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
            total += usec(redis.client, "evalsha", "eval")[0]
        figures.append(total / calls)
    return figures[1:]


def _p9(stats: dict[int, list[float]]) -> Result:
    ms = {sessions: median(figures) / 1000 for sessions, figures in stats.items()}
    least, most = min(ms), max(ms)
    ratio = ms[most] / ms[least]
    return Result(
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
        detail={"by_sessions": {str(sessions): value for sessions, value in ms.items()}},
    )


def _p10(active: dict[int, list[float]]) -> Result:
    us = {sessions: median(figures) for sessions, figures in active.items()}
    most = max(us)
    return Result(
        "P10",
        f"one `active` at {most:,} sessions: Redis time",
        us[most],
        "µs",
        "",
        None,
        None,
        f"≤ {ACTIVE_US:g} µs",
        us[most] <= ACTIVE_US,
        spread(active[most]),
        detail={"by_sessions": {str(sessions): value for sessions, value in us.items()}},
    )


if __name__ == "__main__":
    command_line(run)
