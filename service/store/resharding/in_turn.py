"""Sends batches such that all of one session stays in order while its site is split anew."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from service.store.batching.batch import Answer, Batch, Elsewhere, PartlyDone, Requeue
from service.store.keys import ShardKeys
from service.store.resharding.carrier import Carrier
from service.store.resharding.turns import ShardBatch

Send = Callable[[list[ShardBatch]], Awaitable[list[Answer[str]]]]


class InTurn:
    """Stands before `send`, which it calls at once unless something of these batches may belong to
    another shard.

    Args:
        about_now_ms: gives Redis's time, ms.
    """

    def __init__(self, send: Send, carrier: Carrier, about_now_ms: Callable[[], int]) -> None:
        self._send = send
        self._carrier = carrier
        self._about_now_ms = about_now_ms

    async def send(self, batches: list[ShardBatch]) -> list[Answer[str]]:
        """Sends the batches of one lane, as BatchSender.send does."""
        until_ms = max(batch.key.asks_until_ms for batch in batches)
        if until_ms and until_ms > self._about_now_ms():
            return await self._send_in_turn(batches)
        return await self._send(batches)

    async def _send_in_turn(self, batches: list[ShardBatch]) -> list[Answer[str]]:
        """As `send`, where something may belong elsewhere, and what follows of the same session is
        to wait for that: batches of one shard travel one after the other."""
        answers: list[Any] = [None] * len(batches)
        left = list(range(len(batches)))
        while left:
            of_shard: dict[ShardKeys, int] = {}
            for n in left:
                of_shard.setdefault(batches[n].key, n)
            now = list(of_shard.values())
            left = [n for n in left if n not in now]
            asked = [self._without_waiting(batches[n]) for n in now]
            try:
                got = await self._send([batch for batch in asked if batch.items])
            except Exception as error:  # what was answered before holds
                got = [error for batch in asked if batch.items]
            rest = iter(got)
            for n, batch in zip(now, asked, strict=True):
                answers[n] = self._all_answers(batches[n], batch, next(rest) if batch.items else [])
        return answers

    def _without_waiting(self, batch: ShardBatch) -> ShardBatch:
        """A batch without the items that are to wait for what came before of their sessions, and
        for which what follows is to wait from now on; the same one where there is none."""
        to_wait = [n for n in range(len(batch.items)) if self._carrier.turns.is_to_wait(batch, n)]
        if not to_wait:
            return batch
        self._carrier.turns.hold(batch, to_wait)
        rest = [n for n in range(len(batch.items)) if n not in to_wait]
        items, waiting = [batch.items[n] for n in rest], [batch.waiting[n] for n in rest]
        return Batch(batch.key, batch.kind, batch.begun_s, items, waiting)

    def _all_answers(
        self, batch: ShardBatch, asked: ShardBatch, answer: Answer[str]
    ) -> Answer[str]:
        """The answer to a batch of which some items wait."""
        if asked is batch:
            return answer
        is_asked = {id(item) for item in asked.items}
        if isinstance(answer, PartlyDone):
            done: Sequence[Any] = answer.done or [None] * len(asked.items)
        elif isinstance(answer, BaseException):
            done = [answer] * len(asked.items)
        else:
            done = answer
        if isinstance(answer, Requeue):  # of a slot that is being moved as well
            done = [answer.error() if one is None else one for one in done]
        rest, waiting = iter(done), iter(asked.waiting)
        known = []
        for n, item in enumerate(batch.items):
            if id(item) in is_asked:
                batch.waiting[n] = next(waiting)
                known.append(next(rest))
            else:
                known.append(None)

        def take(left: ShardBatch) -> None:
            waits: ShardBatch = Batch(left.key, left.kind, left.begun_s, [], [])
            was_asked: ShardBatch = Batch(left.key, left.kind, left.begun_s, [], [])
            for item, waiter in zip(left.items, left.waiting, strict=True):
                part = was_asked if id(item) in is_asked else waits
                part.items.append(item)
                part.waiting.append(waiter)
            if waits.items:
                self._carrier.queue(waits)
            if was_asked.items and isinstance(answer, Elsewhere):
                answer.take(was_asked)

        return Elsewhere(take, known)
