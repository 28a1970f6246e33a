"""The tables of docs/scaling.md, and what is measured for them."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simulation.costs import FILE, Costs, digest
from simulation.model import Outcome
from simulation.scale import WAYS, Shock, Size, by_rule, plan_of, run

DOCUMENT = Path(__file__).parent.parent / "docs" / "scaling.md"
GIB = 1 << 30


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def row_of(size: Size, costs: Costs) -> list[str]:
    outcome = size.outcome
    return [
        f"{size.sessions:,}, {WAYS[size.way]}",
        f"{size.copies:,}",
        f"{size.nodes:,}",
        f"{size.sessions * costs.session_bytes / GIB:,.1f}",
        f"{size.calls:.2f}",
        f"{size.calls * size.sessions / 30:,.0f}",
        f"{size.connections:,}",
        f"{outcome.percentile_ms(50):.1f}",
        f"{outcome.percentile_ms(99):.1f}",
    ]


def sizes(all_sizes: Sequence[Size], costs: Costs) -> str:
    heads = (
        "sessions, balancer", "copies", "nodes", "GiB of Redis", "calls per heartbeat",
        "calls a second", "connections", "p50 ms", "p99 ms",
    )  # fmt: skip
    return _table(heads, [row_of(size, costs) for size in all_sizes])


def breaks(sessions: Sequence[int], costs: Costs, site_sessions: int) -> str:
    """What is full first where there are so many times the copies and nodes of full calls."""
    heads = (
        "sessions", "times", "copies", "nodes", "busy copies", "busiest node", "p99 ms", "it",
    )  # fmt: skip
    rows = []
    for number in sessions:
        for times in (1, 2, 4):
            copies, nodes = (times * count for count in by_rule(number, costs))
            plan = replace(plan_of(number, "any", copies, nodes, site_sessions), seconds=1.0)
            outcome = run(plan, costs)
            full = {"the nodes are full": outcome.busiest, "copies are full": outcome.copies_busy}
            first = max(full, key=lambda name: full[name])
            said = first if full[first] >= 0.97 else "holds"
            shares = (f"{busy:.0%}" for busy in (outcome.copies_busy, outcome.busiest))
            p99 = f"{outcome.percentile_ms(99):,.0f}"
            rows.append(
                [f"{number:,}", f"{times}", f"{copies:,}", f"{nodes:,}", *shares, p99, said]
            )
    return _table(heads, rows)


def shocks(all_shocks: Sequence[Shock]) -> str:
    heads = ("what happens", "balancer", "answered within 5 s", "refused, to come again", "p99 ms")
    return _table(heads, [
        [
            shock.what,
            WAYS[shock.size.way],
            f"{shock.in_time:.1%}",
            f"{shock.outcome.refused / shock.outcome.sent:.1%}",
            f"{shock.outcome.percentile_ms(99):,.0f}",
        ]
        for shock in all_shocks
    ])  # fmt: skip


FIGURES = {
    # name: digits, how it is read of an outcome
    "calls": 2, "scripts": 2, "copy_us": 0, "redis_us": 0, "p50_ms": 1, "p99_ms": 1,
}  # fmt: skip


def figures_of(outcome: Outcome) -> dict[str, float]:
    """Those that are compared with what is seen."""
    return {
        "calls": outcome.calls / outcome.sent, "scripts": outcome.scripts / outcome.sent,
        "copy_us": outcome.copy_us, "redis_us": outcome.redis_us,
        "p50_ms": outcome.percentile_ms(50), "p99_ms": outcome.percentile_ms(99),
    }  # fmt: skip


def checked() -> str:
    heads = (
        "seen / simulated", "heartbeats a second", "calls per heartbeat", "scripts",
        "µs of a copy", "µs of Redis", "p50 ms", "p99 ms",
    )  # fmt: skip
    rows = [
        [row["setting"], f"{row['rate']:,.0f}"]
        + [
            f"{row['seen'][name]:.{digits}f} / {row['simulated'][name]:.{digits}f}"
            for name, digits in FIGURES.items()
        ]
        for row in json.loads(FILE.read_text())["checked"]
    ]
    return _table(heads, rows)


def block(name: str, table: str) -> str:
    return f"<!-- simulated: {name}, of {digest()} -->\n\n{table}\n\n<!-- end -->"


def written(text: str, name: str, table: str) -> str:
    """The document with a table in its place."""
    place = re.compile(rf"<!-- simulated: {name}, of .*?<!-- end -->", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"docs/scaling.md has no place for the table {name}")
    return place.sub(lambda _: block(name, table), text)
