"""The plots, as SVG: each once for a light page and once for a dark one, without a background."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator

from bench.result import Result


@dataclass(frozen=True)
class Colors:
    """What is drawn in what: text, lines of the grid, and four kinds of data."""

    text: str
    grid: str
    blue: str
    orange: str
    green: str
    red: str


# Text as GitHub's pages have it; the others have the same contrast on white and on #0d1117.
LIGHT = Colors("#1f2328", "#d0d7de", "#2563eb", "#d97706", "#059669", "#dc2626")
DARK = Colors("#e6edf3", "#30363d", "#60a5fa", "#fbbf24", "#34d399", "#f87171")


@dataclass(frozen=True)
class Drawn:
    """A plot in its two files, and what it shows."""

    title: str
    light: str
    dark: str


def draw(results: Sequence[Result], folder: Path, format: str = "svg") -> list[Drawn]:
    """Draws what the results allow."""
    by_id = {result.id: result for result in results}
    drawn = []
    for name, title, plot in _PLOTS:
        files = {"": LIGHT, "-dark": DARK}
        if all(
            _save(plot, by_id, colors, folder / f"bench-{name}{suffix}.{format}")
            for suffix, colors in files.items()
        ):
            light, dark = (f"bench-{name}{suffix}.{format}" for suffix in files)
            drawn.append(Drawn(title, light, dark))
    return drawn


def picture(drawn: Drawn, folder: str = "") -> str:
    """The HTML that shows the one that fits the reader's page."""
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{folder}{drawn.dark}">\n'
        f'  <img alt="{drawn.title}" src="{folder}{drawn.light}">\n</picture>'
    )


Plot = Callable[[Any, dict[str, Result], Colors], bool]


def _save(plot: Plot, by_id: dict[str, Result], colors: Colors, file: Path) -> bool:
    with plt.rc_context(_style(colors)):
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
        figure, axes = plt.subplots(figsize=(7.6, 3.6), layout=layout)
        is_drawn = plot(axes, by_id, colors)
        if is_drawn:
            # Neither a date nor a version: the same results are the same file.
            metadata = {"Date": None, "Creator": None} if file.suffix == ".svg" else None
            figure.savefig(file, transparent=True, metadata=metadata)
        plt.close(figure)
    return is_drawn


def _style(colors: Colors) -> Any:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "presence",
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": colors.text,
        "axes.labelcolor": colors.text,
        "axes.edgecolor": colors.grid,
        "xtick.color": colors.grid,
        "xtick.labelcolor": colors.text,
        "ytick.color": colors.grid,
        "ytick.labelcolor": colors.text,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": colors.grid,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "lines.linewidth": 2,
        "lines.markersize": 5,
    }


def _cost(axes: Any, by_id: dict[str, Result], colors: Colors) -> bool:
    cases: dict[str, Any] = {}
    for id in ("P1", "P2", "P3", "P4"):
        if id in by_id:
            cases |= by_id[id].detail.get("cases", {})
    if len(cases) < 2:
        return False
    names = sorted(cases, key=lambda n: cases[n]["program_us"] + cases[n]["redis_us"], reverse=True)
    program = [cases[name]["program_us"] for name in names]
    redis = [cases[name]["redis_us"] for name in names]
    axes.barh(names, program, 0.65, color=colors.blue, label="service")
    axes.barh(names, redis, 0.65, left=program, color=colors.orange, label="Redis")
    for place, name in enumerate(names):
        total = program[place] + redis[place]
        is_ours = name == OURS
        axes.text(total, place, f" {total:.0f}", va="center", weight="bold" if is_ours else None)
        if is_ours:
            axes.get_yticklabels()[place].set_fontweight("bold")
    axes.set_xlim(right=1.1 * max(p + r for p, r in zip(program, redis, strict=True)))
    axes.set_xlabel("µs of CPU per heartbeat")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper right")
    return True


OURS = "this service"


def _points(result: Result | None, name: str) -> tuple[list[int], list[float]]:
    """Numbers of sessions and the figures there, in order; empty where nothing was measured."""
    points = result.detail.get(name, {}) if result else {}
    sessions = sorted(points, key=int)
    return [int(n) for n in sessions], [points[n] for n in sessions]


def _by_sessions(axes: Any, unit: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, place: _short(value))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("active sessions")
    axes.set_ylabel(unit)
    axes.minorticks_off()


def _short(value: float) -> str:
    """1000 as 1 k."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _memory(axes: Any, by_id: dict[str, Result], colors: Colors) -> bool:
    result = by_id.get("P8")
    sessions, ours = _points(result, "by_sessions")
    if len(sessions) < 2:
        return False
    _, theirs = _points(result, "prototype_by_sessions")
    if len(theirs) == len(sessions):
        axes.plot(
            sessions, theirs, "o-", color=colors.orange, label="prototype: a hash of viewed paths"
        )
    axes.plot(sessions, ours, "o-", color=colors.blue, label=OURS)
    _by_sessions(axes, "bytes per session")
    axes.legend(loc="lower right")
    return True


def _stats(axes: Any, by_id: dict[str, Result], colors: Colors) -> bool:
    sessions, ms = _points(by_id.get("P9"), "by_sessions")
    if len(sessions) < 2:
        return False
    axes.plot(sessions, ms, "o-", color=colors.blue, label="stats")
    _, us = _points(by_id.get("P10"), "by_sessions")
    if len(us) == len(sessions):
        axes.plot(
            sessions, [value / 1000 for value in us], "o-", color=colors.green, label="active"
        )
    _by_sessions(axes, "ms of Redis per call")
    axes.legend(loc="center right")
    return True


def _latency(axes: Any, by_id: dict[str, Result], colors: Colors) -> bool:
    curves = by_id["P17"].detail.get("curves") if "P17" in by_id else None
    if not curves or len(curves["service"]) < 2:
        return False
    for name, label, color in (
        ("service", OURS, colors.blue),
        ("noop", "empty 204", colors.green),
    ):
        rows = sorted(curves[name].values(), key=lambda row: row["rate"])
        rates = [row["rate"] for row in rows]
        for percent, line in (("99", "o-"), ("50", "o:")):
            label_text = f"{label}, p{percent}"
            axes.plot(rates, [row[percent] for row in rows], line, color=color, label=label_text)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, place: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:,.0f}")
    axes.set_xlabel("heartbeats per second, sent without waiting for answers")
    axes.set_ylabel("ms")
    axes.legend(loc="upper left")
    return True


def _conflicts(axes: Any, by_id: dict[str, Result], colors: Colors) -> bool:
    programs = by_id["P14"].detail.get("programs") if "P14" in by_id else None
    if not programs:
        return False
    names = list(programs)[::-1]
    for offset, kind, color in ((0.2, "writes", colors.blue), (-0.2, "retries", colors.red)):
        places = [place + offset for place in range(len(names))]
        values = [programs[name][kind] for name in names]
        # A logarithm knows no 0.
        axes.barh(places, [max(value, 0.5) for value in values], 0.36, color=color, label=kind)
        for place, value in zip(places, values, strict=True):
            axes.text(max(value, 0.5), place, f" {value:,}", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), [name.replace(", 1 pages", ", one page") for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_xscale("log")
    axes.set_xlim(left=0.5, right=10 * _most(programs))
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:,.0f}")
    axes.minorticks_off()
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper right")
    return True


def _most(programs: dict[str, Any]) -> int:
    most: int = max(max(row["writes"], row["retries"], 1) for row in programs.values())
    return most


_PLOTS: tuple[tuple[str, str, Plot], ...] = (
    ("cost", "CPU per heartbeat, service and Redis, of this service and its peers", _cost),
    ("memory", "Redis memory per active session, from 1 k to 1 M sessions", _memory),
    ("stats", "Redis time of one stats or active call, from 1 k to 1 M sessions", _stats),
    ("latency", "Latency against load, one worker", _latency),
    (
        "conflicts",
        "64 clients, one session: what was written, and what was tried again",
        _conflicts,
    ),
)
