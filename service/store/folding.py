"""Folds the numbers of a site's former shards away, into one shard: its archive.

The archive is written beside them. Then the list of layouts says that they are in it, and when no
copy can be reading them any more they are removed. A copy that was frozen for longer finds in their
place what no script can read, and asks for the layouts again.
"""

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from service.errors import StoreBusy
from service.redis.scripts import Call, load
from service.store.archive import (
    AT_ONCE,
    UNFINISHED_LIFE_MS,
    ArchiveWriter,
    Progress,
    names_of,
)
from service.store.due import LISTS_LIFE_MS
from service.store.keys import ShardKeys, archive_tag
from service.store.layout import Archive, Layout, SiteLayouts
from service.store.layouts import LOOK_S, Layouts
from service.store.runner import ScriptRunner

_REPLACES = "replaces"  # of an archive's totals: the one before it, until that is removed


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

    async def fold(self, site: str, progress: Progress = lambda done, total: None) -> Folded:
        """Folds all former layouts of a site in which nothing of a session can be left. What was
        half done, asking again does."""
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
        new = await self._new_archive(site, len(layouts.folded) + number)
        archive, after = keys.archive(site, new), layouts._replace(archive=new)
        sources = keys.by_layout(site)[: number + bool(before)]
        writer = ArchiveWriter(runner, sources, archive, progress)
        await writer.write()
        if before:
            await runner.commands([("HSET", archive.totals, _REPLACES, before.since_ms)])
        await writer.keep()
        if not await self._layouts.write(site, str(layouts), str(after)):
            await self._unlink(archive)
            raise StoreBusy("somebody else changes this site; try again")
        await self._layouts.learn()

    async def _new_archive(self, site: str, layouts: int) -> Archive:
        """One that nobody else writes to."""
        now_ms = self._runner.about_now_ms()
        while True:
            new = Archive(layouts, now_ms)
            claim = self._runner.keys.archive(site, new).base + "claim"
            command = ("SET", claim, "1", "NX", "PX", UNFINISHED_LIFE_MS)
            if (await self._runner.commands([command]))[0]:
                return new
            now_ms += 1

    async def _remove(self, site: str) -> None:
        """Removes what the archive has made needless, as far as it is there still."""
        keys, runner = self._runner.keys, self._runner
        layouts = keys.layouts_of(site)
        if not layouts.archive:
            return
        archive = keys.archive(site, layouts.archive)
        needless = keys.of_layouts(site, layouts.folded)
        (replaced,) = await runner.commands([("HGET", archive.totals, _REPLACES)])
        if replaced:
            needless.append(keys.of_tag(archive_tag(site, int(replaced))))
        if needless := [shard for shard in needless if not await self._is_removed(shard)]:
            await asyncio.sleep(self.settle_s)
        for shard in needless:
            call = Call(load("retire"), shard.renamed(shard.past), (runner.clock(), LISTS_LIFE_MS))
            async with runner.failures():
                for reply in await runner.replies(lambda hour, call=call: [call]):  # type: ignore[misc]
                    runner.checked(reply)
            await self._unlink(shard)
        await runner.commands([("HDEL", archive.totals, _REPLACES)])

    async def _is_removed(self, shard: ShardKeys) -> bool:
        """Whether something stands in the place of what this shard had, and what goes last is
        gone."""
        closed, *last = shard.renamed(shard.past)[0], shard.totals, shard.uniques
        is_closed, is_there = await self._runner.commands([("EXISTS", closed), ("EXISTS", *last)])
        return bool(is_closed and not is_there)

    async def _unlink(self, shard: ShardKeys) -> None:
        names = names_of(shard, self._runner.hour())
        for some in _chunks(names):
            await self._runner.commands([("UNLINK", *some)])


def _chunks(names: list[str]) -> Iterable[list[str]]:
    return (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE))
