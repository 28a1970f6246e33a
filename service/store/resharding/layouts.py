"""The layouts of sites in Redis: learned by every copy, and changed while heartbeats go on.

A change is announced, then the shards in force are retired, each in one step, then the new layout
is in force. So no heartbeat is written to a new layout while one is written to the old. Each step
may be done twice; whoever finds a change half done, since who began it is gone, does the rest.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from service.errors import StoreBusy, StoreError
from service.redis.replies import pairs_of
from service.redis.scripts import Call, load
from service.store.due import LISTS_LIFE_MS
from service.store.keys import Keys, ShardKeys
from service.store.layout import SiteLayouts
from service.store.runner import ScriptRunner

LOOK_S = 0.5  # each copy looks so often whether a site has another layout
TRIES = 5  # of a change, where somebody else changes the site as well

log = structlog.get_logger(__name__)


async def read_layouts(client: Any, keys: Keys) -> dict[str, SiteLayouts]:
    """The layouts of the sites that have had several. Raises RedisError."""
    rows = await client.execute_command("HGETALL", keys.registry)
    return {site: SiteLayouts.parse(text) for site, text in pairs_of(rows)}


class Layouts:
    """Reads and changes which layouts sites have, and tells the keys."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._learning: asyncio.Task[None] | None = None
        # Sites whose change cannot be completed, and what keeps it from that.
        self.unfinished: dict[str, str] = {}
        # Into how many shards some sites begin to be split: an app says it.
        self.first: Mapping[str, int] = {}

    async def run(self) -> None:
        """Learns until it is cancelled. Failures are outlived: who meets a shard that is retired
        asks again anyway."""
        while True:
            await asyncio.sleep(LOOK_S * random.uniform(0.8, 1.0))  # noqa: S311
            try:
                await self.learn()
                await self.begin()
            except StoreError:
                continue
            except Exception as error:  # it must outlive what nobody thought of
                log.error("layouts_failed", kind=type(error).__name__, exc_info=error)

    async def learn(self) -> None:
        """Takes over what Redis says, once for all who ask at a time, and does the rest of changes
        that are half done, where that can be done now. Raises StoreError."""
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn(), name="layouts")
            self._learning.add_done_callback(self._has_learned)
        await asyncio.shield(self._learning)

    def _has_learned(self, task: "asyncio.Task[None]") -> None:
        self._learning = None
        if not task.cancelled():
            task.exception()  # those who wait are told

    async def _learn(self) -> None:
        known = await self._read_and_know()
        half_done = {site: layouts for site, layouts in known.items() if layouts.announced}
        errors = await asyncio.gather(*map(self._completed, half_done, half_done.values()))
        self.unfinished = {
            site: error for site, error in zip(half_done, errors, strict=True) if error
        }
        if half_done:
            await self._read_and_know()

    def still_unfinished(self, site: str) -> StoreBusy:
        """The error of whoever meets a change that is half done still."""
        why = self.unfinished.get(site, "it has just begun")
        return StoreBusy(f"this site is being split anew; try again ({why})")

    async def settled(self) -> None:
        """Waits for a read that nobody needs any more."""
        if self._learning is not None:
            await asyncio.wait((self._learning,))

    async def _read_and_know(self) -> dict[str, SiteLayouts]:
        async with self._runner.failures():
            known = await read_layouts(self._runner.client, self._runner.keys)
        self._runner.keys.know(known, self._runner.about_now_ms())
        return known

    async def _completed(self, site: str, layouts: SiteLayouts) -> str | None:
        """Does the rest of a change; what keeps it from that, which is no matter of other sites."""
        try:
            await self._switch(site, layouts)
        except StoreError as error:
            return error.detail
        return None

    async def change(self, site: str, shards: int) -> SiteLayouts:
        """Splits a site into so many shards from now on; its layouts after that. Where it is split
        so already, nothing is done.

        Raises:
            StoreError: Redis cannot do it now; where it was announced, some copy does the rest.
        """
        keys = self._runner.keys
        for _ in range(TRIES):
            await self.learn()
            layouts = keys.layouts_of(site)
            if layouts.shards == shards and not layouts.announced:
                return layouts
            known = str(layouts) if site in keys.layouts else ""
            # Of a change that is half done no shard need be left that can be asked for the time.
            begun = layouts.announced
            since_ms = begun.since_ms if begun else await self.now_ms(site)
            announced = layouts.with_announced(shards, since_ms)
            if await self.write(site, known, str(announced)):
                await self._switch(site, announced)
        raise StoreBusy("others go on changing this site")

    async def begin(self) -> None:
        """Splits the sites of `first` whose number nobody has ever changed. Raises StoreError."""
        keys = self._runner.keys
        for site, shards in self.first.items():
            if shards != keys.shards and site not in keys.layouts:
                await self.change(site, shards)

    async def forget_earlier(self, site: str) -> None:
        """Keeps of the layouts of a site the one in force, as where all else of it is deleted.
        Raises StoreError."""
        await self.learn()
        if known := self._runner.keys.layouts.get(site):
            if known.announced:
                raise self.still_unfinished(site)
            await self.write(site, str(known), str(SiteLayouts((known.current,))))
            await self.learn()

    async def _switch(self, site: str, layouts: SiteLayouts) -> None:
        """Retires the shards in force, and puts in force what is announced."""
        await self.close(self._runner.keys.in_force(site, layouts), "retired_")
        is_new = len(layouts.in_force) == 1 and not await self._holds_something(site, layouts)
        await self.write(site, str(layouts), str(layouts.switched(is_new=is_new)))

    async def close(self, shards: Iterable[ShardKeys], past: str) -> None:
        """Has shards come to this `past`, each in one step: whoever knows them otherwise can read
        and write nothing there. Raises StoreError."""
        runner = self._runner
        calls = [
            Call(load("retire"), shard.renamed(past), (runner.clock(), LISTS_LIFE_MS))
            for shard in shards
        ]
        async with runner.failures():
            for reply in await runner.replies(lambda hour: calls):
                runner.checked(reply)

    async def _holds_something(self, site: str, layouts: SiteLayouts) -> bool:
        """Whether the shards in force, which are retired, have ever been written to: each session
        and each view is counted there among the unique visitors, for good."""
        found = await self._runner.commands(
            ("EXISTS", name)
            for shard in self._runner.keys.in_force(site, layouts)
            for name in (*shard.renamed("retired_")[1::2], shard.totals)
        )
        return any(found)

    async def write(self, site: str, known: str, text: str) -> bool:
        """Whether the site had these layouts still, and has those now. Raises StoreError."""
        runner = self._runner
        args = (runner.clock(), site, known, text)
        call = Call(load("layout"), (runner.keys.registry,), args)
        async with runner.failures():
            (reply,) = await runner.replies(lambda hour: [call])
        return bool(runner.checked(reply)[1] == "written")

    async def now_ms(self, site: str) -> int:
        """The time of the primary that holds a site, ms. Raises StoreError."""
        shard = self._runner.keys.of_site(site)[-1]
        ((reply,),) = await self._runner.read(
            "count", [shard], lambda n: ("pages",), is_current=True
        )
        return int(reply[0])
