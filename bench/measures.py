"""Every measure and the rows it gives."""

import asyncio
import importlib
from collections.abc import Awaitable

from bench.result import Context, Measure, Result, not_measured

# A module of bench with a `run`, and the ids of its rows.
ENTRIES: dict[str, tuple[str, ...]] = {
    "costs": ("P1", "P1b", "P2", "P3", "P4", "P7", "P13"),
    "redis_cost": ("P5", "P5b", "P6"),
    "redis_crowd": ("P8", "P9", "P10"),
    "live": ("P11",),
    "redis_expiry": ("P12",),
    "conflicts": ("P14",),
    "copies": ("P15",),
    "redis_spread": ("P16",),
    "latency": ("P17",),
    "client": ("P18",),
    "users": ("P19", "P20", "P21", "P22", "P23"),
}
ATTEMPTS = 2


def _by_number(id: str) -> tuple[int, str]:
    return int(id[1:].rstrip("b")), id


IDS = tuple(sorted((id for ids in ENTRIES.values() for id in ids), key=_by_number))


def run_all(context: Context) -> list[Result]:
    """The wanted rows, by number. A measure that fails twice gives red rows, never none."""
    results: list[Result] = []
    for module, ids in ENTRIES.items():
        wanted = [id for id in ids if context.wants(id)]
        for _ in range(ATTEMPTS if wanted else 0):
            try:
                said = _load(module)(context)
                given = said if isinstance(said, list) else asyncio.run(_awaited(said))
                break
            except Exception as error:  # on a busy machine Redis may not answer in time
                why = f"{type(error).__name__}: {error}"
                given = [not_measured(id, "", "", why) for id in wanted]
        if wanted:
            results += [result for result in given if context.wants(result.id)]
    return sorted(results, key=lambda result: _by_number(result.id))


def _load(module: str) -> Measure:
    measure: Measure = importlib.import_module(f"bench.{module}").run
    return measure


async def _awaited(results: Awaitable[list[Result]]) -> list[Result]:
    return await results
