"""Keeps what is of one session in order, where some of it has to be sent again.

What follows of the session waits for that.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from service.store.batching.batch import Batch
from service.store.batching.waiters import SharedWaiter, Waiter
from service.store.keys import ShardKeys
from service.store.tags import site_of

HELD_S = 2.5  # the longest that something is waited for; its caller does not wait so long
# A session that goes on; one that began anew is told as gone where it was, by the sweep.
_WENT_ON = frozenset(("moved", "refreshed", "duplicate"))

ShardBatch = Batch[ShardKeys, Any, str]


class Held:
    """Waits for an item that is sent again. What follows of the same session waits for it."""

    __slots__ = ("_turns", "_waiter", "before", "is_over", "session", "until", "when_it_went_on")

    def __init__(self, turns: "Turns", session: tuple[str, str], waiter: Waiter[str]) -> None:
        self._turns = turns
        self._waiter = waiter
        self.session = session  # site and id
        # One that shares the result is ended by this one; its turn has come.
        self.before = None if _has_held(waiter) else turns.last_held(session)
        # Does what is left to do where the session goes on, and tells the outcome then.
        self.when_it_went_on: Callable[[Waiter[str], str], None] | None = None
        self.is_over = asyncio.Event()
        self.until = time.monotonic() + HELD_S

    def done(self) -> bool:
        # Also where nobody needs the outcome any more, others wait for it, or something is left.
        return False

    def set_result(self, result: str, /) -> None:
        if self.when_it_went_on and result in _WENT_ON:
            self.when_it_went_on(self._waiter, result)
        elif not self._waiter.done():
            self._waiter.set_result(result)
        self._end()

    def set_exception(self, error: BaseException, /) -> None:
        if not self._waiter.done():
            self._waiter.set_exception(error)
        self._end()

    def cancel(self) -> None:
        self._waiter.cancel()
        self._end()

    def _end(self) -> None:
        self.before = None
        self.is_over.set()
        self._turns.forget(self)

    async def its_turn(self) -> None:
        """Waits for what came before of the session."""
        while (before := self.before) and not before.is_over.is_set():
            left_s = before.until - time.monotonic()
            if left_s <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(before.is_over.wait(), left_s)
        self.before = None


def held_of(waiter: Waiter[str]) -> Held | None:
    """What an item that is sent again is waited for with; others may share its result."""
    if isinstance(waiter, SharedWaiter):
        waiter = waiter.waiters[0]
    return waiter if isinstance(waiter, Held) else None


def _has_held(waiter: Waiter[str]) -> bool:
    waiters = waiter.waiters if isinstance(waiter, SharedWaiter) else (waiter,)
    return any(isinstance(one, Held) for one in waiters)


class Turns:
    """Knows what is waited for of each session."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Held] = {}  # by session

    def last_held(self, session: tuple[str, str]) -> Held | None:
        """What is waited for of a session last; None: nothing is."""
        held = self._last.get(session)
        if held is not None and held.until < time.monotonic():  # the call failed after all
            self.forget(held)
            return None
        return held

    def forget(self, held: Held) -> None:
        """Nothing waits for that any more."""
        if self._last.get(held.session) is held:
            del self._last[held.session]

    def is_to_wait(self, batch: ShardBatch, index: int) -> bool:
        """Whether an item is to wait for what came before of its session."""
        if not self._last or batch.kind not in ("heartbeat", "leave"):
            return False
        session = (site_of(batch.key.tag), batch.items[index][0])
        return self.last_held(session) is not None and not _has_held(batch.waiting[index])

    def hold(self, batch: ShardBatch, indexes: Iterable[int]) -> None:
        """Has what follows of the sessions of these items wait for them."""
        site = site_of(batch.key.tag)
        for index in indexes:
            if held_of(batch.waiting[index]) is None:
                session = (site, batch.items[index][0])
                held = Held(self, session, batch.waiting[index])
                batch.waiting[index] = self._last[session] = held
