"""What a measure is, what it is given and what it gives back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


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
    unit: str
    against: str
    baseline: float | None
    ratio: float | None
    bar: str
    reached: bool | None
    spread: str = ""
    note: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


class Progress(Protocol):
    """Where a measure says how far it is."""

    def start(self, what: str, steps: int) -> None:
        """A new bar, of so many steps."""

    def step(self, what: str = "") -> None:
        """One step done; what comes next."""


class Silent:
    """A Progress that shows nothing."""

    def start(self, what: str, steps: int) -> None:
        """Shows nothing."""

    def step(self, what: str = "") -> None:
        """Shows nothing."""


@dataclass
class Context:
    """What a measure is given: whether to be quick, where to show progress, a folder that is gone
    afterwards, and which rows are wanted (empty: all)."""

    quick: bool
    progress: Progress
    folder: Path
    only: frozenset[str] = frozenset()

    def wants(self, *ids: str) -> bool:
        """Whether any of these rows is wanted."""
        return not self.only or not self.only.isdisjoint(ids)


Measure = Callable[[Context], list[Result] | Awaitable[list[Result]]]


def run(measure: Measure, context: Context) -> list[Result]:
    """The results of a measure, be it a coroutine or not."""
    results = measure(context)
    return results if isinstance(results, list) else asyncio.run(_awaited(results))


async def _awaited(results: Awaitable[list[Result]]) -> list[Result]:
    return await results
