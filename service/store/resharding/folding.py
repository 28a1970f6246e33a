"""Folds the numbers of a site's former shards away, into one shard: its archive.

The archive is written beside them. Then the list of layouts says that they are in it, and when no
copy can be reading them any more they are removed. A copy that was frozen for longer finds in their
place what no script can read, and asks for the layouts again.

What is removed is gone for good, so Redis is asked for the hour that dated keys are looked for by.
A copy's own estimate may be wrong, and these plain commands have no script that says so.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from service.errors import StoreBusy, StoreError
from service.store.due import LISTS_LIFE_MS
from service.store.keys import MS_PER_HOUR, ShardKeys
from service.store.layout import Archive, Layout, SiteLayouts
from service.store.resharding.archive import (
    AT_ONCE,
    ArchiveWriter,
    Progress,
    names_of,
)
from service.store.resharding.layouts import LOOK_S, Layouts
from service.store.resharding.up_to_date import UpToDate
from service.store.runner import ScriptRunner
from service.store.tags import archive_tag


class Folded(NamedTuple):
    """A site after it was folded. `shards`: how many were folded now; of the next layout that was
    not, `ready_ms` says from when on it may be, 0: there is none, and `here` how many sessions are
    there still."""

    layouts: SiteLayouts
    shards: int
    ready_ms: int = 0
    here: int = 0


class Folding:
    """Folds sites. Every method raises StoreError."""

    def __init__(self, runner: ScriptRunner, layouts: Layouts) -> None:
        self._runner = runner
        self._layouts = layouts
        # By then every copy has heard, and has read what it was reading.
        self.settle_s = 2 * LOOK_S + runner.deadline_s
        # Somebody else may be faster, and remove what is being read.
        self._fold_up_to_date = UpToDate(runner.keys, layouts)(self._fold)

    async def fold(self, site: str, progress: Progress = lambda done, total: None) -> Folded:
        """Folds all former layouts of a site in which nothing of a session can be left. What was
        half done, asking again does."""
        return await self._fold_up_to_date(site, progress)

    async def _fold(self, site: str, progress: Progress) -> Folded:
        await self._layouts.learn()
        keys = self._runner.keys
        layouts = keys.layouts_of(site)
        ready, ready_ms, here = await self._ready(site, layouts)
        if ready:
            await self._archive(site, layouts, len(ready), progress)
        await self._remove(site)
        shards = sum(layout.shards for layout in ready)
        return Folded(keys.layouts_of(site), shards, ready_ms, here)

    async def _ready(self, site: str, layouts: SiteLayouts) -> tuple[list[Layout], int, int]:
        """The layouts that can be folded; of the next one what `Folded` says."""
        keys, ready = self._runner.keys, list[Layout]()
        for layout, after in pairwise(layouts.in_force[len(layouts.folded) :]):
            now_ms = await self._layouts.now_ms(site)
            ready_ms = after.since_ms + keys.carried_within_ms
            if ready_ms > now_ms:
                return ready, ready_ms, 0
            shards = keys.of_layouts(site, [layout])
            if here := sum(await self._runner.commands(("ZCARD", s.active) for s in shards)):
                return ready, now_ms, here
            ready.append(layout)
        return ready, 0, 0

    async def _archive(
        self, site: str, layouts: SiteLayouts, number: int, progress: Progress
    ) -> None:
        keys, runner, before = self._runner.keys, self._runner, layouts.archive
        now_ms = await self._layouts.now_ms(site)
        new = await self._new_archive(site, before, len(layouts.folded) + number, now_ms)
        archive, after = keys.archive(site, new), layouts._replace(archive=new)
        sources = keys.by_layout(site)[: number + bool(before)]
        writer = ArchiveWriter(runner, sources, archive, now_ms, progress)
        try:
            await writer.write()
            await writer.keep()
        except StoreError:
            with contextlib.suppress(StoreError):  # else it expires, or the next one removes it
                await self._unlink(archive, now_ms)
            raise
        is_written = await self._layouts.write(site, str(layouts), str(after))
        await self._layouts.learn()
        # Who is asked again, since the answer was lost, finds what was written the first time.
        if not is_written and keys.layouts_of(site).archive != new:
            await self._unlink(archive, now_ms)
            raise StoreBusy("somebody else changes this site; try again")

    async def _new_archive(
        self, site: str, before: Archive | None, layouts: int, now_ms: int
    ) -> Archive:
        """One that nobody else writes to, newer than the one that it replaces."""
        if before:
            now_ms = max(now_ms, before.since_ms + 1)
        begun = self._runner.keys.archives(site)
        while True:
            commands = [("HSETNX", begun, now_ms, layouts), ("PEXPIRE", begun, LISTS_LIFE_MS)]
            if (await self._runner.commands(commands))[0]:
                return Archive(layouts, now_ms)
            now_ms += 1

    async def _remove(self, site: str) -> None:
        """Removes what the archive has made needless, as far as it is there still."""
        keys, runner = self._runner.keys, self._runner
        layouts = keys.layouts_of(site)
        if not layouts.archive:
            return
        begun = keys.archives(site)
        (known,) = await runner.commands([("HKEYS", begun)])
        # Those that were begun earlier are replaced, or never were in force and cannot be any more.
        earlier = [since_ms for since_ms in map(int, known) if since_ms < layouts.archive.since_ms]
        needless = keys.of_layouts(site, layouts.folded)
        needless += [keys.of_tag(archive_tag(site, since_ms)) for since_ms in earlier]
        if needless := [shard for shard in needless if not await self._is_removed(shard)]:
            now_ms = await self._layouts.now_ms(site)
            await asyncio.sleep(self.settle_s)
            for shard in needless:
                await self._layouts.close([shard], shard.past)
                await self._unlink(shard, now_ms)
        if earlier:
            await runner.commands([("HDEL", begun, *earlier)])

    async def _is_removed(self, shard: ShardKeys) -> bool:
        """Whether something stands in the place of what this shard had, and what goes last is
        gone."""
        closed, *last = shard.renamed(shard.past)[0], shard.totals, shard.uniques
        is_closed, is_there = await self._runner.commands([("EXISTS", closed), ("EXISTS", *last)])
        return bool(is_closed and not is_there)

    async def _unlink(self, shard: ShardKeys, now_ms: int) -> None:
        names = names_of(shard, now_ms // MS_PER_HOUR)
        for some in _chunks(names):
            await self._runner.commands([("UNLINK", *some)])


def _chunks(names: list[str]) -> Iterable[list[str]]:
    return (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE))
