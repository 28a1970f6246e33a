"""Collects items while a call is in flight, and sends them with the next.

One call in flight per lane: an idle service adds no delay, a busy one pays for a call once per
batch. Many copies of the service are each less busy, and would send the Redis that they share many
small calls; so after a call with several items the next begins `pace_s` after its start, unless
enough items are queued before.

The batcher knows nothing of Redis: `send` is given the batches of one lane, in the order in which
they were begun, and answers each with one result per item, or an exception, for one item or for all
of them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

import structlog

from service.errors import StoreBusy, StoreError
from service.store.waiters import Again, Twins, Waiter

log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Batch(Generic[K, T, R]):
    """Items of one key and one kind, sent together; no two are about the same thing. `begun_s`:
    when the first was submitted, in seconds of the monotonic clock."""

    key: K
    kind: str
    begun_s: float
    items: list[T]
    waiting: list[Waiter[R]]


Answer = Sequence[R | BaseException] | BaseException
Send = Callable[[list[Batch[K, T, R]]], Awaitable[list[Answer[R]]]]


class Batcher(Generic[K, T, R]):
    """Sends submitted items in batches, and gives each caller the result of its item.

    A result is bound to its item by its place in its batch, and a batch never changes once it is
    sent, so results and callers cannot be mixed up. Items of one key keep their order.

    Args:
        send: sends the batches of one lane.
        lane_of: the lane of a key.
        id_of: what an item is about; of several about the same each travels in another batch.
        again: by kind, for an item that equals one that is still queued, and so is not sent: makes
            its result of the other's.
        max_batch: items of one batch; more begin another one.
        max_waiting: items that may wait in all; more are refused with StoreBusy.
        max_wait_s: after a failed call, items queued for longer are refused with StoreBusy, so that
            nobody waits through a second failure. While calls succeed nothing is too late.
        max_call: items of one call, exceeded by at most a batch: a call that misses its deadline
            fails all its items.
        pace_s: seconds between the starts of two calls on a lane, if the first has several items.
            After a lone item nobody waits.
        enough: queued items that start the next call without that pause.
    """

    def __init__(
        self,
        send: Send[K, T, R],
        lane_of: Callable[[K], Hashable],
        *,
        id_of: Callable[[T], Hashable] = id,
        again: Mapping[str, Again[R]] = MappingProxyType({}),
        max_batch: int = 128,
        max_waiting: int = 20_000,
        max_wait_s: float = 1.0,
        max_call: int = 1024,
        pace_s: float = 0.0,
        enough: int = 24,
    ) -> None:
        self._send = send
        self._lane_of = lane_of
        self._id_of = id_of
        self._again = again
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._max_call = max_call
        self._pace_s = pace_s
        self._enough = enough
        self._lanes: dict[Hashable, _Lane[K, T, R]] = {}  # kept: there are as many as servers
        self._is_closed = False
        self.waiting = 0

    def submit(self, key: K, kind: str, item: T, waiter: Waiter[R]) -> None:
        """Queues an item, whose result the waiter is given. Cancelling the waiter drops an item
        that was not sent yet; one in flight is written all the same.

        Raises:
            StoreBusy: too many are waiting, or the batcher is closed.
        """
        if self.waiting >= self._max_waiting or self._is_closed:
            self._admit(1)  # raises
        self.waiting += 1
        lane = self._lanes.get(self._lane_of(key))
        if lane is None or lane.task is None:
            lane = self._lane_for(key)
        lane.add(key, kind, item, waiter)

    def submit_all(
        self, keys: Sequence[K], kind: str, items: Sequence[T], waiters: Sequence[Waiter[R]]
    ) -> None:
        """Queues many items of one kind, each with its key: all of them or none. Raises as
        `submit`."""
        self._admit(len(items))
        self.waiting += len(items)
        for key, item, waiter in zip(keys, items, waiters, strict=True):
            self._lane_for(key).add(key, kind, item, waiter)

    def _admit(self, count: int) -> None:
        if self.waiting + count > self._max_waiting:
            raise StoreBusy("too many heartbeats are waiting for Redis")
        if self._is_closed:
            raise StoreBusy("the service is stopping")

    def _lane_for(self, key: K) -> "_Lane[K, T, R]":
        """Returns the lane of a key, and sees to it that its task runs."""
        lane_key = self._lane_of(key)
        lane = self._lanes.get(lane_key)
        if lane is None:
            lane = self._lanes[lane_key] = _Lane(
                self._id_of, self._again, self._max_batch, self._enough
            )
        if lane.task is None:
            lane.task = asyncio.create_task(self._drain(lane))
        return lane

    def result_of(self, key: K, kind: str, item: T) -> "asyncio.Future[R]":
        """Submits an item and returns a future of its result. Raises as `submit`."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.submit(key, kind, item, future)
        return future

    async def close(self) -> None:
        """Refuses new items and waits until the accepted ones are answered."""
        self._is_closed = True
        for lane in self._lanes.values():
            lane.wake()
        while tasks := [lane.task for lane in self._lanes.values() if lane.task]:
            await asyncio.wait(tasks)

    async def _drain(self, lane: "_Lane[K, T, R]") -> None:
        is_failing = False
        try:
            while batches := lane.take(self._max_call):
                began_s = time.monotonic()
                self.waiting -= lane.taken
                if is_failing:
                    batches = self._without_late(batches)
                batches = _without_cancelled(batches)
                if not batches:
                    continue
                try:
                    answers = await self._send(batches)
                    _check(batches, answers)
                except Exception as error:
                    answers = [error] * len(batches)
                except BaseException:
                    _cancel(batches)
                    raise
                is_failing = any(isinstance(answer, BaseException) for answer in answers)
                for batch, answer in zip(batches, answers, strict=True):
                    _deliver(batch, answer)
                if not self._is_closed and (len(batches) > 1 or len(batches[0].items) > 1):
                    await lane.pause(began_s + self._pace_s - time.monotonic())
        finally:
            lane.task = None

    def _without_late(self, batches: list[Batch[K, T, R]]) -> list[Batch[K, T, R]]:
        """Returns the batches that have not waited too long, and refuses the others."""
        since_s = time.monotonic() - self._max_wait_s
        if batches[0].begun_s >= since_s:  # they are in the order in which they were begun
            return batches
        late = [batch for batch in batches if batch.begun_s < since_s]
        for batch in late:
            _deliver(batch, StoreBusy("Redis was busy for too long with what came before"))
        return batches[len(late) :]


class _Lane(Generic[K, T, R]):
    """The queue of one server, which is sent one call at a time."""

    __slots__ = (
        "_again", "_chains", "_enough", "_id_of", "_max_batch", "_open", "_pause", "_places",
        "_size", "_twins", "batches", "taken", "task",
    )  # fmt: skip

    def __init__(
        self,
        id_of: Callable[[T], Hashable],
        again: Mapping[str, Again[R]],
        max_batch: int,
        enough: int,
    ) -> None:
        self._id_of = id_of
        self._again = again
        self.batches: list[Batch[K, T, R]] = []
        self._open: dict[K, Batch[K, T, R]] = {}
        # By key: the open batch and those behind it, for an item about a thing that is in batch n
        # already goes into batch n + 1; and for each thing the last batch that it is in.
        self._chains: dict[K, list[Batch[K, T, R]]] = {}
        self._places: dict[K, dict[Hashable, int]] = {}
        self.task: asyncio.Task[None] | None = None
        self._max_batch = max_batch
        self._enough = enough
        self._size = self._twins = 0  # queued items, and waiters that share one
        self.taken = 0  # of both, by the last `take`
        self._pause: asyncio.Future[None] | None = None

    def add(self, key: K, kind: str, item: T, waiter: Waiter[R]) -> None:
        """Appends an item to the open batch; one about the same thing as another goes to the batch
        behind that, or, if both are equal, shares its result. Enough items end a pause."""
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = self._begin(key, kind)
        elif batch.kind != kind or len(batch.items) >= self._max_batch:
            batch = self._open[key] = self._begin(key, kind)
            self._forget_places(key)
        else:
            places, item_id = self._places.get(key), self._id_of(item)
            if places is None:
                self._chains[key] = [batch]
                places = self._places[key] = {self._id_of(batch.items[0]): 0}
            if item_id in places:
                chain = self._chains[key]
                batch = chain[places[item_id]]
                if kind in self._again and item in batch.items:
                    self._join(batch, batch.items.index(item), waiter)
                    return
                batch = self._behind(chain, places[item_id])
                places[item_id] += 1
            else:
                places[item_id] = 0
        batch.items.append(item)
        batch.waiting.append(waiter)
        self._size += 1
        if self._pause is not None and self._size >= self._enough:
            self.wake()

    def _behind(self, chain: list[Batch[K, T, R]], place: int) -> Batch[K, T, R]:
        if place + 1 == len(chain):
            chain.append(self._begin(chain[0].key, chain[0].kind))
        return chain[place + 1]

    def _forget_places(self, key: K) -> None:
        self._chains.pop(key, None)
        self._places.pop(key, None)

    def _join(self, batch: Batch[K, T, R], index: int, waiter: Waiter[R]) -> None:
        """Lets a waiter share an item that is queued already."""
        twins = batch.waiting[index]
        if not isinstance(twins, Twins):
            twins = batch.waiting[index] = Twins(twins, self._again[batch.kind])
        twins.waiters.append(waiter)
        self._twins += 1

    def _begin(self, key: K, kind: str) -> Batch[K, T, R]:
        batch: Batch[K, T, R] = Batch(key, kind, time.monotonic(), [], [])
        self.batches.append(batch)
        return batch

    def take(self, most: int) -> list[Batch[K, T, R]]:
        """Removes and returns the oldest batches: `most` items, and at most a batch more."""
        self.taken, self._twins = self._twins, 0
        if self._size <= most:
            batches, self.batches = self.batches, []
            self._open.clear()
            if self._places:
                self._chains.clear()
                self._places.clear()
            self.taken += self._size
            self._size = 0
            return batches
        end = size = 0
        while size < most:
            batch = self.batches[end]
            size += len(batch.items)
            end += 1
            if self._open.get(batch.key) is batch:
                del self._open[batch.key]
                self._forget_places(batch.key)
        batches = self.batches[:end]
        del self.batches[:end]
        self._size -= size
        self.taken += size
        return batches

    async def pause(self, seconds: float) -> None:
        """Waits for so many seconds, or until enough items are queued."""
        if seconds <= 0 or self._size >= self._enough:
            return
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(seconds, self.wake)
        try:
            await self._pause
        finally:
            timer.cancel()
            self._pause = None

    def wake(self) -> None:
        """Ends a pause, if there is one."""
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)


def _without_cancelled(batches: list[Batch[K, T, R]]) -> list[Batch[K, T, R]]:
    for batch in batches:
        for waiter in batch.waiting:
            if waiter.done():
                return _kept(batches)
    return batches


def _kept(batches: list[Batch[K, T, R]]) -> list[Batch[K, T, R]]:
    for batch in batches:
        kept = [
            (item, waiter)
            for item, waiter in zip(batch.items, batch.waiting, strict=True)
            if not waiter.done()
        ]
        batch.items = [item for item, _ in kept]
        batch.waiting = [waiter for _, waiter in kept]
    return [batch for batch in batches if batch.items]


def _check(batches: list[Batch[K, T, R]], answers: Sequence[Answer[R]]) -> None:
    """Raises StoreError where the numbers differ: no caller may be given another's result."""
    if len(answers) != len(batches):
        raise StoreError(f"{len(answers)} answers to {len(batches)} batches")
    for batch, answer in zip(batches, answers, strict=True):
        if not isinstance(answer, BaseException) and len(answer) != len(batch.items):
            raise StoreError(f"{len(answer)} results for {len(batch.items)} items")


def _cancel(batches: list[Batch[K, T, R]]) -> None:
    for batch in batches:
        for waiter in batch.waiting:
            waiter.cancel()


def _deliver(batch: Batch[K, T, R], answer: Answer[R]) -> None:
    results = [answer] * len(batch.waiting) if isinstance(answer, BaseException) else answer
    for waiter, result in zip(batch.waiting, results, strict=True):
        if waiter.done():
            continue
        try:
            if isinstance(result, BaseException):
                waiter.set_exception(result)
            else:
                waiter.set_result(result)
        except Exception as error:  # a fault of ours in one answer must not cost the others theirs
            log.error("waiter_failed", kind=type(error).__name__, exc_info=error)
