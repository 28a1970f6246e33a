"""The results as a table on the terminal, and as docs/benchmarks.md."""

import math
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from bench import mix
from bench.plots import PICTURE
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
    shown = Table()
    for name in ("", "measured", "value", "against", "ratio", "bar", "", "spread, notes"):
        shown.add_column(name)
    for result in results:
        style = "red" if result.reached is False else ""
        shown.add_row(*(Text(cell) for cell in _cells(result)), style=style)
    return shown


def _ratio(result: Result) -> str:
    is_known = result.ratio is not None and not math.isnan(result.ratio)
    return f"{result.ratio:.2f} ×" if is_known else ""


def markdown(
    results: Sequence[Result], machine: Mapping[str, str], is_drawn: bool, quick: bool
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
        *([PICTURE, ""] if is_drawn else []),
        "## Results\n",
        "| | measured | value | against | ratio | bar | | spread, notes |",
        "|---|---|--:|---|--:|---|---|---|",
        *(_row(result) for result in results),
        "",
        "## How it is measured\n",
        _how(),
        "## Machine\n",
        "| | |",
        "|---|---|",
        *(f"| {name} | {_cell(value)} |" for name, value in machine.items()),
        "",
    ]
    return "\n".join(parts)


def _cells(result: Result) -> tuple[str, ...]:
    against = result.against
    tried = f"tried: {TRIED[result.id]}" if result.reached is False and result.id in TRIED else ""
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
        "; ".join(part for part in (result.spread, result.note, tried) if part),
    )


def _row(result: Result) -> str:
    return "| " + " | ".join(map(_cell, _cells(result))) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _how() -> str:
    shares = ", ".join(f"{share:.0%} {name}" for name, share in mix.SHARES.items())
    return f"""\
The service, or a peer, has one core; the load generator and Redis have the other. CPU is read from
processes' clocks, in P5, P5b and P6 from Redis's `commandstats`. One refusal makes a run invalid.

The load is `wrk` with 64 connections: {mix.SESSIONS:,} sessions on {mix.PAGES} pages, {shares}.
A connection's heads are alike, as those of a browser or a backend are, and the service does not
parse them again; in P1b no two are, as behind a proxy that tells addresses. Every check is on.
Programs take turns; figures are medians. P17's heartbeats come at the moments of a Poisson process;
P12 is what Redis was computing while a ping waited.

`uv run --group bench python -m bench` needs Debian's packages wrk, nginx, libnginx-mod-http-lua,
lua-nginx-redis, lua-cjson, nodejs and npm. `--only P2` runs what one row needs,
`--check` ends with 1 if a bar is missed, `--quick` makes one short round of everything.
"""
