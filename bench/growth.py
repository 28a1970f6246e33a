"""How costs grow, where one core ends, and what large deployments need: arithmetic on what was
measured, written out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.result import Result

INTERVAL_S = 30  # HEARTBEAT_INTERVAL's default
FULL = 0.7  # how busy a core may be planned to be: P17 is measured there
DEPLOYMENTS = (1_000_000, 10_000_000, 100_000_000)
GIB = 2**30

_HEADS = ("what grows", "a heartbeat", "`active`", "`stats`", "memory", "measured by")
_SMALLER = "smaller batches, so more calls"
_STRUCTURES = (
    ("sessions S of a site", "O(log S)", "O(log S)", "O(log S), by counters", "O(S)", "P8 to P10"),
    ("pages P of a site", "O(log P)", "O(1)", "O(log P + pages shown)", "O(P)", "P9"),
    ("sites", _SMALLER, "O(1)", "O(1)", "some 15 keys each", "P7"),
    ("copies of the service", _SMALLER, "O(1)", "O(1)", "O(1)", "P15"),
    (
        "shards N of a site",
        _SMALLER + ", on N cores",
        "N calls",
        "N calls; all counted paths are merged",
        "some 15 keys each",
        "P9, P16",
    ),
)  # fmt: skip


def markdown(results: Sequence[Result]) -> str:
    """The chapter on growth; the numbers are missing where they were not measured."""
    by_id = {result.id: result for result in results}
    parts = [
        "How the cost of each structure grows:\n",
        _rows(_HEADS, _STRUCTURES),
        *_measured(by_id),
    ]
    cases = by_id["P2"].detail.get("cases", {}) if "P2" in by_id else {}
    if ours := cases.get("this service"):
        service_us, redis_us = ours["program_us"], ours["redis_us"]
        parts += ["### Where one core ends\n", _ends(service_us, redis_us)]
        # Large deployments have several copies, and sites that share no call: the dearest counts.
        dearest_us = max(redis_us, *_of_others(by_id))
        parts += ["### What a deployment needs\n", _sizing(by_id, service_us, dearest_us)]
    return "\n".join(parts)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> str:
    """A table in Markdown; all but the first column to the right where they are numbers."""
    line = "|---|" + ("--:|" if numbers else "---|") * (len(heads) - 1)
    texts = [f"| {' | '.join(heads)} |", line, *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(texts) + "\n"


# What was measured


def _measured(by_id: Mapping[str, Result]) -> list[str]:
    tables = (
        _by_sessions(by_id),
        _by_number(by_id, "by_pages", "pages, with 20,480 sessions"),
        _by_number(by_id, "by_shards", "shards, with 20,480 sessions on 1,000 pages"),
        _by_sites(by_id),
        _by_copies(by_id),
    )
    found = [table for table in tables if table]
    return ["As measured in this run, µs of Redis:\n", *found] if found else []


def _detail(by_id: Mapping[str, Result], id: str, name: str) -> Mapping[Any, Any]:
    found: Mapping[Any, Any] = by_id[id].detail.get(name, {}) if id in by_id else {}
    return found


def _by_sessions(by_id: Mapping[str, Result]) -> str:
    stats, active = _detail(by_id, "P9", "by_sessions"), _detail(by_id, "P10", "by_sessions")
    refresh = _detail(by_id, "P9", "refresh_us_by_sessions")
    memory = _detail(by_id, "P8", "by_sessions")
    numbers = sorted({*stats, *active, *memory}, key=int)
    rows = [
        (
            f"{int(n):,}",
            _figure(refresh.get(n)),
            _figure(active.get(n)),
            _figure(stats[n] * 1000 if n in stats else None),
            f"{memory[n]:.0f} B × {int(n):,} = {memory[n] * int(n) / 2**20:,.1f} MiB"
            if n in memory
            else "–",
        )
        for n in numbers
    ]
    heads = ("sessions", "a refresh", "`active`", "`stats`", "memory")
    return _rows(heads, rows, numbers=True) if rows else ""


def _by_number(by_id: Mapping[str, Result], name: str, what: str) -> str:
    found = _detail(by_id, "P9", name)
    rows = [
        (f"{int(n):,}", _figure(found[n]["refresh_us"]), _figure(found[n]["stats_us"]))
        for n in sorted(found, key=int)
    ]
    return _rows((what, "a refresh", "`stats`"), rows, numbers=True) if rows else ""


def _by_sites(by_id: Mapping[str, Result]) -> str:
    cases = _detail(by_id, "P7", "cases")
    rows = [
        (
            name.partition(", ")[2].partition(" ")[0] or "1",
            _figure(case["redis_us"]),
            _figure(case["program_us"]),
            f"{case['calls_per_1000']:.0f}",
        )
        for name, case in sorted(cases.items())
    ]
    heads = ("sites", "a heartbeat of the mix", "and of the service", "calls per 1,000 heartbeats")
    return _rows(heads, rows, numbers=True) if rows else ""


def _by_copies(by_id: Mapping[str, Result]) -> str:
    redis_us, calls = _detail(by_id, "P15", "redis_us"), _detail(by_id, "P15", "calls_per_1000")
    rows = [
        (str(n), _figure(redis_us[n]), f"{calls[n]:.0f}" if n in calls else "–")
        for n in sorted(redis_us, key=int)
    ]
    heads = ("copies", "a heartbeat of the mix", "calls per 1,000 heartbeats")
    return _rows(heads, rows, numbers=True) if rows else ""


def _figure(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


# Arithmetic


def _ends(service_us: float, redis_us: float) -> str:
    rows = []
    for name, cost_us in (("the service", service_us), ("Redis", redis_us)):
        rate = 1e6 / cost_us
        rows.append(
            (
                name,
                f"{cost_us:.1f}",
                f"10⁶ ÷ {cost_us:.1f} = {rate:,.0f}",
                f"{rate:,.0f} × {INTERVAL_S} = {rate * INTERVAL_S:,.0f}",
                f"{rate * INTERVAL_S * FULL:,.0f}",
            )
        )
    heads = (
        "one core of",
        "µs per heartbeat",
        "heartbeats/s",
        f"concurrent sessions, beating every {INTERVAL_S} s",
        f"of these at {FULL:.0%} of the core",
    )
    return (
        "CPU per heartbeat of the mix above, measured as P2 is, when the worker is full and a "
        "batch has as many heartbeats as it gets; a worker with less to do sends smaller batches "
        "and pays more for each. One site without shards has one Redis core at the most.\n\n"
        + _rows(heads, rows, numbers=True)
    )


def _of_others(by_id: Mapping[str, Result]) -> list[float]:
    """Redis's share of a heartbeat with several copies, and over many sites."""
    many_sites = [
        float(case["redis_us"])
        for name, case in _detail(by_id, "P7", "cases").items()
        if "sites" in name
    ]
    return [0.0, *map(float, _detail(by_id, "P15", "redis_us").values()), *many_sites]


def _sizing(by_id: Mapping[str, Result], service_us: float, redis_us: float) -> str:
    memory = by_id.get("P8")
    bytes_each = memory.value if memory and not math.isnan(memory.value) else None
    rows = []
    for sessions in DEPLOYMENTS:
        rate = sessions / INTERVAL_S
        total = f"{sessions * (bytes_each or 0) / GIB:,.1f} GiB"
        rows.append(
            (
                f"{sessions:,}",
                f"{sessions:,} ÷ {INTERVAL_S} = {rate:,.0f}",
                _cores(rate, service_us),
                _cores(rate, redis_us),
                f"{sessions:,} × {bytes_each:.0f} B = {total}" if bytes_each else "not measured",
            )
        )
    heads = ("concurrent sessions", "heartbeats/s", "service cores", "Redis cores", "Redis memory")
    return (
        f"Cores = heartbeats/s × µs ÷ 10⁶ ÷ {FULL:g}, rounded up, for cores that are {FULL:.0%} "
        "busy; of Redis the dearest figure of this run, be it several copies or many sites. Redis "
        "cores are nodes of a cluster, over which sites spread by themselves; one site "
        "alone needs at least so many `PRESENCE_SHARDS`, a multiple of the nodes. Replicas and the "
        "streams, whose length is a setting, come on top. Where copies × nodes × 200 calls a "
        "second come near the heartbeats, as in the rows of 10 and of 100 million, calls carry few "
        "of them, and what a call costs by itself is paid more often than was measured here: these "
        "rows are lower bounds.\n\n" + _rows(heads, rows, numbers=True)
    )


def _cores(rate: float, cost_us: float) -> str:
    needed = math.ceil(rate * cost_us / 1e6 / FULL)
    return f"{rate:,.0f} × {cost_us:.1f} ÷ 10⁶ ÷ {FULL:g} = **{needed:,}**"
