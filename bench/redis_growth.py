"""What has no bar of its own: how a heartbeat's and a read's cost grows with pages and shards.

A crowd of one size each, on sites of their own, in one Redis; figures are µs of scripts from INFO
commandstats, medians. They are told in docs/benchmarks.md, in the chapter on growth.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from statistics import median

from bench.redis_crowd import LONG, beat, fill, store_of, usec
from bench.server import Valkey
from service.store.store import PresenceStore

SESSIONS = 20_480
PAGES = (10, 100, 1_000, 10_000)
SHARDS = (1, 3, 12)
BATCH = 64
CALLS, ROUNDS = 20, 3
EAGER = replace(LONG, heartbeat_dedup_ms=0)  # each repeat is a refresh


async def by_pages(redis: Valkey, sessions: int = SESSIONS) -> dict[str, dict[str, float]]:
    """µs of a refresh and of a `stats`, by the number of pages."""
    figures = {}
    for pages in PAGES:
        site = f"pages-{pages}"
        async with store_of(redis.url, EAGER) as store:
            await fill(store, range(sessions), site=site, pages=pages)
            figures[str(pages)] = await _figures(redis, store, site, pages)
    return figures


async def by_shards(redis: Valkey, sessions: int = SESSIONS) -> dict[str, dict[str, float]]:
    """µs of a refresh and of a `stats`, all shards together, by the number of shards."""
    figures = {}
    for shards in SHARDS:
        site = f"shards-{shards}"
        async with store_of(redis.url, EAGER, shards) as store:
            await fill(store, range(sessions), site=site)
            figures[str(shards)] = await _figures(redis, store, site)
    return figures


async def _figures(
    redis: Valkey, store: PresenceStore, site: str, pages: int = 1_000
) -> dict[str, float]:
    async def refresh() -> None:
        await refreshes(store, site, 0, pages)

    async def read() -> None:
        await store.stats(site)

    return {
        "refresh_us": await _us(redis, refresh) / BATCH,
        "stats_us": await _us(redis, read),
    }


async def refreshes(store: PresenceStore, site: str, first: int, pages: int = 1_000) -> None:
    """A batch of heartbeats that must all be refreshes."""
    beats = [beat(number, pages=pages) for number in range(first, first + BATCH)]
    outcomes = await store.heartbeats(site, beats)
    if set(outcomes) != {"refreshed"}:
        raise RuntimeError(f"not refreshed: {set(outcomes)}")


async def _us(redis: Valkey, work: Callable[[], Awaitable[None]]) -> float:
    """µs of one call; the first round, which warms up, is left out."""
    figures = []
    for _ in range(ROUNDS + 1):
        redis.client.config_resetstat()
        for _ in range(CALLS):
            await work()
        total_us, _ = usec(redis.client, "evalsha", "eval")
        figures.append(total_us / CALLS)
    return median(figures[1:])
