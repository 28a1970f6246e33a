"""The plots, as SVG: each once for a light page and once for a dark one, without a background."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.result import Result


@dataclass(frozen=True)
class Colors:
    """What is drawn in what: text, lines of the grid, and data."""

    text: str
    grid: str
    blue: str
    orange: str
    green: str


# Text as GitHub's pages have it; the others have the same contrast on white and on #0d1117.
LIGHT = Colors("#1f2328", "#d0d7de", "#2563eb", "#d97706", "#059669")
DARK = Colors("#e6edf3", "#30363d", "#60a5fa", "#fbbf24", "#34d399")
OURS = "this service"


@dataclass(frozen=True)
class Drawn:
    """A plot in its two files, and what it shows."""

    title: str
    light: str
    dark: str


def draw(results: Sequence[Result], folder: Path) -> list[Drawn]:
    """Draws what the results allow."""
    details: Details = {result.id: result.detail for result in results}
    drawn = []
    for name, (title, plot) in _PLOTS.items():
        light, dark = f"bench-{name}.svg", f"bench-{name}-dark.svg"
        if all(
            _save(plot, details, colors, folder / file)
            for file, colors in ((light, LIGHT), (dark, DARK))
        ):
            drawn.append(Drawn(title, light, dark))
    return drawn


def picture(drawn: Drawn, folder: str = "") -> str:
    """The HTML that shows the one that fits the reader's page."""
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{folder}{drawn.dark}">\n'
        f'  <img alt="{drawn.title}" src="{folder}{drawn.light}">\n</picture>'
    )


Details = dict[str, dict[str, Any]]
Plot = Callable[[Any, Details, Colors], bool]


def _save(plot: Plot, details: Details, colors: Colors, file: Path) -> bool:
    text, grid = colors.text, colors.grid
    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "presence", "font.size": 11, "text.color": text,
        "axes.labelcolor": text, "xtick.labelcolor": text, "ytick.labelcolor": text,
        "axes.edgecolor": grid, "xtick.color": grid, "ytick.color": grid, "grid.color": grid,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "axes.axisbelow": True, "legend.frameon": False, "lines.linewidth": 2,
    }  # fmt: skip
    with plt.rc_context(style):
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
        figure, axes = plt.subplots(figsize=(7.6, 3.6), layout=layout)
        if is_drawn := plot(axes, details, colors):
            # Neither a date nor a version: the same results are the same file.
            figure.savefig(file, transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return is_drawn


def _plain(value: float, place: object = None) -> str:
    """1000 as 1 k."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _cost(axes: Any, details: Details, colors: Colors) -> bool:
    cases: dict[str, Any] = {}
    for id in ("P1", "P2", "P3", "P4"):
        cases |= details.get(id, {}).get("cases", {})
    totals = {name: case["program_us"] + case["redis_us"] for name, case in cases.items()}
    names = sorted(totals, key=lambda name: -totals[name])
    program = [cases[name]["program_us"] for name in names]
    redis = [cases[name]["redis_us"] for name in names]
    axes.barh(names, program, 0.65, color=colors.blue, label="service")
    axes.barh(names, redis, 0.65, left=program, color=colors.orange, label="Redis")
    for place, name in enumerate(names):
        weight = "bold" if name == OURS else None
        axes.text(totals[name], place, f" {totals[name]:.0f}", va="center", weight=weight)
    axes.set_xlim(right=1.1 * max(totals.values(), default=1))
    axes.set_xlabel("µs of CPU per heartbeat")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper right")
    return len(names) > 1


def _curves(axes: Any, unit: str, *curves: tuple[dict[int, float], str, str]) -> bool:
    """Figures by the number of sessions, each with a label and a color."""
    for points, label, color in curves:
        sessions = sorted(points)
        axes.plot(sessions, [points[n] for n in sessions], "o-", color=color, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_plain)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("active sessions")
    axes.set_ylabel(unit)
    axes.minorticks_off()
    axes.legend(loc="center right")
    return len(curves[0][0]) > 1


def _memory(axes: Any, details: Details, colors: Colors) -> bool:
    found = details.get("P8", {})
    ours, theirs = found.get("by_sessions", {}), found.get("prototype_by_sessions", {})
    prototype = (theirs, "prototype: a hash of viewed paths", colors.orange)
    return _curves(axes, "bytes per session", (ours, OURS, colors.blue), prototype)


def _stats(axes: Any, details: Details, colors: Colors) -> bool:
    stats, us = (details.get(id, {}).get("by_sessions", {}) for id in ("P9", "P10"))
    active = {n: value / 1000 for n, value in us.items()}
    curves = (stats, "stats", colors.blue), (active, "active", colors.green)
    return _curves(axes, "ms of Redis per call", *curves)


_PLOTS: dict[str, tuple[str, Plot]] = {
    "cost": ("CPU per heartbeat, service and Redis, of this service and its peers", _cost),
    "memory": ("Redis memory per active session, from 1 k to 1 M sessions", _memory),
    "stats": ("Redis time of one stats or active call, from 1 k to 1 M sessions", _stats),
}
