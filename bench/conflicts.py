"""P14: write conflicts, counted: 64 clients send 10,000 heartbeats of one session at the same time,
to this service's store (two copies of it) and to the two programs one would write first.

`python -m bench.conflicts` starts a Valkey of its own and prints a table.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.peers import CLIENTS, HEARTBEATS, SESSION, Tally, get_then_set, path_of, watch_multi
from bench.result import Context, Result
from bench.server import valkey
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat

WANDERING = 2_000  # a fifth: optimistic locking makes some thirty attempts for each
Run = Callable[..., Awaitable[Tally]]


async def presence(
    url: str, pages: int = 1, heartbeats: int = HEARTBEATS, clients: int = CLIENTS
) -> Tally:
    """Two copies of the store, each with connections of its own, and half of the clients each.

    Retries are what Redis refused and had to be asked again; the server's own error count says.
    """
    keys = Keys(f"conflicts-{pages}-{os.getpid()}-{time.monotonic_ns()}")
    copies = [PresenceStore(connect(url), keys, StoreConfig()) for _ in range(2)]
    client: Any = copies[0].connection.client
    tally = Tally()
    numbers = iter(range(heartbeats))

    async def browser(store: PresenceStore) -> None:
        for n in numbers:
            beat = Heartbeat(SESSION, path_of(n, pages), "", "", "")
            tally.outcomes[await store.heartbeat("blog", beat)] += 1

    await copies[0].heartbeat("warm-up", Heartbeat(SESSION, "/", "", "", ""))  # loads the script
    before = await client.info("errorstats")
    await asyncio.gather(*(browser(copies[n % 2]) for n in range(clients)))
    after = await client.info("errorstats")
    tally.retries = sum(_counts(after)) - sum(_counts(before))
    stats = await copies[0].stats("blog")
    tally.views = stats.totalPageViews
    tally.on_pages = sum(row.count for row in stats.activeByPath)
    for copy in copies:
        await copy.close()
    return tally


def _counts(errors: dict[str, Any]) -> Iterator[int]:
    for value in errors.values():
        yield int(value["count"] if isinstance(value, dict) else str(value).rpartition("=")[2])


PROGRAMS: tuple[tuple[str, Run], ...] = (
    ("presence", presence),
    ("WATCH / MULTI", watch_multi.run),
    ("GET, then SET", get_then_set.run),
)


async def measure(url: str, wandering: int = WANDERING) -> list[tuple[str, int, Tally]]:
    """Each program on one page, and over ten: its name, how many pages, its tally."""
    return [
        (name, pages, await run(url, pages, heartbeats))
        for pages, heartbeats in ((1, HEARTBEATS), (10, wandering))
        for name, run in PROGRAMS
    ]


def table(rows: list[tuple[str, int, Tally]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| heartbeats of one session | program | `created` | writes | retries | sessions counted |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name, pages, tally in rows:
        what = f"{sum(tally.outcomes.values()):,} " + (
            "on one page, in one window" if pages == 1 else f"wandering over {pages} pages"
        )
        lines.append(
            f"| {what} | {name} | {tally.outcomes['created']:,} | {tally.writes:,} | "
            f"{tally.retries:,} | {tally.on_pages:,} |"
        )
    return "\n".join(lines)


async def run(context: Context) -> list[Result]:
    """P14."""
    context.say("conflicts: 64 clients, one session")
    with valkey(context.folder) as redis:
        rows = await measure(redis.url, WANDERING // (4 if context.quick else 1))
    tallies = {(name, pages): tally for name, pages, tally in rows}
    ours = tallies["presence", 1]
    retries = sum(tally.retries for (name, _), tally in tallies.items() if name == "presence")
    others = [
        f"{name}: {tally.writes:,} writes, {tally.retries:,} retries"
        for (name, pages), tally in tallies.items()
        if pages == 1 and name != "presence"
    ]
    return [
        Result(
            "P14",
            "64 clients, one session, 10,000 heartbeats in one window: writes made",
            ours.writes,
            "writes",
            "WATCH/MULTI; GET then SET",
            tallies["WATCH / MULTI", 1].writes,
            bar="exactly 1, 0 retries",
            reached=ours.writes == 1 and retries == 0,
            note=f"{retries} retries; {'; '.join(others)}",
            detail={
                "programs": {
                    f"{name}, {pages} pages": {"writes": tally.writes, "retries": tally.retries}
                    for (name, pages), tally in tallies.items()
                }
            },
        )
    ]


def main() -> None:
    """Measures and prints."""
    with TemporaryDirectory(prefix="presence-bench-") as folder, valkey(Path(folder)) as redis:
        print(f"{CLIENTS} clients at the same time; there is one session to be counted\n")
        print(table(asyncio.run(measure(redis.url))))


if __name__ == "__main__":
    main()
