"""A heartbeat decided by its program: with GET, then SET, and under optimistic locking."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import WatchError

WINDOW_MS, TIMEOUT_MS = 10_000, 120_000
CLIENTS, HEARTBEATS = 64, 10_000
SESSION = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


@dataclass
class Tally:
    """What the clients of one session were told, and how many attempts were made again."""

    outcomes: Counter[str] = field(default_factory=Counter)
    retries: int = 0

    @property
    def writes(self) -> int:
        return self.outcomes.total() - self.outcomes["duplicate"]


def _write(pipeline: Any, known: dict[str, str], now: int) -> str:
    pipeline.hset(SESSION, mapping={"path": "/", "seen": now})
    pipeline.pexpire(SESSION, TIMEOUT_MS)
    if known:
        return "refreshed"
    pipeline.zincrby("pages", 1, "/")
    pipeline.incr("views")
    return "created"


async def heartbeat(redis: Any, is_watched: bool, tally: Tally) -> str:
    """The outcome; where the session is watched, all again until nobody was faster."""
    async with redis.pipeline(transaction=True) as pipeline:
        while True:
            if is_watched:
                await pipeline.watch(SESSION)
            known = await (pipeline if is_watched else redis).hgetall(SESSION)
            now = int(time.time() * 1000)
            if known and now - int(known["seen"]) < WINDOW_MS:
                return "duplicate"
            if is_watched:
                pipeline.multi()
            outcome = _write(pipeline, known, now)
            try:
                await pipeline.execute()
                return outcome
            except WatchError:
                tally.retries += 1


async def run(url: str, is_watched: bool) -> Tally:
    """Clients, each on a connection of its own, share out the heartbeats of one session."""
    pool: Any = BlockingConnectionPool.from_url(url, max_connections=CLIENTS, decode_responses=True)
    redis: Any = Redis.from_pool(pool)
    tally, numbers = Tally(), iter(range(HEARTBEATS))

    async def client() -> None:
        for _ in numbers:
            tally.outcomes[await heartbeat(redis, is_watched, tally)] += 1

    await asyncio.gather(*[pool.release(await pool.get_connection()) for _ in range(CLIENTS)])
    await redis.delete(SESSION, "pages", "views")
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    await redis.aclose()
    return tally
