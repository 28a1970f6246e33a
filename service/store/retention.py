"""Forgets the logs of page views and of events after so many days, for whoever asks for that.

One copy an hour does it, for every site that was ever heard of: also where nobody comes any more.
"""

import asyncio
import random
from collections.abc import Sequence

import structlog

from service.errors import StoreError
from service.redis.scripts import Command
from service.store.keys import HOURS_PER_DAY, MS_PER_HOUR
from service.store.runner import ScriptRunner
from service.store.site_counts import SiteCounts

DAY_MS = HOURS_PER_DAY * MS_PER_HOUR
LOOK_S = 900.0  # each copy looks so often whether it is its turn
# Of a turn, in which nobody else has one. With LOOK_S after it, what is too old stays for an hour
# at most.
TURN_MS = MS_PER_HOUR - int(LOOK_S * 1000)
SITES_AT_ONCE = 100

log = structlog.get_logger(__name__)


class Retention:
    """Trims logs by age.

    Args:
        views_days: after how many days page views are forgotten; 0: never for their age.
        events_days: the same of events.
    """

    def __init__(
        self, runner: ScriptRunner, sites: SiteCounts, *, views_days: int, events_days: int
    ) -> None:
        self._runner = runner
        self._sites = sites
        self._views_ms = views_days * DAY_MS
        self._events_ms = events_days * DAY_MS

    @property
    def is_on(self) -> bool:
        """Whether anything is forgotten for its age."""
        return bool(self._views_ms or self._events_ms)

    async def run(self) -> None:
        """Runs until it is cancelled. Failures are outlived, and logged."""
        while True:
            try:
                if await self._claim():
                    log.info("logs_trimmed", entries=await self.trim())
            except StoreError as error:
                log.warning("retention_failed", reason=error.detail)
            # Copies that started together part ways.
            await asyncio.sleep(LOOK_S * random.uniform(0.8, 1.0))  # noqa: S311

    async def trim(self) -> int:
        """Forgets what is too old, on all sites; how many entries there were. Raises StoreError,
        where it could not be done on some, after it was on all others."""
        trimmed, after, failure = 0, "", None
        while names := await self._sites.site_names(after, SITES_AT_ONCE):
            try:
                trimmed += sum(await self._runner.commands(self._trims(names)))
            except StoreError as error:  # a key of a wrong type, or a node that is down
                failure = failure or error
            after = names[-1]
        if failure:
            raise failure
        return trimmed

    def _trims(self, sites: Sequence[str]) -> list[Command]:
        now_ms = self._runner.about_now_ms()
        return [
            # Exactly: of a small site an inexact one would keep a hundred entries for ever.
            ("XTRIM", stream, "MINID", "=", f"{now_ms - life_ms}")
            for site in sites
            for shard in self._runner.keys.with_logs(site)
            for stream, life_ms in (
                (shard.views, self._views_ms),
                (shard.events, self._events_ms),
            )
            if life_ms
        ]

    async def _claim(self) -> bool:
        """Whether it is this copy's turn, which one of them has about once an hour."""
        key = self._runner.keys.retention
        (claimed,) = await self._runner.commands([("SET", key, "1", "NX", "PX", TURN_MS)])
        return bool(claimed)
