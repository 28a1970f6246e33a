"""A heartbeat under optimistic locking: WATCH, read, MULTI, write, EXEC, and all again where
somebody was faster."""

import time
from typing import Any

from redis.exceptions import WatchError

from bench.peers import CLIENTS, HEARTBEATS, Tally, is_repeat, share_out, write


async def heartbeat(redis: Any, key: str, path: str) -> tuple[str, int]:
    """The outcome, and how many attempts somebody else's write undid."""
    retries = 0
    async with redis.pipeline(transaction=True) as pipeline:
        while True:
            await pipeline.watch(f"{key}:session")
            known = await pipeline.hgetall(f"{key}:session")
            now = int(time.time() * 1000)
            if is_repeat(known, path, now):
                await pipeline.unwatch()
                return "duplicate", retries
            pipeline.multi()
            outcome = write(pipeline, key, known, path, now)
            try:
                await pipeline.execute()
            except WatchError:
                retries += 1
                continue
            return outcome, retries


async def run(
    url: str, pages: int = 1, heartbeats: int = HEARTBEATS, clients: int = CLIENTS
) -> Tally:
    """What becomes of one session."""
    return await share_out(heartbeat, url, pages, heartbeats, clients)
