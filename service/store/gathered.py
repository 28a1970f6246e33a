"""Many results that are waited for as one: what a future each, and asyncio.gather, would cost
more for than the heartbeats themselves."""

import asyncio
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class ResultCollector(Generic[R]):
    """Results of `count` places, each told once by a waiter of its own."""

    def __init__(self, count: int) -> None:
        self._results: list[Any] = [None] * count
        self._left = count
        self._error: BaseException | None = None
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not count:
            self._all.set_result(None)

    def places(self) -> "list[_Place[R]]":
        """The waiters of all places, in order."""
        return [_Place(self, number) for number in range(len(self._results))]

    def cancel(self) -> None:
        """Nobody waits any more; what has not been sent need not be."""
        self._all.cancel()

    async def results(self) -> list[R]:
        """All results in order, once the last is told.

        Raises:
            BaseException: the first that a place was told instead of a result.
        """
        await self._all
        if self._error is not None:
            raise self._error
        return self._results

    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._all.done()

    def tell(self, number: int, result: R) -> None:
        """The result of a place."""
        self._results[number] = result
        self._count_down()

    def fail(self, error: BaseException) -> None:
        """There is no result of one place."""
        self._error = self._error or error
        self._count_down()

    def _count_down(self) -> None:
        self._left -= 1
        if not self._left and not self._all.done():
            self._all.set_result(None)


class _Place(Generic[R]):
    """A batcher's waiter."""

    __slots__ = ("_gathered", "_number")

    def __init__(self, gathered: ResultCollector[R], number: int) -> None:
        self._gathered = gathered
        self._number = number

    def done(self) -> bool:
        return self._gathered.is_over()

    def set_result(self, result: R, /) -> None:
        self._gathered.tell(self._number, result)

    def set_exception(self, error: BaseException, /) -> None:
        self._gathered.fail(error)

    def cancel(self) -> None:
        self._gathered.cancel()
