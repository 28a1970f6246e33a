"""Who is told the results of a batch: one, several of the same, or one of many results."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)
Again = Callable[[R], R]


class Waiter(Protocol[R_contra]):
    """Who is told a result: an asyncio.Future, or what is lighter than one. Told once, and not
    after `cancel`; what it raises would keep others from being told, so it raises nothing."""

    def done(self) -> bool:
        """Whether it needs no result any more."""

    def set_result(self, result: R_contra, /) -> None:
        """Tells the result."""

    def set_exception(self, error: BaseException, /) -> None:
        """Tells why there is none."""

    def cancel(self) -> object:
        """Tells that there will be none."""


class Twins(Generic[R]):
    """The waiters of one item. Of those that still wait, the first is told the result, the others
    what it becomes for who comes again."""

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
        failed: the result that stands for an error of one waiter; None: the error is that of all.
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
        return [_CollectorWaiter(self, index) for index in range(len(self._results))]

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

    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._all.done()

    def tell(self, index: int, result: R) -> None:
        """Tells one result."""
        self._results[index] = result
        self._left -= 1
        if not self._left and not self._all.done():
            self._all.set_result(None)

    def fail(self, index: int, error: BaseException) -> None:
        """Tells why there is no result."""
        result = self._failed(error)
        if result is None:
            self._error = self._error or error
        self.tell(index, result)  # type: ignore[arg-type]  # nobody is given it after an error


class _CollectorWaiter(Generic[R]):
    __slots__ = ("_collector", "_index")

    def __init__(self, collector: ResultCollector[R], index: int) -> None:
        self._collector = collector
        self._index = index

    def done(self) -> bool:
        return self._collector.is_over()

    def set_result(self, result: R, /) -> None:
        self._collector.tell(self._index, result)

    def set_exception(self, error: BaseException, /) -> None:
        self._collector.fail(self._index, error)

    def cancel(self) -> None:
        self._collector.cancel()
