"""The results as a table on the terminal, as JSON, and as docs/benchmarks.md."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from bench import growth, mix
from bench.plots import Drawn, picture
from bench.result import Result
from bench.tried import TRIED


def number(value: float | None) -> str:
    """A figure with three significant digits."""
    if value is None or math.isnan(value):
        return "–"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def verdict(result: Result) -> str:
    """In a word or two."""
    if math.isnan(result.value):
        return "not measured"
    if result.reached is None:
        return "no bar"
    return "reached" if result.reached else "missed"


MARKS = {True: "🟢", False: "🔴", None: ""}


def misses(results: Sequence[Result]) -> list[Result]:
    """The rows whose bar is not reached, those that could not be measured among them."""
    return [result for result in results if result.reached is False]


def table(results: Sequence[Result]) -> Table:
    """The results for a terminal; what is not reached in red."""
    shown = Table(show_lines=False, expand=False)
    for name in ("", "measured", "value", "against", "ratio", "bar", "", "spread"):
        shown.add_column(name)
    for result in results:
        style = "red" if result.reached is False else ""
        shown.add_row(*(Text(cell) for cell in (*_cells(result), result.spread)), style=style)
    return shown


def _ratio(result: Result) -> str:
    is_known = result.ratio is not None and not math.isnan(result.ratio)
    return f"{result.ratio:.2f} ×" if is_known else ""


def notes(results: Sequence[Result]) -> list[Text]:
    """What the table has no room for, a line each, and what was tried where a bar is missed."""
    lines = []
    for result in results:
        style = "red" if result.reached is False else "dim"
        if result.note:
            lines.append(Text(f"{result.id}: {result.note}", style))
        if result.reached is False and result.id in TRIED:
            lines.append(Text(f"{result.id}, tried: {TRIED[result.id]}", style))
    return lines


def as_json(results: Sequence[Result], machine: Mapping[str, str]) -> str:
    """The results and the machine; what is not a number is null."""
    return json.dumps(
        {"machine": dict(machine), "results": [_plain(asdict(result)) for result in results]},
        indent=2,
        ensure_ascii=False,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def markdown(
    results: Sequence[Result], machine: Mapping[str, str], plots: Sequence[Drawn], quick: bool
) -> str:
    """docs/benchmarks.md."""
    said = f"{sum(result.reached is True for result in results)} of {len(results)} bars reached"
    for word in ("missed", "not measured"):
        if ids := [result.id for result in results if verdict(result) == word]:
            said += f"; {MARKS[False]} {word}: **{', '.join(ids)}**"
    parts = [
        "# Benchmarks\n",
        "Written by `uv run --group bench python -m bench`"
        + (" `--quick`: one short round, expect noise" if quick else "")
        + "; not edited by hand. Every figure is a ratio taken in one run, or CPU time read from "
        "the operating system: machines differ and are noisy, and a timed test would measure "
        "that.\n",
        f"{said}.\n",
        *map(_shown, plots[:1]),
        "## Results\n",
        "| | measured | value | against | ratio | bar | | spread, notes |",
        "|---|---|--:|---|--:|---|---|---|",
        *(_row(result) for result in results),
        "",
        *_tried(results),
        *map(_shown, plots[1:]),
        "## How it is measured\n",
        _how(),
        "## Growth\n",
        growth.markdown(results),
        "## Machine\n",
        "| | |",
        "|---|---|",
        *(f"| {name} | {_cell(value)} |" for name, value in machine.items()),
        "",
    ]
    return "\n".join(parts)


def _shown(plot: Drawn) -> str:
    return f"**{plot.title}**\n\n{picture(plot)}\n"


def _tried(results: Sequence[Result]) -> list[str]:
    missed = misses(results)
    if not missed:
        return []
    lines = (
        f"- {MARKS[False]} **{result.id}** ({verdict(result)}): "
        + TRIED.get(result.id, "not written down yet.")
        for result in missed
    )
    return ["### Missed, and what was tried\n", *lines, ""]


def _cells(result: Result) -> tuple[str, ...]:
    against = result.against
    if result.baseline is not None:
        against += f": {number(result.baseline)} {result.unit}"
    return (
        result.id,
        result.what,
        f"{number(result.value)} {result.unit}".strip(),
        against,
        _ratio(result),
        result.bar,
        f"{MARKS[result.reached]} {verdict(result)}",
    )


def _row(result: Result) -> str:
    notes = "; ".join(part for part in (result.spread, result.note) if part)
    return "| " + " | ".join(map(_cell, (*_cells(result), notes))) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _how() -> str:
    shares = ", ".join(f"{share:.0%} {name}" for name, share in mix.SHARES.items())
    return f"""\
The service, or a peer, has one core to itself; the load generator and Redis have the other. CPU is
user and system time of all processes of a program, and of Redis, from `/proc/<pid>/stat`, divided
by the heartbeats that were answered. One refusal makes a run invalid. P5, P5b and P6 are read from
Redis's `commandstats`, where a script's time includes all that it calls.

The load is `wrk` with 64 connections: {mix.SESSIONS:,} sessions on {mix.PAGES} pages, {shares}.
Repeats come milliseconds after what they repeat, turns seconds apart, and the dedup window,
{mix.DEDUP_S * 1000:.0f} ms, between; where what came of it is off by more than 3 %, the window is
set by the rate that was measured and the run made again. Every check is on: validation, origin,
limits that nothing meets, metrics. Before each run Redis has the same sessions; programs take turns
in an order that rotates; figures are medians, the spread is from the least to the most. The peers
are in `bench/peers/`, with one Redis script of the same meaning.

P17 is not wrk's: `bench/constant_rate.py` sends each heartbeat at its moment of a Poisson process,
and counts from that moment. The peak is the most that wrk gets answered. P12 is judged by what
Redis was computing while a ping waited, not by the wait, in which others may have had the core.

`uv run --group bench python -m bench` needs Debian's packages wrk, nginx, libnginx-mod-http-lua,
lua-nginx-redis, lua-cjson, nodejs and npm. `--only P2` runs what one row needs, `--json FILE` keeps
the figures, `--check` ends with 1 if a bar is missed, `--quick` makes one short round of
everything, `--no-write` leaves the documents as they are.
"""
