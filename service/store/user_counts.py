"""How many users are on a site that is split, each once.

A count of each shard does not tell: a user with two devices may be in two of them, and no shard
knows of the others. So who is where is kept here, read as a whole once, and kept up by the log of
each shard: a count costs what has changed since the last one, not what there is.
"""

import asyncio
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from service.store.runner import ScriptRunner

SITES_KEPT = 50  # those that were asked about last; about 0.4 kB for each of their users
MOVED_AT_ONCE = 1000  # users, in 2 ms or so; then others have their turn


class UserCounts:
    """Counts users of split sites."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._sites: OrderedDict[str, _SiteUsers] = OrderedDict()

    async def count(self, site: str, path: str | None) -> int:
        """How many users are here, or on a page. Raises StoreError."""
        shards = self._runner.keys.with_sessions(site)
        tags = [keys.tag for keys in shards]
        users = self._sites.setdefault(site, _SiteUsers(tags))
        if users.tags != tags:  # the site is split anew
            users = self._sites[site] = _SiteUsers(tags)
        self._sites.move_to_end(site)
        if len(self._sites) > SITES_KEPT:
            self._sites.popitem(last=False)
        maxlen = self._runner.config.events_maxlen
        async with users.lock:  # what is read first is applied first
            replies = await self._runner.read(
                "user_pages",
                shards,
                lambda n: (maxlen, users.positions[n], path or ""),
            )
            return await users.apply([reply for (reply,) in replies], path)


class _SiteUsers:
    """Who is where on one site, by shard."""

    def __init__(self, tags: Sequence[str]) -> None:
        self.lock = asyncio.Lock()
        self.tags = tags
        self.positions = [""] * len(tags)
        self._pages: list[dict[str, tuple[str, ...]]] = [{} for _ in tags]
        # In how many shards a user is on a page; None: on any.
        self._shards_with: dict[str | None, Counter[str]] = {}

    async def apply(self, replies: list[list[Any]], path: str | None) -> int:
        """Takes over what each shard says (lua/user_pages.lua); the users on the page now."""
        expired: Counter[str] = Counter()
        for n, (_, status, position, gone, user_pages, users) in enumerate(replies):
            await self._move(n, self._pages[n].keys() if status == "all" else users, user_pages)
            self.positions[n] = position
            expired.update(gone)
        here = self._shards_with.get(path, Counter())
        return len(here) - sum(here[user] == shards for user, shards in expired.items())

    async def _move(self, shard: int, users: Iterable[str], user_pages: Iterable[str]) -> None:
        """These users are on these pages of a shard now, and at no other."""
        now: dict[str, set[str]] = {user: set() for user in users}
        for user_page in user_pages:
            page, _, user = user_page.partition("\t")
            now.setdefault(user, set()).add(sys.intern(page))
        for done, (user, pages) in enumerate(now.items(), 1):
            if done % MOVED_AT_ONCE == 0:
                await asyncio.sleep(0)
            before = set(self._pages[shard].pop(user, ()))
            if pages:
                self._pages[shard][user] = tuple(pages)
            for page in pages - before:
                self._enter(page, user)
            for page in before - pages:
                self._leave(page, user)
            if pages and not before:
                self._enter(None, user)
            elif before and not pages:
                self._leave(None, user)

    def _enter(self, page: str | None, user: str) -> None:
        self._shards_with.setdefault(page, Counter())[user] += 1

    def _leave(self, page: str | None, user: str) -> None:
        users = self._shards_with[page]
        users[user] -= 1
        if not users[user]:
            del users[user]
        if not users:
            del self._shards_with[page]
