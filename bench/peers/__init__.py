"""The same job written otherwise, as small and as fair as we can: what the service is measured
against."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis

WINDOW_MS = 10_000
TIMEOUT_MS = 120_000
CLIENTS = 64
HEARTBEATS = 10_000
SESSION = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


@dataclass
class Tally:
    """What became of many concurrent heartbeats of one session.

    `outcomes`: what the clients were told; `retries`: attempts that had to be made again;
    `views`, `on_pages`: what Redis holds afterwards: views counted, and sessions on all pages.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    views: int = 0
    on_pages: int = 0

    @property
    def writes(self) -> int:
        """How often the session was written."""
        return sum(n for outcome, n in self.outcomes.items() if outcome != "duplicate")


def path_of(heartbeat: int, pages: int) -> str:
    """The page of the n-th heartbeat, where a session wanders over so many."""
    return f"/{heartbeat % pages}"


def is_repeat(known: dict[str, str], path: str, now: int) -> bool:
    """Whether there is nothing to write."""
    return bool(known) and known["path"] == path and now - int(known["seen"]) < WINDOW_MS


def write(pipeline: Any, key: str, known: dict[str, str], path: str, now: int) -> str:
    """Queues what a heartbeat writes; its outcome."""
    pipeline.hset(f"{key}:session", mapping={"path": path, "seen": now})
    pipeline.pexpire(f"{key}:session", TIMEOUT_MS)
    if known and known["path"] == path:
        return "refreshed"
    pipeline.zincrby(f"{key}:pages", 1, path)
    pipeline.incr(f"{key}:views")
    if known:
        pipeline.zincrby(f"{key}:pages", -1, known["path"])
    return "moved" if known else "created"


async def share_out(
    heartbeat: Callable[[Any, str, str], Awaitable[tuple[str, int]]],
    url: str,
    pages: int,
    heartbeats: int,
    clients: int,
) -> Tally:
    """So many clients, each on a connection of its own, share out the heartbeats of a session."""
    pool = BlockingConnectionPool.from_url(url, max_connections=clients, decode_responses=True)
    redis: Any = Redis.from_pool(pool)
    key = f"{heartbeat.__module__}:{{{pages}}}:{SESSION}"
    tally = Tally()
    numbers = iter(range(heartbeats))

    async def client() -> None:
        for n in numbers:
            outcome, retries = await heartbeat(redis, key, path_of(n, pages))
            tally.outcomes[outcome] += 1
            tally.retries += retries

    try:
        await asyncio.gather(*(redis.ping() for _ in range(clients)))  # all are connected
        await asyncio.gather(*(client() for _ in range(clients)))
        tally.views = int(await redis.get(f"{key}:views") or 0)
        counts = await redis.zrange(f"{key}:pages", 0, -1, withscores=True)
        tally.on_pages = sum(abs(int(count)) for _, count in counts)
        await redis.delete(f"{key}:session", f"{key}:views", f"{key}:pages")
    finally:
        await redis.aclose()
    return tally
