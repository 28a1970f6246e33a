"""The same job written otherwise, as small and as fair as we can: what the service is measured
against. Each takes a Redis URL and prints its numbers."""

from collections import Counter
from dataclasses import dataclass, field

WINDOW_MS = 10_000
TIMEOUT_MS = 120_000
CLIENTS = 64
HEARTBEATS = 10_000
SESSION = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


@dataclass
class Tally:
    """What became of many concurrent heartbeats of one session.

    `outcomes`: what the clients were told; `retries`: attempts that had to be made again;
    `views`, `on_pages`: what Redis holds afterwards: views counted, and sessions on all pages.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    views: int = 0
    on_pages: int = 0

    @property
    def writes(self) -> int:
        """How often the session was written."""
        return sum(n for outcome, n in self.outcomes.items() if outcome != "duplicate")

    def __str__(self) -> str:
        told = ", ".join(f"{n} {outcome}" for outcome, n in sorted(self.outcomes.items()))
        return (
            f"{told}; {self.writes} writes, {self.retries} retries, "
            f"{self.views} views, {self.on_pages} sessions on pages"
        )


def path_of(heartbeat: int, pages: int) -> str:
    """The page of the n-th heartbeat, where a session wanders over so many."""
    return f"/{heartbeat % pages}"
