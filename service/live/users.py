"""Who is here, as live streams tell it: each user once, however many tabs and devices they have.

A `UserWatch` looks at the users of one site whom events name, and keeps what it has told of them.
A `UserSlot` holds what one stream has not been sent: the newest of each user, never a queue.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from service.live.single_flight import consume_exception
from service.models import UserGone, UserPresence, UserRow
from service.store.store import PresenceStore
from service.store.users import UserState

USERS_SHOWN = 100  # users that a snapshot names, at most
MOST_USERS_KEPT = 500  # users that wait for a slow client; beyond them it is given a snapshot
LOOKED_AT_ONCE = 500  # users in one call
READS_AT_ONCE = 16  # pages of users that are read at a time: each stream may ask for another page

Paths = frozenset[str]
NOWHERE: Paths = frozenset()
_END = b"}\n\n"


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
                row = msgspec.structs.asdict(_on_page(self.now.row(self.user_id), path))
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
                if (kind := kind_of_change(*(_seen_from(p, path) for p in change.paths_then_now)))
            )
        return self._encoded[key]


def kind_of_change(before: Paths, now: Paths) -> str | None:
    """The event that leads from what a client knows of a user to what is; None: it knows."""
    if before == now:
        return None
    if not before:
        return "online"
    return "moved" if now else "offline"


def _seen_from(paths: Paths, path: str | None) -> Paths:
    """What matters of a user's pages to a stream of all pages, or of one."""
    return paths if path is None else paths & {path}


def _on_page(row: UserRow, path: str | None) -> UserRow:
    """A row for a stream of one page says nothing of other pages: it would not be told where they
    change, and its reader may have no access to them."""
    return row if path is None else msgspec.structs.replace(row, paths=[str(path)])


class UserWatch:
    """The users of one site, as long as a stream tells of them.

    Args:
        keep: told of tasks that may outlive those who asked.
    """

    def __init__(
        self, store: PresenceStore, site: str, keep: Callable[["asyncio.Task[UserPageRead]"], None]
    ) -> None:
        self._store = store
        self._site = site
        self._keep = keep
        self._looks = 0
        self._told: dict[str, tuple[Paths, int]] = {}  # who is here, and the look that told it
        self._touched: set[str] = set()  # whom events named since the last look that succeeded
        self._changed_pages: set[str] = set()
        self._crowded: set[str | None] = set()  # with more users than a snapshot of them named
        self._reads: dict[str | None, tuple[int, asyncio.Task[UserPageRead]]] = {}
        self._reading = asyncio.Semaphore(READS_AT_ONCE)

    async def read_page(self, path: str | None) -> UserPageRead:
        """The first users who are here, or on a page. Those who ask together share a call. Raises
        StoreError."""
        looks, task = self._reads.get(path, (-1, None))
        if task is None or looks != self._looks:
            task = asyncio.create_task(self._read_page(path))
            self._reads[path] = self._looks, task
            self._keep(task)
            task.add_done_callback(lambda done: self._page_was_read(path, done))
        return await asyncio.shield(task)

    async def _read_page(self, path: str | None) -> UserPageRead:
        async with self._reading:
            # A look that ends while this is read may be older, or newer. It is told again: where
            # it is older, another one follows, for something happened after it.
            looks = self._looks
            page = await self._store.users(self._site, limit=USERS_SHOWN, cursor=None, path=path)
        paths = {row.userId: frozenset(row.paths) for row in page.users}
        for user_id, where in paths.items():
            self._told.setdefault(user_id, (where, -1))
        if page.total > len(paths):
            self._crowded.add(path)
        rows = msgspec.json.encode([_on_page(row, path) for row in page.users])
        return UserPageRead(looks, paths, rows, page.total, page.asOf)

    def _page_was_read(self, path: str | None, task: "asyncio.Task[UserPageRead]") -> None:
        consume_exception(task)
        if self._reads.get(path, (0, None))[1] is task:
            del self._reads[path]

    def touch(self, users: Iterable[str], pages: Iterable[str]) -> None:
        """Has the next look include these users, and count those on these pages."""
        self._touched |= set(users) - {""}
        if self._touched:
            self._changed_pages |= set(pages)

    def forget(self) -> None:
        """What was told is not true any more, and all streams begin anew."""
        self._looks += 1
        for known in (self._told, self._touched, self._changed_pages, self._crowded):
            known.clear()

    async def look(self, watched: Callable[[], set[str | None]], as_of: int) -> UserChanges | None:
        """What is new of the users touched, and how many are on the watched pages; None: nobody
        was touched. Where it fails, the next look includes them.

        Raises:
            StoreError: Redis cannot tell now.
        """
        if not self._touched:
            return None
        touched = sorted(self._touched)
        states: dict[str, UserState] = {}
        for first in range(0, len(touched), LOOKED_AT_ONCE):
            some = touched[first : first + LOOKED_AT_ONCE]
            states |= await self._store.user_states(self._site, some)
        changes = [
            UserChange(user, *self._told.get(user, (NOWHERE, -1)), states.get(user))
            for user in touched
        ]
        totals: dict[str | None, int] = {}
        # A stream that comes while some are counted may have begun before.
        while paths := self._to_count(changes, watched()) - totals.keys():
            totals |= zip(paths, await asyncio.gather(*map(self._count, paths)), strict=True)
        self._looks += 1
        for change in changes:
            if change.paths:
                self._told[change.user_id] = change.paths, self._looks
            else:
                self._told.pop(change.user_id, None)
        self._touched.clear()
        self._changed_pages.clear()
        self._crowded &= watched()
        return UserChanges(self._looks, changes, totals, as_of)

    async def _count(self, path: str | None) -> int:
        async with self._reading:
            return await self._store.count_users(self._site, path)

    def _to_count(self, changes: list[UserChange], watched: set[str | None]) -> set[str | None]:
        """The watched pages on which the number of users may have changed."""
        changed: set[str | None] = {None, *self._changed_pages}
        changed |= set(chain.from_iterable(change.before ^ change.paths for change in changes))
        if any(change.user_id not in self._told for change in changes):
            # Such a one may have logged out on a page of which a snapshot did not name all, and no
            # event that is read says of which page.
            changed |= self._crowded
        return watched & changed


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
        return all(self.tell(changes) for changes in early)

    def restart(self) -> None:
        """Lets what is told wait until it is started again; what waits is given up."""
        self._early, self._page, self._named = [], None, {}
        self._whole, self._waiting = None, {}

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._whole or self._waiting)

    def tell(self, changes: UserChanges) -> bool:
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
            now = _seen_from(change.paths, self._path)
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
        return _seen_from(named, self._path)

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
            kind = kind_of_change(known, _seen_from(change.paths, self._path))
            if kind:
                events.append(change.encoded(kind, self._path, self._total, self._as_of))
        return b"".join(events)


def _with_members(event: bytes, members: bytes) -> bytes:
    """An event whose data, an object, has more members."""
    assert event.endswith(_END)
    return event[: -len(_END)] + members + _END
