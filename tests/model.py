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
    """An entry of the log. `origin`: the path before a move; `reason`: why a session left."""

    type: str
    session: str
    path: str
    at: int
    country: str = ""
    origin: str = ""
    reason: str = ""


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


@dataclass
class Site:
    """One site under the given rules."""

    rules: StoreConfig
    sessions: dict[str, Session] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    top: Counter[str] = field(default_factory=Counter)
    uniques: set[str] = field(default_factory=set)
    uniques_by_day: dict[int, set[str]] = field(default_factory=dict)
    _viewed: dict[tuple[str, str], int] = field(default_factory=dict)

    def heartbeat(
        self, now: int, session_id: str, path: str, country: str = "--", place: str = ""
    ) -> str:
        """Session S is on page P."""
        self.expire(now)
        session = self.sessions.get(session_id)
        if session is None:
            ends_at = now + self.rules.session_timeout_ms
            self.sessions[session_id] = Session(session_id, path, country, place, now, now, ends_at)
            self.events.append(Event("joined", session_id, path, now, country))
            outcome = "created"
        elif session.path != path:
            self.events.append(Event("moved", session_id, path, now, session.country, session.path))
            session.path = path
            outcome = "moved"
        elif now - session.seen < self.rules.heartbeat_dedup_ms and not session.is_leaving:
            return "duplicate"
        else:
            outcome = "refreshed"
        session = self.sessions[session_id]
        session.seen = now
        session.ends_at = now + self.rules.session_timeout_ms
        session.is_leaving = False
        self._visit(now, session_id)
        if outcome != "refreshed" and self.rules.views_from_heartbeats:
            self._record_view(now, session_id, path)
        return outcome

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
            Event("left", session_id, session.path, now, session.country, reason="ended")
        )
        return True

    def expire(self, now: int) -> None:
        """Lets go whose time has come."""
        for session in sorted(self.sessions.values(), key=lambda session: session.ends_at):
            if session.ends_at <= now:
                del self.sessions[session.id]
                reason = "leave" if session.is_leaving else "timeout"
                path, country, at = session.path, session.country, session.ends_at
                self.events.append(Event("left", session.id, path, at, country, reason=reason))

    def active(self, path: str | None = None) -> int:
        """How many are here, or on one page."""
        return sum(path in (None, session.path) for session in self.sessions.values())

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
        if path not in self.top and len(self.top) >= self.rules.max_paths:
            once = min(
                (name for name, views in self.top.items() if views == 1), default="__other__"
            )
            if once == "__other__":
                path = once
            else:
                del self.top[once]
                self.top["__other__"] += 1
        self.top[path] += 1
        return True


def ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """Most first, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
