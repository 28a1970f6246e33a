"""What an endpoint should be told, as plainly as it can be said: the whole history is replayed ms
by ms, and nothing is kept between."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Step(NamedTuple):
    """What happened at a moment, ms: a session is on a page as a user; nowhere: it has left."""

    at: int
    session: str
    path: str = ""
    user: str = ""


class Told(NamedTuple):
    """An event."""

    type: str
    at: int
    active: int
    name: str = ""


def expected(steps: Sequence[Step], wanted: set[str], ends: int, **rules: Any) -> list[Told]:
    """The events of a history, by moment."""
    told: list[Told] = []
    here: dict[str, Step] = {}
    conditions = [_Condition(kinds, name, delays) for kinds, name, delays in _conditions(rules)]
    users = sorted({step.user for step in steps if step.user})
    settle = rules["settle"]
    conditions += [_Condition(("user.offline", "user.online"), u, (0, settle)) for u in users]
    for now in range(ends + 1):
        # First what is due by then; what happens in the same moment comes too late.
        for step in [None, *(step for step in steps if step.at == now)]:
            if step is not None and step.path:
                here[step.session] = step
            elif step is not None:
                here.pop(step.session, None)
            for condition in conditions:
                holds = _holds(condition, here, rules)
                kind = condition.look(holds, now)
                if kind in wanted:
                    name = condition.name
                    told.append(Told(kind, condition.at, len(here), name))
    return told


def _conditions(rules: Any) -> list[tuple[tuple[str, str], str, tuple[int, int]]]:
    sustained = (rules["for_"], rules["for_"])
    return [
        (("site.vacated", "site.occupied"), "", (0, rules["settle"])),
        (("active.below", "active.above"), "", sustained),
        (("", "page.above"), rules["path"], sustained),
    ]


def _holds(condition: "_Condition", here: dict[str, Step], rules: Any) -> bool | None:
    match condition.kinds[1]:
        case "site.occupied":
            return len(here) > 0
        case "user.online":
            return any(step.user == condition.name for step in here.values())
        case "page.above":
            count = sum(step.path == rules["path"] for step in here.values())
        case _:
            count = len(here)
    if count > rules["above"]:
        return True
    return False if count < rules["below"] else None


class _Condition:
    def __init__(self, kinds: tuple[str, str], name: str, delays: tuple[int, int]) -> None:
        self.kinds = kinds
        self.name = name
        self.delays = delays
        self.is_told = False
        self.since: int | None = None
        self.at = 0

    def look(self, holds: bool | None, now: int) -> str:
        """The event that is due now; empty: none."""
        if holds is None or holds == self.is_told:
            self.since = None
            return ""
        if self.since is None:
            self.since = now
        if now - self.since < self.delays[not holds]:
            return ""
        self.at, self.since, self.is_told = self.since, None, holds
        return self.kinds[holds]
