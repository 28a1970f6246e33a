"""What must hold of a site shard at every moment, as plain functions over what was read.

1. The counters of pages and countries are what the members of `active` add up to.
2. Every member that has not expired has its session hash, with the member's path and country.
3. Replaying `events`, by session, country and path, gives exactly `active`.
4. `totals.views` is the sum of `top`, and is what was ever appended to `views`.
5. No key is without a TTL but the totals of all time (checked where keys are read).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.store.members import Member

WRONG_TYPE = 0
COUNTERS, HASHES, EVENT_REPLAY, VIEWS, TTLS = 1, 2, 3, 4, 5
_VIEWS_LIFE_MS = 400 * 86_400_000  # an idle stream of views expires, the totals do not

Event = tuple[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A violated invariant. `invariant` is its number above, or 0 for a key of a wrong type;
    `site` is empty for a key that belongs to none."""

    site: str
    invariant: int
    key: str
    what: str


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
    """What is wrong with the log of sessions: a session and what is wrong with it, each.

    A session that returns on another page before its old member was swept is there twice for a
    moment. Where the log is not whole, having been trimmed, what an event presupposes may have
    been trimmed.
    """
    here: dict[str, set[tuple[str, str]]] = {}
    for entry_id, event in events:
        kind, session = event.get("type", ""), event.get("session", "")
        country, path = event.get("country", "--"), event.get("path", "")
        at = here.setdefault(session, set())
        match kind:
            case "joined":
                if (country, path) in at:
                    yield session, f"joined twice without having left (event {entry_id})"
                at.add((country, path))
            case "moved":
                origin = event.get("from", "")
                if is_whole and (country, origin) not in at:
                    yield session, f"moved from {origin} without being there (event {entry_id})"
                at.discard((country, origin))
                at.add((country, path))
            case "left":
                if is_whole and (country, path) not in at:
                    yield session, f"left {path} without being there (event {entry_id})"
                at.discard((country, path))
            case _:
                yield session, f"has an event of unknown type {kind!r} (event {entry_id})"
    active: dict[str, set[tuple[str, str]]] = {}
    for member in members:
        active.setdefault(member.session, set()).add((member.country, member.path))
    for session in active.keys() | here.keys() if is_whole else here.keys():
        by_events, by_active = here.get(session, set()), active.get(session, set())
        if by_events == by_active or (not is_whole and by_events <= by_active):
            continue
        if session not in here:
            yield session, "is in active, but has no events"
        else:
            yield session, f"is {_on(by_events)} by its events, but {_on(by_active)} by active"


def _on(pages: set[tuple[str, str]]) -> str:
    return f"on {', '.join(sorted(path for _, path in pages))}" if pages else "gone"


def events_to_append(
    events: Sequence[Event], members: Iterable[Member], *, is_whole: bool
) -> Iterable[tuple[str, Member]]:
    """The events, `joined` or `left` and of whom, after which the log replays to `active`."""
    here: set[Member] = set()
    for _, event in events:
        member = Member(event["session"], event.get("country", "--"), event.get("path", ""))
        match event.get("type"):
            case "joined":
                here.add(member)
            case "moved":
                here.discard(member._replace(path=event.get("from", "")))
                here.add(member)
            case "left":
                here.discard(member)
    active = set(members)
    yield from (("left", member) for member in sorted(here - active))
    if is_whole:
        yield from (("joined", member) for member in sorted(active - here))


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
