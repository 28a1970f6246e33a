"""The list of site shards to sweep: heartbeats enter them, and each is claimed by one copy."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from service.redis.failures import FAILURES
from service.redis.scripts import Call, load, run
from service.store.runner import ScriptRunner
from service.store.tags import site_of

LISTS_LIFE_MS = 400 * 86_400_000  # of `due` and `sites`, after anybody was on any site
REENTER_S = 60.0  # between the writes that restore a busy site's entry, should it be lost
RETRY_S = 1.0  # after a failure to enter sites
REMEMBERED_TAGS = 100_000

log = structlog.get_logger(__name__)


class Claim(NamedTuple):
    """A site shard to sweep, and the end of the lease as Redis wrote it."""

    tag: str
    lease_end: str


class Settlement(NamedTuple):
    """A finished claim. `next_ms`: when the site shard is next due; None: never."""

    claim: Claim
    next_ms: int | None


class DueList:
    """Enters site shards into `due` and sites into `sites`, and claims those that are due.

    Args:
        deadline_s: how long one write may take, in seconds.
    """

    def __init__(self, runner: ScriptRunner, *, deadline_s: float) -> None:
        self._runner = runner
        self._deadline_s = deadline_s
        self._waiting: dict[str, tuple[str, int]] = {}  # tag -> condition of ZADD, when it is due
        self._entered_at: dict[str, float] = {}
        self._not_before_s = 0.0
        self._writing: asyncio.Task[None] | None = None

    def note(self, tag: str, is_opened: bool, now_ms: int, now_s: float) -> None:
        """Notes that a site shard was written to. One that was empty is entered; any other is
        entered again once a minute, in case its entry was lost."""
        if is_opened:
            self.enter_by(tag, now_ms)
        elif now_s - self._entered_at.get(tag, -REENTER_S) >= REENTER_S:
            self._waiting.setdefault(tag, ("NX", now_ms))

    def enter_by(self, tag: str, at_ms: int) -> None:
        """Notes that a site shard is due at that moment at the latest."""
        condition, earlier = self._waiting.get(tag, ("LT", at_ms))
        self._waiting[tag] = ("LT", min(earlier, at_ms) if condition == "LT" else at_ms)

    def is_waiting(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._waiting)

    async def write_soon(self) -> None:
        """Writes the entries that wait. On a cluster, in the background: the node that holds the
        list may be down while those that took the heartbeats are not."""
        if self._waiting and self._writing is None and time.monotonic() >= self._not_before_s:
            self._writing = asyncio.create_task(self._write(), name="due")
            self._writing.add_done_callback(self._has_written)
            if self._runner.connection.allows_cross_slot:
                await asyncio.wait((self._writing,))

    async def write_all(self) -> None:
        """Waits for the write in flight, and writes the rest."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        if self._waiting:
            await self._write()

    async def claim(
        self, settled: Sequence[Settlement], lease_ms: int, limit: int
    ) -> tuple[list[Claim], int]:
        """Settles finished claims and claims the site shards that are due; returns the new claims
        and Redis's time in ms. Raises StoreError."""
        runner = self._runner
        await self.write_all()
        args: list[str | int] = [runner.clock(), lease_ms, limit]
        for (tag, lease_end), next_ms in settled:
            args += (tag, lease_end, "" if next_ms is None else next_ms)
        async with runner.failures():
            call = Call(load("claim"), (runner.keys.due,), args)
            now, *flat = await run(runner.client, call)
        return [Claim(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)], int(now)

    def _has_written(self, task: "asyncio.Task[None]") -> None:
        self._writing = None
        if not task.cancelled() and (error := task.exception()):
            log.error("enter_due_failed", kind=type(error).__name__, exc_info=error)

    async def _write(self) -> None:
        """Keeps the entries for the next time where the write fails: the heartbeats themselves are
        written."""
        runner, keys = self._runner, self._runner.keys
        entries, self._waiting = self._waiting, {}
        try:
            async with asyncio.timeout(self._deadline_s):
                pipeline = runner.client.pipeline(transaction=False)
                for tag, (condition, at_ms) in entries.items():
                    pipeline.execute_command("ZADD", keys.due, condition, at_ms, tag)
                    if condition == "NX" or tag not in self._entered_at:
                        pipeline.zadd(keys.sites, {site_of(tag): 0})
                for key in (keys.due, keys.sites, keys.shard_count):
                    pipeline.pexpire(key, LISTS_LIFE_MS)
                await pipeline.execute()
        except BaseException as error:  # a cancellation too
            newer, self._waiting = self._waiting, entries
            for tag, (condition, at_ms) in newer.items():
                if condition == "LT":
                    self.enter_by(tag, at_ms)
                else:
                    self._waiting.setdefault(tag, (condition, at_ms))
            if not isinstance(error, FAILURES):
                raise
            runner.observe_error(runner.connection.kind_of(error))
            self._not_before_s = time.monotonic() + RETRY_S
            return
        if len(self._entered_at) > REMEMBERED_TAGS:
            self._entered_at.clear()
        self._entered_at.update(dict.fromkeys(entries, time.monotonic()))
