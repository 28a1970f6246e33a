"""A heartbeat that reads the session and then writes it back, with nothing in between to hold
others off."""

import time
from typing import Any

from bench.peers import CLIENTS, HEARTBEATS, Tally, is_repeat, share_out, write


async def heartbeat(redis: Any, key: str, path: str) -> tuple[str, int]:
    """Decides in the client, from what was read a moment ago."""
    known = await redis.hgetall(f"{key}:session")
    now = int(time.time() * 1000)
    if is_repeat(known, path, now):
        return "duplicate", 0
    pipeline = redis.pipeline(transaction=True)
    outcome = write(pipeline, key, known, path, now)
    await pipeline.execute()
    return outcome, 0


async def run(
    url: str, pages: int = 1, heartbeats: int = HEARTBEATS, clients: int = CLIENTS
) -> Tally:
    """What becomes of one session."""
    return await share_out(heartbeat, url, pages, heartbeats, clients)
