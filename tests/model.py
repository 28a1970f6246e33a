"""Presence in memory, as plainly as the rules can be written down: what the Lua is held against.

Written from the rules of the documentation, not from the scripts. Nothing here is fast, lazy or
concurrent; the moment is always given, and whoever's time has come is gone at once.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from service.store.config import StoreConfig

DAY_MS = 86_400_000


class Event(NamedTuple):
    """An entry of the log. `origin`: the path before a move; `reason`: why a session left; `was`:
    the user before another one."""

    type: str
    session: str
    path: str
    at: int
    country: str = ""
    origin: str = ""
    reason: str = ""
    user: str = ""
    was: str = ""


class View(NamedTuple):
    """A page view."""

    session: str
    path: str
    at: int


@dataclass
class Session:
    """One life of a session. `ends_at`: the first moment at which it is not active any more."""

    id: str
    path: str
    country: str
    place: str
    seen: int
    since: int
    ends_at: int
    is_leaving: bool = False
    user: str = ""
    identified: int = 0  # since when it is this user's
    sources: tuple[str, ...] = ()


@dataclass
class User:
    """What was told of a user, and when a session of theirs that went was last seen."""

    name: str = ""
    seen: int = 0


@dataclass
class Top:
    """Which paths have a row, at most `limit`: the Space-Saving of Metwally, Agrawal and El Abbadi,
    but a row says only what was counted while the path had it.

    `own`: what the rows say; `taken`: where the paths stood whose rows they took.
    """

    limit: int
    own: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    others: int = 0

    def count(self, path: str, views: int = 1) -> None:
        """Counts views of a path that came at once."""
        if path not in self.own:
            self.own[path] = self.taken[path] = 0
            if len(self.own) > self.limit:
                self.taken[path] = self._give_up(path)
        self.own[path] += views

    def _give_up(self, newcomer: str) -> int:
        """Whoever stands lowest goes, of equal ones who came first."""
        lowest = min(
            self.own.keys() - {newcomer},
            key=lambda path: (self.own[path] + self.taken[path], self.taken[path], path),
        )
        self.others += self.own[lowest]
        return self.own.pop(lowest) + self.taken.pop(lowest)


@dataclass
class Site:
    """One site under the given rules."""

    rules: StoreConfig
    sessions: dict[str, Session] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    uniques: set[str] = field(default_factory=set)
    uniques_by_day: dict[int, set[str]] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    sources_by_day: dict[int, Counter[str]] = field(default_factory=dict)
    _viewed: dict[tuple[str, str], int] = field(default_factory=dict)

    def heartbeat(
        self, now: int, session_id: str, path: str, country: str = "--", place: str = "",
        user: str = "", name: str = "", sources: tuple[str, ...] = (),
    ) -> str:  # fmt: skip
        """Session S is on page P, and whose it is, if that is known."""
        self.expire(now)
        session = self.sessions.get(session_id)
        is_told = session is None or (session.user, session.path) != (user, path)
        is_identified = session is not None and self._identify(now, session, user)
        if session is None:
            ends_at = now + self.rules.session_timeout_ms
            self.sessions[session_id] = Session(
                session_id, path, country, place, now, now, ends_at, False, user, now, sources
            )
            self.sources_by_day.setdefault(now // DAY_MS, Counter()).update(sources)
            self.events.append(Event("joined", session_id, path, now, country, user=user))
            outcome = "created"
        elif session.path != path:
            self.events.append(
                Event("moved", session_id, path, now, session.country, session.path, user=user)
            )
            session.path = path
            outcome = "moved"
        elif (
            now - session.seen < self.rules.heartbeat_dedup_ms
            and not session.is_leaving
            and not is_identified
        ):
            return "duplicate"
        else:
            outcome = "refreshed"
        if user and is_told:
            known = self.users.setdefault(user, User())
            known.name = name or known.name
        session = self.sessions[session_id]
        session.seen = now
        session.ends_at = now + self.rules.session_timeout_ms
        session.is_leaving = False
        self._visit(now, session_id)
        if outcome != "refreshed" and self.rules.views_from_heartbeats:
            self._record_view(now, session_id, path)
        return outcome

    def _identify(self, now: int, session: Session, user: str) -> bool:
        """The session goes on as another user's, or as nobody's."""
        if session.user == user:
            return False
        path, country = session.path, session.country
        self.events.append(
            Event("identified", session.id, path, now, country, user=user, was=session.user)
        )
        self._see(session.user, now)
        session.user, session.identified = user, now
        return True

    def _see(self, user: str, at: int) -> None:
        if user:
            self.users[user].seen = max(self.users[user].seen, at)

    def leave(self, now: int, session_id: str) -> str:
        """Session S says goodbye."""
        self.expire(now)
        session = self.sessions.get(session_id)
        if session is None:
            return "unknown"
        session.ends_at = min(session.ends_at, now + self.rules.leave_grace_ms)
        session.is_leaving = True
        return "leaving"

    def view(self, now: int, session_id: str, path: str) -> str:
        """Session S, active or not, has seen page P."""
        self.expire(now)
        self._visit(now, session_id)
        return "recorded" if self._record_view(now, session_id, path) else "duplicate"

    def end(self, now: int, session_id: str) -> bool:
        """An operator ends session S."""
        self.expire(now)
        session = self.sessions.pop(session_id, None)
        if session is None:
            return False
        self.events.append(
            Event(
                "left", session_id, session.path, now, session.country, reason="ended",
                user=session.user,
            )
        )  # fmt: skip
        self._see(session.user, now)
        return True

    def expire(self, now: int) -> None:
        """Lets go whose time has come."""
        for session in sorted(self.sessions.values(), key=lambda session: session.ends_at):
            if session.ends_at <= now:
                del self.sessions[session.id]
                reason = "leave" if session.is_leaving else "timeout"
                path, country, at = session.path, session.country, session.ends_at
                self.events.append(
                    Event("left", session.id, path, at, country, reason=reason, user=session.user)
                )
                timeout_ms = 0 if session.is_leaving else self.rules.session_timeout_ms
                self._see(session.user, at - timeout_ms)

    def active(self, path: str | None = None) -> int:
        """How many are here, or on one page."""
        return sum(path in (None, session.path) for session in self.sessions.values())

    def user(self, now: int, user: str) -> tuple[str, int, int, list[str], int] | None:
        """Name, sessions, since when, on which pages, and when last seen; None: unknown."""
        if user not in self.users:
            return None
        here = [session for session in self.sessions.values() if session.user == user]
        seen = [min(now, one.ends_at) if one.is_leaving else one.seen for one in here]
        return (
            self.users[user].name,
            len(here),
            min((session.identified for session in here), default=0),
            sorted({session.path for session in here}),
            max([self.users[user].seen, *seen]),
        )

    def users_here(self, path: str | None = None) -> list[str]:
        """The ids of users who are here, or on a page."""
        return sorted(
            {one.user for one in self.sessions.values() if one.user and path in (None, one.path)}
        )

    def by_path(self) -> list[tuple[str, int]]:
        """Active sessions by path, most first, equal ones by path."""
        return ranked(Counter(session.path for session in self.sessions.values()))

    def by_country(self) -> list[tuple[str, int]]:
        """Active sessions by country, likewise."""
        return ranked(Counter(session.country for session in self.sessions.values()))

    def by_place(self) -> list[tuple[str, int]]:
        """Active sessions by place, likewise; only those whose place is known."""
        places = (session.place for session in self.sessions.values())
        return ranked(Counter(place for place in places if place))

    def by_source(self) -> Counter[str]:
        """Active sessions by how they came; only those of whom it is known."""
        return Counter(name for session in self.sessions.values() for name in session.sources)

    def unique_today(self, now: int) -> int:
        """Distinct session ids of the UTC day of `now`."""
        return len(self.uniques_by_day.get(now // DAY_MS, ()))

    def views_within(self, start: int, end: int) -> int:
        """Page views from `start` to before `end`."""
        return sum(start <= view.at < end for view in self.views)

    def events_of(self, session_id: str) -> list[Event]:
        """The lives of one session."""
        return [event for event in self.events if event.session == session_id]

    def _visit(self, now: int, session_id: str) -> None:
        self.uniques.add(session_id)
        self.uniques_by_day.setdefault(now // DAY_MS, set()).add(session_id)

    def _record_view(self, now: int, session_id: str, path: str) -> bool:
        before = self._viewed.get((session_id, path))
        if before is not None and now - before < self.rules.view_dedup_ms:
            return False
        self._viewed[session_id, path] = now
        self.views.append(View(session_id, path, now))
        return True


def ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """Most first, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
