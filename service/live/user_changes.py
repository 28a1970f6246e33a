"""What streams of users are told: the users that they begin with, and then what changes: each user
once, however many tabs and devices they have."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from service.models import UserGone, UserPresence, UserRow
from service.store.users import UserState

Paths = frozenset[str]
NOWHERE: Paths = frozenset()


@dataclass(frozen=True, slots=True)
class UserPageRead:
    """The users that a stream begins with. `looks`: how many looks had ended when it was read;
    what the later ones tell is newer."""

    looks: int
    paths: Mapping[str, Paths]
    rows: bytes
    total: int
    as_of: int


@dataclass(slots=True)
class UserChange:
    """One user whom events named. `before`: what was told of them with the look `told_in`; -1: they
    were named in a snapshot only, which not every stream was sent. `now` is None where nothing is
    known any more."""

    user_id: str
    before: Paths
    told_in: int
    now: UserState | None
    _encoded: dict[tuple[str, str | None, int, int], bytes] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        """Where they are now; empty: not here."""
        return self.now.paths if self.now and self.now.sessions else NOWHERE

    @property
    def paths_then_now(self) -> tuple[Paths, Paths]:
        """Where they were said to be, and where they are."""
        return self.before, self.paths

    def encoded(self, kind: str, path: str | None, total: int, as_of: int) -> bytes:
        """As an event of a stream, the same bytes for all that tell the same."""
        key = kind, path, total, as_of
        if key not in self._encoded:
            data: UserGone | UserPresence
            if kind == "offline":
                seen = self.now.seen if self.now else as_of
                data = UserGone(self.user_id, seen, asOf=as_of, totalUsers=total)
            else:
                assert self.now
                row = msgspec.structs.asdict(on_page(self.now.row(self.user_id), path))
                data = UserPresence(**row, asOf=as_of, totalUsers=total)
            # Without an id: a stream of users begins with a snapshot wherever it stopped.
            self._encoded[key] = b"event: %s\ndata: %s\n\n" % (
                kind.encode(),
                msgspec.json.encode(data),
            )
        return self._encoded[key]


@dataclass(frozen=True, slots=True)
class UserChanges:
    """What one look has found. `totals`: how many users are here (None), or on a page, of those
    that were counted."""

    look: int
    changes: list[UserChange]
    totals: Mapping[str | None, int]
    as_of: int
    user_ids: frozenset[str] = field(init=False)
    known_since: float = field(init=False)  # the look that told the oldest of what was known before
    _encoded: dict[tuple[str | None, int], bytes] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        told_in = (change.told_in for change in self.changes if change.before)
        object.__setattr__(self, "user_ids", frozenset(c.user_id for c in self.changes))
        object.__setattr__(self, "known_since", min(told_in, default=math.inf))

    def encoded(self, path: str | None, total: int) -> bytes:
        """As events for a client that knows all that was known before, the same bytes for all."""
        key = path, total
        if key not in self._encoded:
            self._encoded[key] = b"".join(
                change.encoded(kind, path, total, self.as_of)
                for change in self.changes
                if (kind := kind_of_change(*(seen_from(p, path) for p in change.paths_then_now)))
            )
        return self._encoded[key]


def kind_of_change(before: Paths, now: Paths) -> str | None:
    """The event that leads from what a client knows of a user to what is; None: it knows."""
    if before == now:
        return None
    if not before:
        return "online"
    return "moved" if now else "offline"


def seen_from(paths: Paths, path: str | None) -> Paths:
    """What matters of a user's pages to a stream of all pages, or of one."""
    return paths if path is None else paths & {path}


def on_page(row: UserRow, path: str | None) -> UserRow:
    """A row for a stream of one page says nothing of other pages: it would not be told where they
    change, and its reader may have no access to them."""
    return row if path is None else msgspec.structs.replace(row, paths=[str(path)])
