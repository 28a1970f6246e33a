"""What a measure is given and what it gives back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass
class Result:
    """One row of the table; `detail` is what the plot needs."""

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
    note = f"not measured: {why}"
    return Result(id, what, float("nan"), bar=bar, reached=False, note=note)


def spread(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else ""


@dataclass
class Context:
    """What a measure is given: whether to be quick, a folder that is gone afterwards, which rows
    are wanted (empty: all), and whom to tell what is being done."""

    quick: bool
    folder: Path
    only: frozenset[str] = frozenset()
    say: Callable[[str], None] = print

    def wants(self, *ids: str) -> bool:
        """Whether any of these rows is wanted."""
        return not self.only or not self.only.isdisjoint(ids)


Measure = Callable[[Context], list[Result] | Awaitable[list[Result]]]
