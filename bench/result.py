"""What a measure is given and what it gives back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass
class Result:
    """One row of the table.

    `value` and `baseline` are in `unit`; `ratio` is what the bar is about where the bar is a
    ratio. `reached` is None where there is no bar. `detail` holds what plots and the JSON need;
    under `by_sessions` a figure by the number of sessions: {1000: 0.3, 1000000: 0.4}.
    """

    id: str
    what: str
    value: float
    unit: str = ""
    against: str = ""
    baseline: float | None = None
    ratio: float | None = None
    bar: str = ""
    reached: bool | None = None
    spread: str = ""
    note: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


def compared(
    id: str,
    what: str,
    values: Sequence[float],
    against: str,
    baselines: Sequence[float],
    most: float,
    note: str = "",
    detail: dict[str, Any] | None = None,
    unit: str = "µs",
) -> Result:
    """A row whose bar is a ratio of two medians."""
    value, baseline = median(values), median(baselines)
    shown = f"{spread(values)} against {spread(baselines)}" if len(values) > 1 else ""
    ratio, bar = value / baseline, f"≤ {most:g} ×"
    reached = ratio <= most
    return Result(
        id, what, value, unit, against, baseline, ratio, bar, reached, shown, note, detail or {}
    )


def not_measured(id: str, what: str, bar: str, why: str) -> Result:
    """A red row."""
    note = f"not measured: {why}"
    return Result(id, what, float("nan"), bar=bar, reached=False, note=note)


def spread(values: Sequence[float]) -> str:
    """From the least to the most."""
    return f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else ""


def _silent(what: str) -> None:
    """Shows nothing."""


@dataclass
class Context:
    """What a measure is given: whether to be quick, a folder that is gone afterwards, which rows
    are wanted (empty: all), and whom to tell what is being done."""

    quick: bool
    folder: Path
    only: frozenset[str] = frozenset()
    say: Callable[[str], None] = _silent

    def wants(self, *ids: str) -> bool:
        """Whether any of these rows is wanted."""
        return not self.only or not self.only.isdisjoint(ids)


Measure = Callable[[Context], list[Result] | Awaitable[list[Result]]]
