"""A crowd in Redis: many sessions of one site, put there by the service's own store."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.errors import StoreError
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat

SITE = "blog"
PAGES = 1_000
DAY_MS = 86_400_000
COUNTRIES = ("DE", "US", "IN", "BR", "FR", "GB", "JP", "PL")
CHUNK = 2_048  # heartbeats handed to the store together: sixteen calls
FILL_ATTEMPTS = 9
# Nobody leaves while it is measured; one call of a heartbeat is all that a session costs.
LONG = StoreConfig(session_timeout_ms=DAY_MS, view_dedup_ms=DAY_MS)


def session_id(number: int) -> str:
    """The UUID of a session: always the same for a number, scattered as random ones are."""
    return str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4))


def path(number: int) -> str:
    """A path of 24 bytes; sessions are spread evenly over the pages."""
    return f"/articles/{number % PAGES:014d}"


def country(number: int) -> str:
    return COUNTRIES[number % len(COUNTRIES)]


def beat(number: int, moves: int = 0) -> Heartbeat:
    """A heartbeat of a session that has moved so often."""
    return Heartbeat(session_id(number), path(number + moves), country(number), "", "")


async def write(store: PresenceStore, site: str, beats: list[Heartbeat]) -> None:
    """Again where a call misses its deadline: writing the same twice changes nothing."""
    for attempt in range(FILL_ATTEMPTS):
        try:
            await store.heartbeats(site, beats)
            return
        except StoreError:
            if attempt == FILL_ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.2)


@asynccontextmanager
async def store_of(
    url: str, rules: StoreConfig = LONG, shards: int = 1, *, has_users: bool = False
) -> AsyncIterator[PresenceStore]:
    keys = Keys("presence", shards, has_users=lambda site: has_users)
    store = PresenceStore(connect(url), keys, rules)
    try:
        yield store
    finally:
        await store.close()


async def fill(store: PresenceStore, numbers: range) -> None:
    """Makes these sessions."""
    for start in range(0, len(numbers), CHUNK):
        await write(store, SITE, [beat(number) for number in numbers[start : start + CHUNK]])
