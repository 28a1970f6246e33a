"""Collects what arrives while a call is in flight, and sends it with the next.

One call in flight per lane: an idle service adds no delay, a busy one pays for a call once per
batch. Many copies of the service are each less busy, and would ask Redis, which they share, the
more often with the fewer items; so calls that carried company begin `pace_s` apart, unless enough
wait before. The batcher knows nothing of Redis: `send` is given the batches of one lane, in the
order in which they were begun, and answers each with one result per item, or an exception, for one
item or for all of them.
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
    """Items of one key and one kind that travel together, one about each thing. `begun_s`: when
    the first of them came, by the monotonic clock."""

    key: K
    kind: str
    begun_s: float
    items: list[T]
    waiting: list[Waiter[R]]


Answer = Sequence[R | BaseException] | BaseException
Send = Callable[[list[Batch[K, T, R]]], Awaitable[list[Answer[R]]]]


class Batcher(Generic[K, T, R]):
    """Submits items, a batch at a time.

    A result is bound to its item by its place in its batch, and a batch never changes once it is
    sent, so results and callers cannot be mixed up. Items of one key keep their order.

    Args:
        send: sends the batches of one lane.
        lane_of: the lane of a key.
        id_of: what an item is about; of several about the same each travels in another batch.
        again: for each kind whose items need not be sent twice: what a second one that equals the
            first, and comes before it is sent, is answered, by the answer to the first.
        max_batch: items of one batch; more begin another one.
        max_waiting: items that may wait in all; more are refused with StoreBusy.
        max_wait_s: what has waited for longer when a call fails is refused so, too: it may not
            wait for the next call to fail. While calls succeed nothing is too late.
        max_call: items of one call, and at most a batch more; what is behind waits for the
            next one, for a call that takes too long has all its items fail.
        pace_s: seconds from the beginning of a call of several items to that of the next one on
            its lane. An item that was alone makes nobody wait, and nobody waits for company.
        enough: items that do not wait for that.
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
        """The waiter is told the item's result. Cancelling it takes an item that was not sent yet
        out of its batch; one that is on its way is written all the same.

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
        """As `submit`, for many items of one kind, each with its key; all of them or none."""
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
        """The lane of a key, on which something is about to wait."""
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
        """A future of the item's result. Raises as `submit`."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.submit(key, kind, item, future)
        return future

    async def close(self) -> None:
        """Refuses what comes now and waits until what was accepted has been answered."""
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
        """What has not waited too long yet; the rest is refused."""
        since_s = time.monotonic() - self._max_wait_s
        if batches[0].begun_s >= since_s:  # they are in the order in which they were begun
            return batches
        late = [batch for batch in batches if batch.begun_s < since_s]
        for batch in late:
            _deliver(batch, StoreBusy("Redis was busy for too long with what came before"))
        return batches[len(late) :]


class _Lane(Generic[K, T, R]):
    """What waits for one call at a time."""

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
        # An open batch and those behind it, of what came again; and for each thing the place there
        # of the last one that has an item about it. Noted from the second item on.
        self._chains: dict[K, list[Batch[K, T, R]]] = {}
        self._places: dict[K, dict[Hashable, int]] = {}
        self.task: asyncio.Task[None] | None = None
        self._max_batch = max_batch
        self._enough = enough
        self._size = self._twins = 0  # items that wait, and waiters that share another's
        self.taken = 0  # of both, with the last batches that were taken
        self._pause: asyncio.Future[None] | None = None

    def add(self, key: K, kind: str, item: T, waiter: Waiter[R]) -> None:
        """Appends an item to the open batch, or, if that has one about the same, to the batch of
        its repeats; a waiter whose item is there already joins it. Enough items end a pause."""
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
        """One more waits for an item that is there already."""
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
        """The batches that were begun first, until they have so many items."""
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
        """Until so many seconds have gone by, or enough items wait."""
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
    """Raises where places do not match: nobody may be given what is another's."""
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
