"""The plots, as SVG that reads on a light and on a dark page: no background, mid-grey text."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from bench.result import Result

GREY, BLUE, ORANGE, GREEN = "#8a8f98", "#3b82f6", "#f59e0b", "#10b981"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "presence",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "axes.titlesize": 12,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def draw(results: Sequence[Result], folder: Path) -> dict[str, str]:
    """Draws what the results allow; the file names and what they show, in order."""
    by_id = {result.id: result for result in results}
    drawn = {}
    for name, title, plot in _PLOTS:
        with plt.rc_context(_STYLE):
            figure, axes = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
            if plot(axes, by_id):
                axes.set_title(title, loc="left")
                file = f"bench-{name}.svg"
                figure.savefig(
                    folder / file, transparent=True, metadata={"Date": None, "Creator": None}
                )
                drawn[file] = title
            plt.close(figure)
    return drawn


def _cost(axes: Any, by_id: dict[str, Result]) -> bool:
    cases: dict[str, Any] = {}
    for id in ("P1", "P2", "P3", "P4"):
        if id in by_id:
            cases |= by_id[id].detail.get("cases", {})
    if len(cases) < 2:
        return False
    names = sorted(cases, key=lambda n: cases[n]["program_us"] + cases[n]["redis_us"], reverse=True)
    program = [cases[name]["program_us"] for name in names]
    redis = [cases[name]["redis_us"] for name in names]
    axes.barh(names, program, color=BLUE, label="program")
    axes.barh(names, redis, left=program, color=ORANGE, label="Redis")
    for place, name in enumerate(names):
        total = program[place] + redis[place]
        axes.text(total, place, f" {total:.0f}", va="center")
        if name == "this service":
            axes.get_yticklabels()[place].set_fontweight("bold")
    axes.set_xlabel("µs of CPU per heartbeat")
    axes.grid(axis="y", visible=False)
    axes.legend()
    return True


def _by_sessions(id: str, unit: str) -> Callable[[Any, dict[str, Result]], bool]:
    def plot(axes: Any, by_id: dict[str, Result]) -> bool:
        points = by_id[id].detail.get("by_sessions") if id in by_id else None
        if not points or len(points) < 2:
            return False
        sessions = sorted(points, key=int)
        axes.plot([int(n) for n in sessions], [points[n] for n in sessions], "o-", color=BLUE)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("active sessions")
        axes.set_ylabel(unit)
        return True

    return plot


def _latency(axes: Any, by_id: dict[str, Result]) -> bool:
    curves = by_id["P17"].detail.get("curves") if "P17" in by_id else None
    if not curves or len(curves["service"]) < 2:
        return False
    for name, label, color in (("service", "this service", BLUE), ("noop", "empty 204", GREEN)):
        rows = sorted(curves[name].values(), key=lambda row: row["rate"])
        rates = [row["rate"] for row in rows]
        for percent, line in (("50", "o--"), ("99", "o-")):
            label_text = f"{label}, p{percent}"
            axes.plot(rates, [row[percent] for row in rows], line, color=color, label=label_text)
    axes.set_yscale("log")
    axes.set_xlabel("heartbeats per second, sent without waiting")
    axes.set_ylabel("ms")
    axes.legend()
    return True


def _conflicts(axes: Any, by_id: dict[str, Result]) -> bool:
    programs = by_id["P14"].detail.get("programs") if "P14" in by_id else None
    if not programs:
        return False
    names = list(programs)[::-1]
    for offset, kind, color in ((0.2, "writes", BLUE), (-0.2, "retries", ORANGE)):
        places = [place + offset for place in range(len(names))]
        # Retries of a write that there need not be; a logarithm knows no 0.
        values = [programs[name][kind] for name in names]
        axes.barh(places, [max(value, 0.5) for value in values], 0.4, color=color, label=kind)
        for place, value in zip(places, values, strict=True):
            axes.text(max(value, 0.5), place, f" {value:,}", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set_xlim(left=0.5, right=10 ** math.ceil(math.log10(10 * _most(programs))))
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right")
    return True


def _most(programs: dict[str, Any]) -> int:
    most: int = max(max(row["writes"], row["retries"], 1) for row in programs.values())
    return most


_PLOTS: tuple[tuple[str, str, Callable[[Any, dict[str, Result]], bool]], ...] = (
    ("cost", "CPU per heartbeat", _cost),
    ("memory", "Redis memory per active session", _by_sessions("P8", "bytes")),
    ("stats", "Redis time of one stats call", _by_sessions("P9", "ms")),
    ("latency", "Latency against load, one worker", _latency),
    ("conflicts", "One session, 64 clients: what was written, and tried again", _conflicts),
)
