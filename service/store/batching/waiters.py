"""Receivers of results: of one item, of several equal items, of many items at once."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)
Again = Callable[[R], R]


class Waiter(Protocol[R_contra]):
    """Receives one result: an asyncio.Future, or something lighter. It is called once, not after
    `cancel`, and raises nothing, which would keep results from the waiters behind it."""

    def done(self) -> bool:
        """Whether it needs no result any more, such as after a cancellation."""

    def set_result(self, result: R_contra, /) -> None:
        """Receives the result."""

    def set_exception(self, error: BaseException, /) -> None:
        """Receives the error that there is instead of a result."""

    def cancel(self) -> object:
        """There will be no result."""


class SharedWaiter(Generic[R]):
    """One waiter for several of one item. The first that still waits receives the result, the
    others what `again` makes of it."""

    __slots__ = ("_again", "waiters")

    def __init__(self, first: Waiter[R], again: Again[R]) -> None:
        self.waiters = [first]
        self._again = again

    def done(self) -> bool:
        return all(waiter.done() for waiter in self.waiters)

    def set_result(self, result: R, /) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(result)
                result = self._again(result)

    def set_exception(self, error: BaseException, /) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def cancel(self) -> None:
        for waiter in self.waiters:
            waiter.cancel()


class ResultCollector(Generic[R]):
    """Collects many results behind one future; cheaper than a future each.

    Args:
        count: how many results.
        failed: makes a result of one item's error; where it gives None, `results` raises the error.
    """

    def __init__(
        self, count: int, *, failed: Callable[[BaseException], R | None] = lambda error: None
    ) -> None:
        self._results: list[Any] = [None] * count
        self._left = count
        self._failed = failed
        self._error: BaseException | None = None
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not count:
            self._all.set_result(None)

    def waiters(self) -> "list[_CollectorWaiter[R]]":
        """A waiter for each result, in order."""
        done = self._all.done
        return [_CollectorWaiter(self, index, done) for index in range(len(self._results))]

    def cancel(self) -> None:
        """Nobody waits any more; what has not been sent need not be."""
        self._all.cancel()

    async def results(self) -> list[R]:
        """All results in order, once the last is told.

        Raises:
            BaseException: the first error that was told instead of a result.
        """
        await self._all
        if self._error is not None:
            raise self._error
        return self._results

    def set_result(self, index: int, result: R) -> None:
        """Receives one result."""
        self._results[index] = result
        self._left -= 1
        if not self._left and not self._all.done():
            self._all.set_result(None)

    def set_exception(self, index: int, error: BaseException) -> None:
        """Receives the error that there is instead of one."""
        result = self._failed(error)
        if result is None:
            self._error = self._error or error
        self.set_result(index, result)  # type: ignore[arg-type]  # nobody is given it after an error


class _CollectorWaiter(Generic[R]):
    __slots__ = ("_collector", "_index", "done")

    def __init__(self, collector: ResultCollector[R], index: int, done: Callable[[], bool]) -> None:
        self._collector = collector
        self._index = index
        self.done = done  # of the future of all, without a step of ours in between

    def set_result(self, result: R, /) -> None:
        self._collector.set_result(self._index, result)

    def set_exception(self, error: BaseException, /) -> None:
        self._collector.set_exception(self._index, error)

    def cancel(self) -> None:
        self._collector.cancel()
