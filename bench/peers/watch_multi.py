"""A heartbeat under optimistic locking: WATCH, read, MULTI, write, EXEC, and all again where
somebody was faster: `python -m bench.peers.watch_multi redis://127.0.0.1:6379`."""

import asyncio
import sys
import time
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import WatchError

from bench.peers import CLIENTS, HEARTBEATS, SESSION, TIMEOUT_MS, WINDOW_MS, Tally, path_of


async def heartbeat(redis: Any, key: str, path: str) -> tuple[str, int]:
    """The outcome, and how many attempts somebody else's write undid."""
    retries = 0
    async with redis.pipeline(transaction=True) as pipeline:
        while True:
            await pipeline.watch(f"{key}:session")
            known = await pipeline.hgetall(f"{key}:session")
            now = int(time.time() * 1000)
            if known and known["path"] == path and now - int(known["seen"]) < WINDOW_MS:
                await pipeline.unwatch()
                return "duplicate", retries
            pipeline.multi()
            pipeline.hset(f"{key}:session", mapping={"path": path, "seen": now})
            pipeline.pexpire(f"{key}:session", TIMEOUT_MS)
            if known and known["path"] == path:
                outcome = "refreshed"
            else:
                outcome = "moved" if known else "created"
                pipeline.zincrby(f"{key}:pages", 1, path)
                pipeline.incr(f"{key}:views")
                if known:
                    pipeline.zincrby(f"{key}:pages", -1, known["path"])
            try:
                await pipeline.execute()
            except WatchError:
                retries += 1
                continue
            return outcome, retries


async def run(
    url: str, pages: int = 1, heartbeats: int = HEARTBEATS, clients: int = CLIENTS
) -> Tally:
    """So many clients, each on a connection of its own, share out the heartbeats of a session."""
    pool = BlockingConnectionPool.from_url(url, max_connections=clients, decode_responses=True)
    redis: Any = Redis.from_pool(pool)
    key = f"watch-multi:{{{pages}}}:{SESSION}"
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
        tally.on_pages = sum(
            abs(int(count))
            for _, count in await redis.zrange(f"{key}:pages", 0, -1, withscores=True)
        )
        await redis.delete(f"{key}:session", f"{key}:views", f"{key}:pages")
    finally:
        await redis.aclose()
    return tally


if __name__ == "__main__":
    print(asyncio.run(run(sys.argv[1])))
