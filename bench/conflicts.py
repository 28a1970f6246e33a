"""P14: write conflicts, counted: 64 clients send 10,000 heartbeats of one session at the same time,
to this service's store (two copies of it) and to the two programs one would write first."""

import asyncio
from collections.abc import Iterator
from typing import Any

from bench.peers import locking
from bench.peers.locking import CLIENTS, HEARTBEATS, SESSION, Tally
from bench.result import Context, Result
from bench.server import valkey
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat


async def presence(url: str) -> Tally:
    """Two copies of the store, and half of the clients each; retries are what Redis refused."""
    copies = [PresenceStore(connect(url), Keys("conflicts"), StoreConfig()) for _ in range(2)]
    client: Any = copies[0].connection.client
    tally, numbers = Tally(), iter(range(HEARTBEATS))
    beat = Heartbeat(SESSION, "/", "", "", "")

    async def browser(store: PresenceStore) -> None:
        for _ in numbers:
            tally.outcomes[await store.heartbeat("blog", beat)] += 1

    await copies[0].heartbeat("warm-up", beat)  # loads the script
    before = await client.info("errorstats")
    await asyncio.gather(*(browser(copies[n % 2]) for n in range(CLIENTS)))
    after = await client.info("errorstats")
    tally.retries = sum(_counts(after)) - sum(_counts(before))
    for copy in copies:
        await copy.close()
    return tally


def _counts(errors: dict[str, Any]) -> Iterator[int]:
    for value in errors.values():
        yield int(value["count"] if isinstance(value, dict) else str(value).rpartition("=")[2])


async def run(context: Context) -> list[Result]:
    context.say("conflicts: 64 clients, one session")
    with valkey(context.folder) as redis:
        ours = await presence(redis.url)
        others = {
            name: await locking.run(redis.url, is_watched)
            for name, is_watched in (("WATCH/MULTI", True), ("GET then SET", False))
        }
    told = (f"{name}: {t.writes:,} writes, {t.retries:,} retries" for name, t in others.items())
    return [
        Result(
            "P14",
            "64 clients, one session, 10,000 heartbeats in one window: writes made",
            ours.writes,
            "writes",
            "; ".join(others),
            others["WATCH/MULTI"].writes,
            bar="exactly 1, 0 retries",
            reached=ours.writes == 1 and ours.retries == 0,
            note=f"{ours.retries} retries; {'; '.join(told)}",
        )
    ]
