"""How costs grow and what large deployments need: arithmetic on what was measured, written out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.result import Result

INTERVAL_S = 30  # HEARTBEAT_INTERVAL's default
FULL = 0.7  # how busy a core may be planned to be: P17 is measured there
DEPLOYMENTS = (1_000_000, 10_000_000, 100_000_000)


def markdown(results: Sequence[Result]) -> str:
    """The chapter on growth; what was not measured is missing."""
    details: dict[str, Any] = {result.id: result.detail for result in results}

    def of(id: str, name: str) -> Mapping[Any, Any]:
        found: Mapping[Any, Any] = details.get(id, {}).get(name, {})
        return found

    refresh, stats = of("P9", "refresh_us_by_sessions"), of("P9", "by_sessions")
    active, memory = of("P10", "by_sessions"), of("P8", "by_sessions")
    sites, copies, calls = of("P7", "cases"), of("P15", "redis_us"), of("P15", "calls_per_1000")
    beat, per_1000 = "a heartbeat of the mix", "calls per 1,000 heartbeats"
    parts = [
        "As measured in this run, µs of Redis; a dash where it was not:\n",
        _table(
            ("sessions", "a refresh", "`active`", "`stats`", "memory"),
            [
                (
                    f"{n:,}",
                    *map(_figure, (refresh.get(n), active.get(n), 1e3 * stats.get(n, NAN))),
                    f"{memory[n]:.0f} B × {n:,} = {memory[n] * n / 2**20:,.1f} MiB",
                )
                for n in sorted(memory)
            ],
        ),
        _table(
            ("shards, with 20,480 sessions on 1,000 pages", "a refresh", "`stats`"),
            [
                (str(n), _figure(row["refresh_us"]), _figure(row["stats_us"]))
                for n, row in of("P9", "by_shards").items()
            ],
        ),
        _table(
            ("sites", beat, "and of the service", per_1000),
            [
                (
                    name.partition(", ")[2].partition(" ")[0] or "1",
                    *(_figure(row[n]) for n in ("redis_us", "program_us", "calls_per_1000")),
                )
                for name, row in sites.items()
            ],
        ),
        _table(
            ("copies", beat, per_1000),
            [(str(n), _figure(copies[n]), _figure(calls[n])) for n in sorted(copies)],
        ),
    ]
    if ours := of("P2", "cases").get("this service"):
        # Large deployments have several copies, and sites that share no call: the dearest counts.
        others = [row["redis_us"] for row in sites.values()]
        dearest_us = max(ours["redis_us"], *copies.values(), *others)
        bytes_each = memory[max(memory)] if memory else NAN
        parts.append(_sizing(ours["program_us"], dearest_us, bytes_each))
    return "\n".join(part for part in parts if part)


NAN = float("nan")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, all but the first column to the right; nothing without rows."""
    line = "|---|" + "--:|" * (len(heads) - 1)
    texts = [f"| {' | '.join(heads)} |", line, *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(texts) + "\n" if rows else ""


def _figure(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _sizing(service_us: float, redis_us: float, bytes_each: float) -> str:
    def cores(rate: float, cost_us: float) -> str:
        needed = math.ceil(rate * cost_us / 1e6 / FULL)
        return f"{rate:,.0f} × {cost_us:.1f} ÷ 10⁶ ÷ {FULL:g} = **{needed:,}**"

    heads = ("concurrent sessions", "heartbeats/s", "service cores", "Redis cores", "Redis memory")
    rows = []
    for sessions in DEPLOYMENTS:
        rate = sessions / INTERVAL_S
        sent = f"{sessions:,} ÷ {INTERVAL_S} = {rate:,.0f}"
        total = f"{sessions:,} × {bytes_each:.0f} B = {sessions * bytes_each / 2**30:,.1f} GiB"
        row = (f"{sessions:,}", sent, cores(rate, service_us), cores(rate, redis_us), total)
        rows.append(row)
    return f"""\
### What a deployment needs

Cores = heartbeats/s × µs ÷ 10⁶ ÷ {FULL:g}, rounded up, for cores that are {FULL:.0%} busy and
sessions that beat every {INTERVAL_S} s; of Redis the dearest figure of this run, be it several
copies or many sites. Redis cores are nodes of a cluster, over which sites spread by themselves;
one site alone needs at least so many `PRESENCE_SHARDS`, a multiple of the nodes. Replicas and the
streams come on top. Where copies × nodes × 200 calls a second come near the heartbeats, as in the
rows of 10 and of 100 million, calls carry few of them, and what a call costs by itself is paid
more often than was measured here: these rows are lower bounds.

{_table(heads, rows)}"""
