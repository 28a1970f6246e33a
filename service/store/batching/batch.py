"""Items that are sent together, and the results that their waiters are given."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from service.errors import StoreError
from service.store.batching.waiters import SharedWaiter, Waiter

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


class PartlyDone(Exception):
    """Answers a batch of which not all is done. What becomes of the rest, the kind says.

    Args:
        done: the results so far, None for each item that is left; empty: all are.
    """

    def __init__(self, done: Sequence[Any] = ()) -> None:
        super().__init__()
        self.done = done


class Requeue(PartlyDone):
    """The rest is to be queued again, on the lane that its key has by then. `error` makes the error
    of what is given up."""

    def __init__(self, error: Callable[[], BaseException], done: Sequence[Any] = ()) -> None:
        super().__init__(done)
        self.error = error


class Elsewhere(PartlyDone):
    """The rest does not belong where it was sent: `take` is given what is left of the batch, with
    those who wait for it."""

    def __init__(self, take: Callable[[Any], None], done: Sequence[Any] = ()) -> None:
        super().__init__(done)
        self.take = take


Answer = Sequence[R | BaseException] | BaseException


def without_cancelled(batches: list[Batch[K, T, R]]) -> list[Batch[K, T, R]]:
    """Returns the batches without the items whose waiters need no result any more."""
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


def check_answers(batches: list[Batch[K, T, R]], answers: Sequence[Answer[R]]) -> None:
    """Raises StoreError where the numbers differ: no caller may be given another's result."""
    if len(answers) != len(batches):
        raise StoreError(f"{len(answers)} answers to {len(batches)} batches")
    for batch, answer in zip(batches, answers, strict=True):
        if not isinstance(answer, BaseException) and len(answer) != len(batch.items):
            raise StoreError(f"{len(answer)} results for {len(batch.items)} items")


def cancel(batches: list[Batch[K, T, R]]) -> None:
    """Tells all who wait that there will be no result."""
    for batch in batches:
        for waiter in batch.waiting:
            waiter.cancel()


def shared_in(batch: Batch[K, T, R]) -> int:
    """How many waiters share the result of another."""
    return sum(
        len(waiter.waiters) - 1 for waiter in batch.waiting if isinstance(waiter, SharedWaiter)
    )


def deliver_done(batch: Batch[K, T, R], results: Sequence[R | BaseException | None]) -> None:
    """Delivers the results that there are, and leaves the other items in the batch; `results` as of
    PartlyDone."""
    if not results:
        return
    rows = list(zip(batch.items, batch.waiting, results, strict=True))
    for item, waiter, result in rows:
        if result is not None:
            deliver(Batch(batch.key, batch.kind, batch.begun_s, [item], [waiter]), [result])
    batch.items = [item for item, _, result in rows if result is None]
    batch.waiting = [waiter for _, waiter, result in rows if result is None]


def deliver(batch: Batch[K, T, R], answer: Answer[R]) -> None:
    """Gives each waiter of a batch the result of its item, or the error that there is instead."""
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
