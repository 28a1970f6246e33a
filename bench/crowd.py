"""A crowd in Redis: many sessions of one site, put there by the service's own store."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

from bench.server import Valkey
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
CURVE = (1_000, 10_000, 100_000, 1_000_000)
# Nobody leaves while it is measured; one call of a heartbeat is all that a session costs.
LONG = StoreConfig(session_timeout_ms=DAY_MS, view_dedup_ms=DAY_MS)


@lru_cache(maxsize=1)
def _scattered() -> random.Random:
    return random.Random(3)


def session_id(number: int) -> str:
    """The UUID of a session: always the same for a number, scattered as random ones are."""
    generator = _scattered()
    generator.seed(number)
    return str(uuid.UUID(int=generator.getrandbits(128), version=4))


def path(number: int, pages: int = PAGES) -> str:
    """A path of 24 bytes; sessions are spread evenly over the pages."""
    return f"/articles/{number % pages:014d}"


def country(number: int) -> str:
    """The country of a session."""
    return COUNTRIES[number % len(COUNTRIES)]


def beat(number: int, moves: int = 0, pages: int = PAGES) -> Heartbeat:
    """A heartbeat of a session that has moved so often, on a site of so many pages."""
    return Heartbeat(session_id(number), path(number + moves, pages), country(number), "", "")


async def write(store: PresenceStore, site: str, beats: list[Heartbeat]) -> tuple[set[str], bool]:
    """The outcomes, and whether they are those of the first attempt: on a busy machine a call may
    miss its deadline, and writing the same again changes nothing."""
    for attempt in range(FILL_ATTEMPTS):
        try:
            return set(await store.heartbeats(site, beats)), attempt == 0
        except StoreError:
            await asyncio.sleep(0.2)
    return set(await store.heartbeats(site, beats)), False


@asynccontextmanager
async def store_of(
    url: str, rules: StoreConfig = LONG, shards: int = 1
) -> AsyncIterator[PresenceStore]:
    """A store of its own."""
    store = PresenceStore(connect(url), Keys("presence", shards), rules)
    try:
        yield store
    finally:
        await store.close()


async def fill(store: PresenceStore, numbers: range, site: str = SITE) -> None:
    """Makes these sessions.

    Raises:
        AssertionError: one of them was there before.
    """
    for start in range(0, len(numbers), CHUNK):
        beats = [beat(number) for number in numbers[start : start + CHUNK]]
        outcomes, is_first = await write(store, site, beats)
        assert not is_first or outcomes == {"created"}, outcomes


async def filled(redis: Valkey, sessions: int, have: int) -> None:
    """Makes the first `have` sessions `sessions`, from what a measure before has saved if it has.

    A million takes half a minute to make, and five seconds to read.
    """
    if redis.restore(saved_name(sessions)):
        return
    async with store_of(redis.url) as store:
        await fill(store, range(have, sessions))
    if sessions == max(CURVE):
        redis.save(saved_name(sessions))


def saved_name(sessions: int) -> str:
    """The file of a crowd of LONG rules."""
    return f"crowd-{sessions}.rdb"
