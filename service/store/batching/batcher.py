"""Collects items while a call is in flight, and sends them with the next.

One call in flight per lane: an idle service adds no delay, a busy one pays for a call once per
batch. Many copies of the service are each less busy, and would send the Redis that they share many
small calls; so after a call with several items the next begins `pace_s` after its start, unless
enough items are queued before: a fixed number, or as many as there were at once of late, for then
all who send are probably waiting, and nobody else will come.

The batcher knows nothing of Redis: `send` is given the batches of one lane, in the order in which
they were begun, and answers each with one result per item, or an exception, for one item or for all
of them. What is left of a batch that is answered with `Requeue` is queued again, and of one that is
answered with `Elsewhere` is no concern of the batcher any more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, TypeVar

from service.errors import StoreBusy
from service.store.batching.batch import (
    Answer,
    Batch,
    Elsewhere,
    Requeue,
    cancel,
    check_answers,
    deliver,
    deliver_done,
    without_cancelled,
)
from service.store.batching.lane import PAUSE_S, Lane
from service.store.batching.waiters import Again, Waiter

LONGEST_PAUSE_S = 0.08
LAST_CALL_S = 0.15  # how long a call may take that is made in the last moment

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

Send = Callable[[list[Batch[K, T, R]]], Awaitable[list[Answer[R]]]]


class Batcher(Generic[K, T, R]):
    """Sends submitted items in batches, and gives each caller the result of its item.

    A result is bound to its item by its index in its batch, and a batch never changes once it is
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
        enough: queued items that start the next call without that pause. Fewer do where there were
            fewer at once of late, waiting or in flight.
        patience_s: for how long a batch is sent again, in seconds since it was begun; its last
            answer comes LAST_CALL_S later at most.
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
        patience_s: float = 1.8,
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
        self._patience_s = patience_s
        self._lanes: dict[Hashable, Lane[K, T, R]] = {}  # kept: there are as many as servers
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
        last: K | None = None  # many are of one key, one behind the other
        for key, item, waiter in zip(keys, items, waiters, strict=True):
            if key is not last:
                last, lane = key, self._lane_for(key)
            lane.add(key, kind, item, waiter)

    def _admit(self, count: int) -> None:
        if self.waiting + count > self._max_waiting:
            raise StoreBusy("too many heartbeats are waiting for Redis")
        if self._is_closed:
            raise StoreBusy("the service is stopping")

    def _lane_for(self, key: K) -> Lane[K, T, R]:
        """Returns the lane of a key, and sees to it that its task runs."""
        lane_key = self._lane_of(key)
        lane = self._lanes.get(lane_key)
        if lane is None:
            lane = self._lanes[lane_key] = Lane(
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

    async def _drain(self, lane: Lane[K, T, R]) -> None:
        is_failing = False
        send, most = self._send, self._max_call
        try:
            while batches := lane.take(most):
                began_s = time.monotonic()
                self.waiting -= lane.taken
                if is_failing:
                    batches = self._without_late(batches)
                batches = without_cancelled(batches)
                if not batches:
                    continue
                try:
                    answers = await send(batches)
                    check_answers(batches, answers)
                except Exception as error:
                    answers = [error] * len(batches)
                except BaseException:
                    cancel(batches)
                    raise
                if any(isinstance(answer, BaseException) for answer in answers):
                    is_failing = self._handle_failures(lane, batches, answers)
                    if lane.is_stalled:
                        await self._pause_stalled(lane)
                        send, most = self._send_in_time, 1  # one batch is enough to find out
                        continue
                else:
                    is_failing = False
                    lane.is_stalled, lane.next_pause_s = False, PAUSE_S
                    for batch, answer in zip(batches, answers, strict=True):
                        deliver(batch, answer)
                send, most = self._send, self._max_call
                if not self._is_closed and (len(batches) > 1 or len(batches[0].items) > 1):
                    answered = sum(len(batch.items) for batch in batches)
                    await lane.pause(began_s + self._pace_s - time.monotonic(), answered)
        finally:
            lane.task = None

    def _handle_failures(
        self, lane: Lane[K, T, R], batches: list[Batch[K, T, R]], answers: Sequence[Answer[R]]
    ) -> bool:
        """Delivers answers, and puts back the batches that are to be sent again; whether any has
        failed for good. The lane is stalled if one is its own."""
        has_failed, lane.is_stalled = False, False
        since_s = time.monotonic() - self._patience_s
        for batch, answer in zip(batches, answers, strict=True):
            if not isinstance(answer, (Requeue, Elsewhere)):
                has_failed |= isinstance(answer, BaseException)
                deliver(batch, answer)
                continue
            deliver_done(batch, answer.done)
            if isinstance(answer, Elsewhere):
                answer.take(batch)
            elif batch.begun_s <= since_s:
                deliver(batch, answer.error())
            elif batch.items:
                self._put_back(lane, batch)
        if not lane.is_stalled:
            lane.next_pause_s = PAUSE_S
        return has_failed

    def _put_back(self, lane: Lane[K, T, R], batch: Batch[K, T, R]) -> None:
        target = self._lane_for(batch.key)
        if target is lane:
            lane.is_stalled = True
        else:  # with those of its key that are queued behind it, so that they stay in order
            queued, count = lane.withdraw(batch.key)
            self.waiting -= count
            for other in queued:
                self.waiting += target.put_back(other)
        self.waiting += target.put_back(batch)

    async def _pause_stalled(self, lane: Lane[K, T, R]) -> None:
        """Waits before the first batch is sent again, no longer than its callers do."""
        left_s = lane.batches[0].begun_s + self._patience_s - time.monotonic()
        await asyncio.sleep(max(min(lane.next_pause_s, left_s), 0))
        lane.next_pause_s = min(2 * lane.next_pause_s, LONGEST_PAUSE_S)

    async def _send_in_time(self, batches: list[Batch[K, T, R]]) -> list[Answer[R]]:
        """As `send`, but no longer than the callers of the first batch wait."""
        left_s = max(batches[0].begun_s + self._patience_s - time.monotonic(), 0) + LAST_CALL_S
        try:
            async with asyncio.timeout(left_s):
                return await self._send(batches)
        except TimeoutError:
            raise StoreBusy("Redis was busy for too long") from None

    def _without_late(self, batches: list[Batch[K, T, R]]) -> list[Batch[K, T, R]]:
        """Returns the batches that have not waited too long, and refuses the others."""
        since_s = time.monotonic() - self._max_wait_s
        if batches[0].begun_s >= since_s:  # they are in the order in which they were begun
            return batches
        late = [batch for batch in batches if batch.begun_s < since_s]
        for batch in late:
            deliver(batch, StoreBusy("Redis was busy for too long with what came before"))
        return batches[len(late) :]
