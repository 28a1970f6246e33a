"""How the sessions of the last days came."""

from collections import Counter

from service import models
from service.store.keys import HOURS_PER_DAY, MS_PER_HOUR
from service.store.reader import StoreReader
from service.store.runner import ScriptRunner
from service.store.sources import rows

SHOWN = 200  # as many as a day has names for


class StoreArrivals:
    """Reads how sessions came, by the days on which they began."""

    def __init__(self, runner: ScriptRunner, reader: StoreReader) -> None:
        self._runner = runner
        self._reader = reader

    async def arrivals(self, site: str, days: int) -> models.Arrivals:
        """The sums of the last `days` days (UTC), today included. Raises StoreError."""
        async with self._runner.failures():
            _, _, now_ms = await self._reader.count(site, None)
            hour = now_ms // MS_PER_HOUR
            tables = await self._runner.commands(
                ("HGETALL", shard.sources_of(hour - day * HOURS_PER_DAY))
                for shard in self._runner.keys.of_site(site)
                for day in range(days)
            )
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
