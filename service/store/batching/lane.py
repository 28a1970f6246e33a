"""Batches that wait for one server while a call is in flight."""

import asyncio
import time
from bisect import insort_left
from collections.abc import Callable, Hashable, Mapping
from operator import attrgetter
from typing import Generic, TypeVar

from service.store.batching.batch import Batch, shared_in
from service.store.batching.waiters import Again, SharedWaiter, Waiter

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")
PAUSE_S = 0.01  # before a batch is sent again; each time twice as long
# For how long a batch of a stalled lane takes in more. A batch is given up as a whole, by its age:
# who joins it late waits that much less than those who began it.
OPEN_S = 0.1
# What is left, after each call, of the most items at once: of clients that are gone half are
# forgotten in 70 calls, a third of a second. Forgotten faster, the rest would be as many by chance,
# and calls would be smaller.
PEAK_KEPT = 0.99
_BEGUN_S = attrgetter("begun_s")


class Lane(Generic[K, T, R]):
    """The queue of one server, which is sent one call at a time."""

    __slots__ = (
        "_again",
        "_chains",
        "_enough",
        "_id_of",
        "_indexes",
        "_max_batch",
        "_most_enough",
        "_open",
        "_pause",
        "_peak",
        "_shared",
        "_size",
        "batches",
        "is_stalled",
        "next_pause_s",
        "taken",
        "task",
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
        self._indexes: dict[K, dict[Hashable, int]] = {}
        self.task: asyncio.Task[None] | None = None
        self._max_batch = max_batch
        self._enough: float = enough  # queued items that end a pause; _most_enough or fewer
        self._most_enough = enough
        self._peak = 0.0  # the most items that were queued or in flight at once, of late
        self._size = self._shared = 0  # queued items, and waiters that share one
        self.taken = 0  # of both, by the last `take`
        self._pause: asyncio.Future[None] | None = None
        self.is_stalled = False  # whether its first batch was put back
        self.next_pause_s = PAUSE_S  # while it is

    def add(self, key: K, kind: str, item: T, waiter: Waiter[R]) -> None:
        """Appends an item to the open batch; one about the same thing as another goes to the batch
        behind that, or, if both are equal, shares its result. Enough items end a pause."""
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = self._begin(key, kind)
        elif (
            batch.kind != kind
            or len(batch.items) >= self._max_batch
            or (self.is_stalled and time.monotonic() - batch.begun_s > OPEN_S)
        ):
            batch = self._open[key] = self._begin(key, kind)
            self._forget_indexes(key)
        else:
            indexes, item_id = self._indexes.get(key), self._id_of(item)
            if indexes is None:
                self._chains[key] = [batch]
                indexes = self._indexes[key] = {self._id_of(batch.items[0]): 0}
            if item_id in indexes:
                chain = self._chains[key]
                batch = chain[indexes[item_id]]
                if kind in self._again and item in batch.items:
                    self._join(batch, batch.items.index(item), waiter)
                    return
                batch = self._behind(chain, indexes[item_id])
                indexes[item_id] += 1
            else:
                indexes[item_id] = 0
        batch.items.append(item)
        batch.waiting.append(waiter)
        self._size += 1
        if self._pause is not None and self._size >= self._enough:
            self.wake()

    def put_back(self, batch: Batch[K, T, R]) -> int:
        """Queues a batch as it is, by its age; returns how many waiters it has."""
        insort_left(self.batches, batch, key=_BEGUN_S)
        shared = shared_in(batch)
        self._size += len(batch.items)
        self._shared += shared
        return len(batch.items) + shared

    def withdraw(self, key: K) -> tuple[list[Batch[K, T, R]], int]:
        """Removes and returns the queued batches of a key, and how many waiters fewer there are."""
        found = [batch for batch in self.batches if batch.key == key]
        if not found:
            return found, 0
        self.batches = [batch for batch in self.batches if batch.key != key]
        self._open.pop(key, None)
        self._forget_indexes(key)
        size = sum(len(batch.items) for batch in found)
        shared = min(sum(map(shared_in, found)), self._shared)  # `take` may have counted them
        self._size -= size
        self._shared -= shared
        return found, size + shared

    def _behind(self, chain: list[Batch[K, T, R]], index: int) -> Batch[K, T, R]:
        if index + 1 == len(chain):
            chain.append(self._begin(chain[0].key, chain[0].kind))
        return chain[index + 1]

    def _forget_indexes(self, key: K) -> None:
        self._chains.pop(key, None)
        self._indexes.pop(key, None)

    def _join(self, batch: Batch[K, T, R], index: int, waiter: Waiter[R]) -> None:
        """Lets a waiter share an item that is queued already."""
        shared = batch.waiting[index]
        if not isinstance(shared, SharedWaiter):
            shared = batch.waiting[index] = SharedWaiter(shared, self._again[batch.kind])
        shared.waiters.append(waiter)
        self._shared += 1

    def _begin(self, key: K, kind: str) -> Batch[K, T, R]:
        batch: Batch[K, T, R] = Batch(key, kind, time.monotonic(), [], [])
        self.batches.append(batch)
        return batch

    def take(self, most: int) -> list[Batch[K, T, R]]:
        """Removes and returns the oldest batches: `most` items, and at most a batch more."""
        self.taken, self._shared = self._shared, 0
        if self._size <= most:
            batches, self.batches = self.batches, []
            self._open.clear()
            if self._indexes:
                self._chains.clear()
                self._indexes.clear()
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
                self._forget_indexes(batch.key)
        batches = self.batches[:end]
        del self.batches[:end]
        self._size -= size
        self.taken += size
        return batches

    async def pause(self, seconds: float, answered: int) -> None:
        """Waits for so many seconds after a call of so many items, or until enough are queued."""
        self._peak = max(answered + self._size, PEAK_KEPT * self._peak)
        self._enough = min(self._most_enough, self._peak)
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
