"""A crowd in Redis: many sessions of one site, put there by the service's own store."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from bench.result import Context, Measure, Progress, Result, Silent
from bench.result import run as run_measure
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


async def _write(store: PresenceStore, site: str, beats: list[Heartbeat]) -> tuple[set[str], bool]:
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


async def fill(
    store: PresenceStore,
    numbers: range,
    progress: Progress | None = None,
    site: str = SITE,
    pages: int = PAGES,
) -> None:
    """Makes these sessions; reports a step for each tenth.

    Raises:
        AssertionError: one of them was there before.
    """
    tenth = max(len(numbers) // 10, 1)
    reported = 0
    for start in range(0, len(numbers), CHUNK):
        chunk = numbers[start : start + CHUNK]
        outcomes, is_first = await _write(store, site, [beat(n, pages=pages) for n in chunk])
        assert not is_first or outcomes == {"created"}, outcomes
        while progress and reported < 10 and start + len(chunk) >= (reported + 1) * tenth:
            reported += 1
            progress.step(f"{numbers[0] + start + len(chunk):,} sessions")


async def filled(redis: Valkey, sessions: int, have: int, progress: Progress | None = None) -> None:
    """Makes the first `have` sessions `sessions`, from what a measure before has saved if it has.

    A million takes half a minute to make, and five seconds to read.
    """
    name = saved_name(sessions)
    if redis.has_saved(name):
        redis.restore(name)
        return
    async with store_of(redis.url) as store:
        await fill(store, range(have, sessions), progress)
    if sessions == max(CURVE):
        redis.save(name)


def saved_name(sessions: int) -> str:
    """The file of a crowd of LONG rules."""
    return f"crowd-{sessions}.rdb"


def usec(client: Any, *commands: str) -> tuple[float, int]:
    """µs spent in these commands since CONFIG RESETSTAT, and how many there were."""
    stats = client.info("commandstats")
    rows = [stats.get(f"cmdstat_{command}", {}) for command in commands]
    return (
        float(sum(row.get("usec", 0) for row in rows)),
        int(sum(row.get("calls", 0) for row in rows)),
    )


def command_line(measure: Measure) -> None:
    """Runs one measure alone: `python -m bench.redis_… [--quick]`."""

    @click.command()
    @click.option("--quick", is_flag=True, help="Smaller, and noisier.")
    def main(quick: bool) -> None:
        with TemporaryDirectory(prefix="presence-bench-") as folder:
            context = Context(quick, Silent(), Path(folder))
            show(run_measure(measure, context))

    main()


def show(results: Sequence[Result]) -> None:
    """Prints results, with all their details."""
    for row in results:
        ratio = "" if row.ratio is None else f", {row.ratio:.2f} × of {row.baseline:.2f}"
        word = {True: "reached", False: "MISSED", None: ""}[row.reached]
        print(f"{row.id} {row.what}: {row.value:.2f} {row.unit}{ratio} ({row.against})")
        print(f"    bar {row.bar}: {word}  spread {row.spread}  {row.note}")
        for name, value in row.detail.items():
            print(f"    {name}: {value}")
