"""Which sites there are, and how many are on each of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ClusterCrossSlotError, ResponseError

from service import models
from service.errors import StoreError, StoreUnreachable
from service.redis.failures import FAILURES, kind_of
from service.store.runner import ScriptRunner

COUNTED_AT_ONCE = 1000  # sites in one pipeline
COUNTED_TOGETHER = 100  # sites in one call, which takes Redis half a millisecond or so


class SiteCounts:
    """Reads of many sites at once."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self.wrong_types = 0  # keys of a wrong type so far, such as those of retired shards

    async def site_names(self, after: str, limit: int) -> list[str]:
        """The sites known to Redis that come after a name, by name. Raises StoreError."""
        low = f"({after}" if after else "-"
        command = ("ZRANGEBYLEX", self._runner.keys.sites, low, "+", "LIMIT", 0, limit)
        (names,) = await self._runner.look([command])
        return list(names)

    async def sites(self, names: Sequence[str]) -> models.SiteList:
        """How many are on each of these sites, None where Redis cannot say:
        the node that holds a site, or a shard of it, is down, a key has a wrong type, or the call
        in which it was asked about, with others, is not permitted. Raises StoreUnreachable: none
        can be asked."""
        by_site = [self._runner.keys.with_sessions(name) for name in names]
        shards = [keys for some in by_site for keys in some]
        lanes: dict[str, list[int]] = {}
        for index, keys in enumerate(shards):
            lanes.setdefault(self._runner.connection.lane_of(keys.tag), []).append(index)
        replies: list[Any] = [None] * len(shards)
        until = asyncio.get_running_loop().time() + self._runner.deadline_s

        async def ask(indexes: list[int]) -> StoreError | None:
            # Chunk by chunk: a call for each of thousands of sites would take all connections.
            for begin in range(0, len(indexes), COUNTED_AT_ONCE):
                some = indexes[begin : begin + COUNTED_AT_ONCE]
                answers: list[Any]
                try:
                    async with asyncio.timeout_at(until):
                        answers = await self._counted([shards[index].active for index in some])
                except FAILURES as error:
                    answers = [error] * len(some)
                for index, answer in zip(some, answers, strict=True):
                    replies[index] = answer
                    if isinstance(answer, ResponseError) and kind_of(answer) == "WRONGTYPE":
                        self.wrong_types += 1
            errors = (replies[index] for index in indexes)
            first = next((error for error in errors if isinstance(error, Exception)), None)
            return self._runner.error_of(first) if first else None

        failures = await asyncio.gather(*map(ask, lanes.values()))
        counts = [None if isinstance(r, BaseException) else int(r[1]) for r in replies]
        moments = [int(r[0]) for r in replies if not isinstance(r, BaseException)]
        for failure in failures:
            if not moments and isinstance(failure, StoreUnreachable):
                raise failure
        rows = []
        rest = iter(counts)
        for name, some in zip(names, by_site, strict=True):
            parts = [next(rest) for _ in some]
            known = [part for part in parts if part is not None]
            rows.append(models.SiteCount(name, sum(known) if len(known) == len(parts) else None))
        return models.SiteList(rows, None, min(moments, default=self._runner.about_now_ms()))

    async def _counted(self, keys: Sequence[str]) -> list[tuple[str, str] | Exception]:
        """By key of `active`: Redis's time and how many are active, or why it cannot say. Raises
        what Redis's way raises."""
        each = COUNTED_TOGETHER if self._runner.allows_cross_slot else 1
        groups = [keys[begin : begin + each] for begin in range(0, len(keys), each)]
        answers: list[tuple[str, str] | Exception] = []
        replies = await self._runner.site_counts(groups)
        for group, reply in zip(groups, replies, strict=True):
            if isinstance(reply, ClusterCrossSlotError) and each > 1:
                self._runner.allows_cross_slot = False
                return await self._counted(keys)
            if isinstance(reply, Exception):
                answers += [reply] * len(group)
                continue
            now, *counts = reply
            for count in counts:
                _, is_failed, error = count.partition("failed ")
                answers.append(ResponseError(error) if is_failed else (now, count))
        return answers
