"""Every measure and the rows it gives, in the order of the table."""

import importlib
from dataclasses import dataclass

from bench.result import Context, Measure, Result, run


@dataclass(frozen=True)
class Entry:
    """A module of bench with a `run`, and the ids of its rows."""

    module: str
    ids: tuple[str, ...]


ENTRIES = (
    Entry("costs", ("P1", "P2", "P3", "P4", "P7", "P13")),
    Entry("redis_cost", ("P5", "P6")),
    Entry("redis_memory", ("P8",)),
    Entry("redis_reads", ("P9", "P10")),
    Entry("live", ("P11",)),
    Entry("redis_expiry", ("P12",)),
    Entry("conflict_row", ("P14",)),
    Entry("copies", ("P15",)),
    Entry("redis_spread", ("P16",)),
    Entry("latency", ("P17",)),
    Entry("client", ("P18",)),
)
ATTEMPTS = 2


def _place(id: str) -> int:
    return int(id[1:])


IDS = tuple(sorted((id for entry in ENTRIES for id in entry.ids), key=_place))


def run_all(context: Context) -> list[Result]:
    """The wanted rows, by number. A measure that fails twice gives red rows, never none."""
    results: list[Result] = []
    for entry in ENTRIES:
        wanted = [id for id in entry.ids if context.wants(id)]
        if not wanted:
            continue
        for _ in range(ATTEMPTS):
            try:
                given = run(_load(entry), context)
                break
            except Exception as error:  # on a busy machine Redis may not answer in time
                why = f"{type(error).__name__}: {error}"
                given = [not_measured(id, "", "", why) for id in wanted]
        results += [result for result in given if context.wants(result.id)]
    return sorted(results, key=lambda result: _place(result.id))


def _load(entry: Entry) -> Measure:
    measure: Measure = importlib.import_module(f"bench.{entry.module}").run
    return measure


def not_measured(id: str, what: str, bar: str, why: str) -> Result:
    """A red row."""
    note = f"not measured: {why}"
    return Result(id, what, float("nan"), "", "", None, None, bar, False, note=note)
