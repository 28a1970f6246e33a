"""Carries sessions over into the shards of a newer layout, each with its next heartbeat."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple

import structlog

from service.errors import StoreBusy, StoreError
from service.store.batching.batch import Batch, deliver
from service.store.batching.waiters import Waiter
from service.store.keys import ShardKeys
from service.store.resharding.former_shards import FormerShards, knowing, without_former
from service.store.resharding.layouts import Layouts
from service.store.resharding.turns import Held, ShardBatch, Turns, held_of
from service.store.runner import ScriptRunner
from service.store.tags import generation_of, site_of

ASK_AGAIN_S = 0.02  # while a change is under way
RELEASED_AT_ONCE = 128  # sessions: some ms of Redis
VALID_S = 1.0  # what was read of a session; who was stopped for longer in between gives up

_Submit = Callable[[ShardKeys, str, Any, Waiter[str]], None]
_Work = Callable[[ShardBatch], Coroutine[Any, Any, None]]

log = structlog.get_logger(__name__)


class _Release(NamedTuple):
    """A session that is to be let go of, and who is told what then."""

    shards: Sequence[ShardKeys]
    session_id: str
    waiter: Waiter[str]
    outcome: str


class Carrier:
    """Sends again what belongs to another shard than it was sent to, and carries sessions over
    there."""

    def __init__(self, runner: ScriptRunner, layouts: Layouts) -> None:
        self._runner = runner
        self._layouts = layouts
        self.former = FormerShards(runner)
        self.turns = Turns()
        self.submit: _Submit  # of the batcher, which is made after this
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_release: list[_Release] = []
        self._is_releasing = False

    def follow(self, batch: ShardBatch) -> None:
        """Has a batch sent to the layout that its site has by now."""
        self._start_in_turn(batch, self._follow)

    def carry(self, batch: ShardBatch) -> None:
        """Has heartbeats sent again, with what former shards know of each."""
        self._start_in_turn(batch, self._carry)

    def queue(self, batch: ShardBatch) -> None:
        """Has a batch sent when all that came before of its sessions is."""
        self._start_in_turn(batch, self._send_all)

    def _start_in_turn(self, batch: ShardBatch, work: _Work) -> None:
        """Those whose turn it is together, each other by itself."""
        now: ShardBatch = Batch(batch.key, batch.kind, batch.begun_s, [], [])
        for item, waiter in zip(batch.items, batch.waiting, strict=True):
            held = held_of(waiter)
            if held and held.before and not held.before.is_over.is_set():
                one: ShardBatch = Batch(batch.key, batch.kind, batch.begun_s, [item], [waiter])
                self._start(self._run(one, work, held))
            else:
                now.items.append(item)
                now.waiting.append(waiter)
        if now.items:
            self._start(self._run(now, work))

    async def _run(self, batch: ShardBatch, work: _Work, held: Held | None = None) -> None:
        try:
            if held:
                await held.its_turn()
            await work(batch)
        except StoreError as error:
            deliver(batch, error)
        except Exception as error:
            log.error("carry_failed", kind=type(error).__name__, exc_info=error)
            deliver(batch, StoreError("a session could not be carried over"))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="carrier")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Waits for what is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _follow(self, batch: ShardBatch) -> None:
        keys, site, generation = self._runner.keys, *_place_of(batch)
        until = batch.begun_s + self._runner.deadline_s
        while keys.layouts_of(site).current.generation <= generation:
            if time.monotonic() >= until:
                raise StoreBusy("this site is being split anew; try again")
            try:
                await self._layouts.learn()
            except StoreError:
                if time.monotonic() + ASK_AGAIN_S >= until:
                    raise
            else:
                if keys.layouts_of(site).current.generation > generation:
                    break
            await asyncio.sleep(ASK_AGAIN_S)
        await self._send_all(batch)

    async def _send_all(self, batch: ShardBatch) -> None:
        site, _ = _place_of(batch)
        for item, waiter in zip(batch.items, batch.waiting, strict=True):
            key = self._runner.keys.of_session(site, item[0])
            # What was known of it is out of date.
            plain = item if batch.kind != "heartbeat" else without_former(item)
            self._send(key, batch.kind, plain, waiter)

    def _send(self, key: ShardKeys, kind: str, item: Any, waiter: Waiter[str]) -> None:
        try:
            self.submit(key, kind, item, waiter)
        except StoreError as error:
            waiter.set_exception(error)

    async def _carry(self, batch: ShardBatch) -> None:
        began_s, shard = time.monotonic(), batch.key
        sessions = [(item[0], item[1]) for item in batch.items]
        seen = await self.former.look(site_of(shard.tag), shard, sessions)
        await self.former.mark_viewed(
            shard, [(*which, one.viewed) for which, one in zip(sessions, seen, strict=True)]
        )
        if time.monotonic() - began_s > VALID_S:
            raise StoreBusy("Redis was busy for too long")
        for item, waiter, one in zip(batch.items, batch.waiting, seen, strict=True):
            known = item._replace(details=knowing(one.former, item.details))
            if held := held_of(waiter):
                release = partial(self._release_then, one.in_shards, item[0])
                held.when_it_went_on = release if one.in_shards else None
            self._send(shard, "heartbeat", known, waiter)

    def _release_then(
        self, shards: Sequence[ShardKeys], session_id: str, waiter: Waiter[str], outcome: str
    ) -> None:
        """Lets go of a session in former shards, which goes on in a newer one, and tells the
        outcome then."""
        self._to_release.append(_Release(shards, session_id, waiter, outcome))
        if not self._is_releasing:
            self._is_releasing = True
            self._start(self._release_all())

    async def _release_all(self) -> None:
        """Many at once: thousands of sessions may go on in the same moment, and a call each would
        take all connections."""
        try:
            while self._to_release:
                some = self._to_release[:RELEASED_AT_ONCE]
                del self._to_release[:RELEASED_AT_ONCE]
                try:
                    await self.former.release(
                        [(shard, one.session_id) for one in some for shard in one.shards]
                    )
                except StoreError as error:  # they time out there
                    log.warning("release_failed", reason=error.detail, sessions=len(some))
                finally:
                    for one in some:
                        if not one.waiter.done():
                            one.waiter.set_result(one.outcome)
        finally:
            self._is_releasing = False


def _place_of(batch: ShardBatch) -> tuple[str, int]:
    """The site that a batch is of, and the generation of the layout it was sent to."""
    return site_of(batch.key.tag), generation_of(batch.key.tag)
