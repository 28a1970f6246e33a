"""How the sessions of the last days came."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from service import models
from service.store.keys import HOURS_PER_DAY, MS_PER_HOUR
from service.store.reader import StoreReader
from service.store.runner import ScriptRunner
from service.store.sources import rows

SHOWN = 200  # as many as a day has names for


class StoreSourceTotals:
    """Reads how sessions came, by the days on which they began."""

    def __init__(self, runner: ScriptRunner, reader: StoreReader) -> None:
        self._runner = runner
        self._reader = reader

    async def arrivals(self, site: str, days: int) -> models.Arrivals:
        """The sums of the last `days` days (UTC), today included. Raises StoreError."""
        async with self._runner.failures():
            _, _, now_ms = await self._reader.count(site, None)
            hour = now_ms // MS_PER_HOUR
            tables = await self._tables("HGETALL", site, hour, days)
        sums: Counter[str] = Counter()
        for table in tables:
            sums.update({name: int(count) for name, count in table.items() if " " in name})
        return models.Arrivals(
            sources=rows(sums, "source", SHOWN),
            mediums=rows(sums, "medium", SHOWN),
            campaigns=rows(sums, "campaign", SHOWN),
            devices=rows(sums, "device", SHOWN),
            days=days,
            asOf=now_ms,
        )

    async def came(self, site: str, known: Collection[str]) -> dict[str, int]:
        """How those who are here came: by the names of yesterday and today, and by those that the
        caller knows. Raises StoreError."""
        async with self._runner.failures():
            tables = await self._tables("HKEYS", site, self._runner.hour(), 2)
            names = {name for table in tables for name in table if " " in name}.union(known)
            counts = await self._reader.at_places(site, sorted(names)) if names else {}
        return {name: count for name, count in counts.items() if count > 0}

    async def _tables(self, command: str, site: str, hour: int, days: int) -> list[Any]:
        """Of each shard and each of the last days."""
        return await self._runner.look(
            (command, shard.sources_of(hour - day * HOURS_PER_DAY))
            for shard in self._runner.keys.of_site(site)
            for day in range(days)
        )
