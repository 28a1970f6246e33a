"""Coalesces requests: one answer for all who ask the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from service.live.tasks import consume_exception

PATIENCE_S = 0.5  # after which one is asked for beside one that is slow, so as to be in time

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Coalescer(Generic[K, R]):
    """Calls `ask` for each key once at a time, however many wait for it.

    Unlike a single flight, whoever comes while a call is in flight shares the next one: this one
    began before they came, and its answer may not know what they have just done themselves.

    Args:
        ask: gives the answer for a key, or raises.
    """

    def __init__(self, ask: Callable[[K], Awaitable[R]]) -> None:
        self._ask = ask
        self._going: dict[K, asyncio.Task[R]] = {}
        self._next: dict[K, asyncio.Task[R]] = {}

    async def get(self, key: K) -> R:
        """An answer that was asked for after this call began. Raises as `ask` does. If the call in
        flight fails, who waits for the next one is given its error: another would fail as well."""
        going = self._going.get(key)
        calls = self._going if going is None else self._next
        task = calls.get(key)
        if task is None:
            task = calls[key] = asyncio.create_task(self._call(key, going))
            task.add_done_callback(consume_exception)
        return await asyncio.shield(task)

    async def _call(self, key: K, before: "asyncio.Task[R] | None") -> R:
        task: Any = asyncio.current_task()
        try:
            if before is not None:
                done, _ = await asyncio.wait((before,), timeout=PATIENCE_S)
                # From here on, who comes is given the one after this.
                self._going[key] = task
                del self._next[key]
                if done and (error := before.exception()):
                    raise error
            return await self._ask(key)
        finally:
            if self._going.get(key) is task:
                del self._going[key]

    async def settled(self) -> None:
        """Waits until nothing is asked any more."""
        while tasks := {*self._going.values(), *self._next.values()}:
            await asyncio.wait(tasks)
