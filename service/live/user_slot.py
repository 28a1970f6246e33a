"""Holds what one stream has not been sent of users: the newest of each user, never a queue."""

from service.live.user_changes import (
    NOWHERE,
    Paths,
    UserChange,
    UserChanges,
    UserPageRead,
    kind_of_change,
    seen_from,
)

MOST_USERS_KEPT = 500  # users that wait for a slow client; beyond them it is given a snapshot
_END = b"}\n\n"


class UserSlot:
    """What one stream's client was not sent of users. Until it is started, what it is told waits.

    Args:
        path: the page that the stream is about; None: all.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._early: list[UserChanges] | None = []
        self._page: UserPageRead | None = None
        self._begun = 0
        # Of users whom the first page named, where it said they are, until something is told.
        self._named: dict[str, Paths] = {}
        # Most clients take each look before the next one ends, and know the same before it: what
        # these are sent is made once. For others it is worked out for each user.
        self._whole: UserChanges | None = None
        self._waiting: dict[str, tuple[Paths, UserChange]] = {}  # and what the client knows
        self._total = 0
        self._as_of = 0

    def start(self, page: UserPageRead) -> bool:
        """Begins with these users, whatever was told before; whether all that was told meanwhile
        could be kept."""
        early, self._early = self._early or [], None
        self._page, self._begun, self._named = page, page.looks, dict(page.paths)
        self._total, self._as_of = page.total, page.as_of
        self._whole, self._waiting = None, {}
        return all(self.push(changes) for changes in early)

    def restart(self) -> None:
        """Lets what is told wait until it is started again; what waits is given up."""
        self._early, self._page, self._named = [], None, {}
        self._whole, self._waiting = None, {}

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._whole or self._waiting)

    def push(self, changes: UserChanges) -> bool:
        """What is new; False: it is more than is kept."""
        if self._early is not None:
            self._early.append(changes)
            return sum(len(early.changes) for early in self._early) <= MOST_USERS_KEPT
        if changes.look <= self._begun:
            return True
        self._total = changes.totals.get(self._path, self._total)
        self._as_of = changes.as_of
        if not self.is_waiting and self._knows_what_was(changes):
            self._whole = changes
            return True
        if self._whole:
            self._merge(self._whole)
            self._whole = None
        self._merge(changes)
        return len(self._waiting) <= MOST_USERS_KEPT

    def _knows_what_was(self, changes: UserChanges) -> bool:
        return (
            len(changes.changes) <= MOST_USERS_KEPT
            and changes.known_since > self._begun
            and self._named.keys().isdisjoint(changes.user_ids)
        )

    def _merge(self, changes: UserChanges) -> None:
        for change in changes.changes:
            known = self._known(change)
            now = seen_from(change.paths, self._path)
            if kind_of_change(known, now):
                self._waiting[change.user_id] = known, change

    def _known(self, change: UserChange) -> Paths:
        """Where the client believes a user to be, after what was sent to it."""
        user = change.user_id
        named = self._named.pop(user, None)
        if user in self._waiting:
            return self._waiting.pop(user)[0]
        if named is None:
            # What was told before this stream began, it was not told.
            named = change.before if change.told_in > self._begun else NOWHERE
        return seen_from(named, self._path)

    def take(self, snapshot: bytes, update: bytes) -> bytes:
        """All that is to be sent, of a snapshot and an update (or empty) that say nothing of users
        yet."""
        total = b',"totalUsers":%d' % self._total
        page, self._page = self._page, None
        if snapshot and page:
            members = b',"users":%s,"totalUsers":%d' % (page.rows, page.total)
            snapshot = _with_members(snapshot, members)
        whole, self._whole = self._whole, None
        waiting, self._waiting = self._waiting, {}
        events = [snapshot, _with_members(update, total) if update else b""]
        if whole:
            events.append(whole.encoded(self._path, self._total))
        for known, change in waiting.values():
            kind = kind_of_change(known, seen_from(change.paths, self._path))
            if kind:
                events.append(change.encoded(kind, self._path, self._total, self._as_of))
        return b"".join(events)


def _with_members(event: bytes, members: bytes) -> bytes:
    """An event whose data, an object, has more members."""
    assert event.endswith(_END)
    return event[: -len(_END)] + members + _END
