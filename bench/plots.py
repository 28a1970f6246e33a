"""The plot of P1 to P4, as SVG: for a light page and for a dark one, without a background."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.result import Result

# file: text (as GitHub's pages have it), grid, service, Redis: of the same contrast on both pages
FILES = {
    "bench-cost.svg": ("#1f2328", "#d0d7de", "#2563eb", "#d97706"),
    "bench-cost-dark.svg": ("#e6edf3", "#30363d", "#60a5fa", "#fbbf24"),
}
TITLE = "CPU per heartbeat, service and Redis, of this service and its peers"
PICTURE = f"""<picture>
  <source media="(prefers-color-scheme: dark)" srcset="bench-cost-dark.svg">
  <img alt="{TITLE}" src="bench-cost.svg">
</picture>"""


def draw(results: Sequence[Result], folder: Path) -> bool:
    """Draws what was measured; whether there was anything."""
    # Not above: it takes as long to import as all else here, which tests need without a plot.
    import matplotlib
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    cases: dict[str, Any] = {}
    for result in results:
        if result.id in ("P1", "P2", "P3", "P4"):
            cases |= result.detail.get("cases", {})
    for file, (text, grid, service, redis) in FILES.items() if cases else ():
        style: Any = {
            "svg.fonttype": "none", "svg.hashsalt": "presence", "font.size": 11,
            "text.color": text, "axes.labelcolor": text, "xtick.labelcolor": text,
            "ytick.labelcolor": text, "axes.edgecolor": grid, "xtick.color": grid,
            "ytick.color": grid, "grid.color": grid, "axes.spines.top": False,
            "axes.spines.right": False, "axes.axisbelow": True, "legend.frameon": False,
        }  # fmt: skip
        with plt.rc_context(style):
            layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
            figure, axes = plt.subplots(figsize=(7.6, 3.6), layout=layout)
            _bars(axes, cases, service, redis)
            metadata = {"Date": None, "Creator": None}  # the same results are the same file
            figure.savefig(folder / file, transparent=True, metadata=metadata)
            plt.close(figure)
    return bool(cases)


def _bars(axes: Any, cases: dict[str, Any], service: str, redis: str) -> None:
    totals = {name: case["program_us"] + case["redis_us"] for name, case in cases.items()}
    names = sorted(totals, key=lambda name: -totals[name])
    program, rest = ([cases[name][f"{of}_us"] for name in names] for of in ("program", "redis"))
    axes.barh(names, program, 0.65, color=service, label="service")
    axes.barh(names, rest, 0.65, left=program, color=redis, label="Redis")
    for row, name in enumerate(names):
        weight = "bold" if name == "this service" else None
        axes.text(totals[name], row, f" {totals[name]:.0f}", va="center", weight=weight)
    axes.set_xlim(right=1.1 * max(totals.values()))
    axes.set_xlabel("µs of CPU per heartbeat")
    axes.grid(axis="x")
    axes.legend(loc="upper right")
