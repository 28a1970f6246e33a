"""What must hold of a site shard at every moment, as plain functions over what was read.

1. The counters of pages and countries are what the members of `active` add up to.
2. Every member that has not expired has its session hash, with the member's path and country.
3. Replaying `events` gives exactly `active`: every life is `joined moved* left`, in order.
4. `totals.views` is the sum of `top`, and is what was ever appended to `views`.
5. No key is without a TTL but the totals of all time (checked where keys are read).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

WRONG_TYPE = 0
COUNTERS, HASHES, LIVES, VIEWS, LIFETIMES = 1, 2, 3, 4, 5
_VIEWS_LIFE_MS = 400 * 86_400_000  # an idle stream of views expires, the totals do not

Event = tuple[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `invariant` is its number above, or 0 for a key of a wrong type;
    `site` is empty for a key that belongs to none."""

    site: str
    invariant: int
    key: str
    what: str


class Member(NamedTuple):
    """A member of `active`, taken apart."""

    session: str
    country: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "Member | None":
        """None where somebody has written what no script writes."""
        parts = text.split(" ", 2)
        return cls(*parts) if len(parts) == 3 and all(parts) else None

    def __str__(self) -> str:
        return " ".join(self)


def counter_faults(
    expected: Iterable[str], counters: Mapping[str, float]
) -> list[tuple[str, int, float]]:
    """Names with the count they should have and the one they have, where these differ."""
    counts = Counter(expected)
    return [
        (name, counts[name], counters.get(name, 0))
        for name in sorted(counts.keys() | counters.keys())
        if counts[name] != counters.get(name)
    ]


def life_faults(
    events: Sequence[Event], members: Iterable[Member], *, is_whole: bool
) -> Iterable[tuple[str, str]]:
    """What is wrong with the log of lives: a session and what is wrong with it, each.

    Where the log is not whole, having been trimmed, a session's first event may be any; what
    follows it must fit, and its end must be what `members` says, all the same.
    """
    here: dict[str, tuple[str, str] | None] = {}
    for entry_id, event in events:
        kind, session = event.get("type", ""), event.get("session", "")
        path, country = event.get("path", ""), event.get("country", "--")
        is_first = session not in here and not is_whole
        at = here.get(session)
        match kind:
            case "joined":
                if at is not None:
                    yield session, f"joined twice without having left (event {entry_id})"
                here[session] = (country, path)
            case "moved":
                if at is None and not is_first:
                    yield session, f"moved without having joined (event {entry_id})"
                elif at is not None and at != (country, event.get("from")):
                    origin = event.get("from")
                    yield session, f"moved from {origin} while on {at[1]} (event {entry_id})"
                here[session] = (country, path)
            case "left":
                if at is None and not is_first:
                    yield session, f"left without being here (event {entry_id})"
                elif at is not None and at[1] != path:
                    yield session, f"left {path} while on {at[1]} (event {entry_id})"
                here[session] = None
            case _:
                yield session, f"has an event of unknown type {kind!r} (event {entry_id})"
    active: dict[str, set[tuple[str, str]]] = {}
    for member in members:
        active.setdefault(member.session, set()).add((member.country, member.path))
    for session, at in here.items():
        is_here = active.get(session, set())
        if is_here == ({at} if at else set()):
            continue
        in_active = ", ".join(sorted(path for _, path in is_here))
        yield (
            session,
            f"is {f'on {at[1]}' if at else 'gone'} by its events, but "
            f"{f'on {in_active}' if in_active else 'gone'} by active",
        )
    if is_whole:
        for session in active.keys() - here.keys():
            yield session, "is in active, but has no events"


def view_faults(
    totals: int, since_ms: int | None, top: float, appended: int | None, now_ms: int
) -> Iterable[str]:
    """What is wrong with the count of page views. `appended`: entries the stream ever had; None
    where that is not known."""
    if totals != top:
        yield f"views is {totals}, but the views in top add up to {top:.0f}"
    if appended is None or appended == totals:
        return
    may_have_expired = since_ms is None or now_ms - since_ms > _VIEWS_LIFE_MS
    if appended > totals or not may_have_expired:
        yield f"views is {totals}, but {appended} were appended to the stream"
