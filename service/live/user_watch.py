"""Looks at the users of one site whom events name, and keeps what it has told of them."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import chain

import msgspec

from service.live.tasks import consume_exception
from service.live.user_changes import NOWHERE, Paths, UserChange, UserChanges, UserPageRead, on_page
from service.store.store import PresenceStore
from service.store.users import UserState

USERS_SHOWN = 100  # users that a snapshot names, at most
LOOKED_AT_ONCE = 500  # users in one call
READS_AT_ONCE = 16  # pages of users that are read at a time: each stream may ask for another page


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
        rows = msgspec.json.encode([on_page(row, path) for row in page.users])
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
