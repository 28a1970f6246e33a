"""A heartbeat that reads the session and then writes it back, with nothing in between to hold
others off: `python -m bench.peers.get_then_set redis://127.0.0.1:6379`."""

import asyncio
import sys
import time
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis

from bench.peers import CLIENTS, HEARTBEATS, SESSION, TIMEOUT_MS, WINDOW_MS, Tally, path_of


async def heartbeat(redis: Any, key: str, path: str) -> str:
    """Decides in the client, from what was read a moment ago."""
    known = await redis.hgetall(f"{key}:session")
    now = int(time.time() * 1000)
    if known and known["path"] == path and now - int(known["seen"]) < WINDOW_MS:
        return "duplicate"
    pipeline = redis.pipeline(transaction=True)
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
    await pipeline.execute()
    return outcome


async def run(
    url: str, pages: int = 1, heartbeats: int = HEARTBEATS, clients: int = CLIENTS
) -> Tally:
    """So many clients, each on a connection of its own, share out the heartbeats of a session."""
    pool = BlockingConnectionPool.from_url(url, max_connections=clients, decode_responses=True)
    redis: Any = Redis.from_pool(pool)
    key = f"get-then-set:{{{pages}}}:{SESSION}"
    tally = Tally()
    numbers = iter(range(heartbeats))

    async def client() -> None:
        for n in numbers:
            tally.outcomes[await heartbeat(redis, key, path_of(n, pages))] += 1

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
