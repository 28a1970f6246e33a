"""What must hold of a site shard at every moment, as plain functions over what was read.

1. The counters of pages and countries are what the members of `active` add up to.
2. Every member that has not expired has its session hash, with the member's path and country.
3. Replaying `events`, by session, country, path and user, gives exactly `active`.
4. `totals.views` is the sum of `top`, and is what was ever appended to `views`.
5. No key is without a TTL but the totals of all time (checked where keys are read).
6. Where a site knows who somebody is: a user is here exactly when a session of theirs is in
   `active`, on exactly their pages, and when who left was last seen is kept.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.store.event_log import ERASED, member_in, origin_of
from service.store.members import Member

WRONG_TYPE = 0
COUNTERS, HASHES, EVENT_REPLAY, VIEWS, TTLS, USERS = 1, 2, 3, 4, 5, 6
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
    here: dict[str, set[Member]] = {}
    for entry_id, event in events:
        kind, member = event.get("type", ""), member_in(event)
        if kind == ERASED:
            continue
        session, path = member.session, member.path
        at = here.setdefault(session, set())
        match kind:
            case "joined" | "carried_in":
                if member in at:
                    yield session, f"joined twice without having left (event {entry_id})"
                at.add(member)
            case "moved" | "identified":
                origin = origin_of(event)
                if is_whole and origin not in at:
                    what = f"{kind} from {origin.page_and_user} without being there"
                    yield session, f"{what} (event {entry_id})"
                at.discard(origin)
                at.add(member)
            case "left" | "carried_out":
                if is_whole and member not in at:
                    yield session, f"left {path} without being there (event {entry_id})"
                at.discard(member)
            case _:
                yield session, f"has an event of unknown type {kind!r} (event {entry_id})"
    active: dict[str, set[Member]] = {}
    for member in members:
        active.setdefault(member.session, set()).add(member)
    for session in active.keys() | here.keys() if is_whole else here.keys():
        by_events, by_active = here.get(session, set()), active.get(session, set())
        if by_events == by_active or (not is_whole and by_events <= by_active):
            continue
        if session not in here:
            yield session, "is in active, but has no events"
        else:
            yield session, f"is {_on(by_events)} by its events, but {_on(by_active)} by active"


def _on(members: set[Member]) -> str:
    return (
        f"on {', '.join(sorted(member.page_and_user for member in members))}" if members else "gone"
    )


def events_to_append(
    events: Sequence[Event], members: Iterable[Member], *, is_whole: bool
) -> Iterable[tuple[str, Member]]:
    """The events, `joined` or `left` and of whom, after which the log replays to `active`."""
    here: set[Member] = set()
    for _, event in events:
        member = member_in(event)
        match event.get("type"):
            case "joined" | "carried_in":
                here.add(member)
            case "moved" | "identified":
                here.discard(origin_of(event))
                here.add(member)
            case "left" | "carried_out":
                here.discard(member)
    active = set(members)
    yield from (("left", member) for member in sorted(here - active))
    if is_whole:
        yield from (("joined", member) for member in sorted(active - here))


def user_faults(
    members: Iterable[Member],
    rows: Mapping[str, str],
    pages: Mapping[str, float],
    seen: Mapping[str, float],
) -> Iterable[tuple[str, str]]:
    """What is wrong with the users of a shard: the last part of the key's name, and what."""
    sessions: dict[str, list[tuple[str, str, str]]] = {user: [] for user in rows}
    for member in members:
        if member.user:
            session = (member.session, member.country, member.path)
            sessions.setdefault(member.user, []).append(session)
    for user, expected in sorted(sessions.items()):
        row = [session.split(" ", 3) for session in rows.get(user, "").split("\t")[4:]]
        kept = sorted((parts[0], *parts[2:]) for parts in row)
        if kept != sorted(expected):
            yield "users", f"has {len(kept)} sessions of {user}; active has {len(expected)}"
        if (user in seen) == bool(expected):
            yield "user_seen", f"says that {user} {'left' if expected else 'is here'}"
    for user in sorted(seen.keys() - sessions.keys()):
        yield "user_seen", f"has {user}, of whom nothing else is known"
    expected_pages = {f"{path}\t{user}" for user, known in sessions.items() for _, _, path in known}
    for entry in sorted(expected_pages ^ pages.keys()):
        path, _, user = entry.partition("\t")
        yield "user_pages", f"{'has' if entry in pages else 'has not'} {user} on {path}"


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
