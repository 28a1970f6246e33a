"""Writes heartbeats, goodbyes and page views, in batches, and ends sessions."""

import asyncio
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from service.errors import StoreBusy, WrongTypeError
from service.redis.connection import Connection
from service.store.batching.batcher import Batcher
from service.store.batching.waiters import ResultCollector, Waiter
from service.store.keys import ShardKeys
from service.store.resharding.former_shards import FormerShards
from service.store.resharding.in_turn import Send
from service.store.runner import ScriptRunner

CALL_PACE_S = 0.005  # between two calls of several heartbeats, fewer than 24 waiting: see Batcher

OUTCOMES = frozenset(("created", "moved", "refreshed", "duplicate", "limited"))
ACCEPTED = OUTCOMES - {"limited"}


class Heartbeat(NamedTuple):
    """A heartbeat as it is handed to the script. `client` is the keyed hash of an address, empty
    where no limit applies; `details` is JSON or empty; `user` is the id of a user, empty where
    nobody knows who it is; `has_sources`: details say how the session came."""

    session_id: str
    path: str
    country: str
    client: str
    details: str
    user: str = ""
    has_sources: bool = False


class PageView(NamedTuple):
    """An explicit page view as it is handed to the script; empty: not given."""

    session_id: str
    path: str
    page_type: str = ""
    referrer: str = ""


class StoreWriter:
    """The writing half of the store."""

    def __init__(self, runner: ScriptRunner, send: Send, former: FormerShards) -> None:
        self._runner = runner
        self._former = former
        self.batcher: Batcher[ShardKeys, Any, str] = Batcher(
            send,
            _lanes_of(runner.connection),
            pace_s=CALL_PACE_S,
            patience_s=runner.deadline_s,
            id_of=itemgetter(0),
            again={"heartbeat": _again} if runner.config.heartbeat_dedup_ms > 0 else {},
        )

    async def heartbeat(self, site: str, beat: Heartbeat) -> str:
        """Decides and writes one heartbeat: `created`, `moved`, `refreshed`, `duplicate` or
        `limited`.

        Raises:
            StoreError: Redis cannot do it now. What was asked may or may not have been written;
                asking again changes nothing that was.
        """
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.submit(site, beat, waiter)
        return await waiter

    def submit(self, site: str, beat: Heartbeat, waiter: Waiter[str]) -> None:
        """Like `heartbeat`, for callers that do not wait: the waiter is told the outcome, or the
        StoreError. Raises StoreBusy."""
        keys = self._runner.keys.of_session(site, beat.session_id)
        self.batcher.submit(keys, "heartbeat", beat, waiter)

    async def heartbeats(self, site: str, beats: Sequence[Heartbeat]) -> list[str]:
        """Like `heartbeat`, for many, in order; those of one shard travel in one call.

        One that meets a key of a wrong type is `failed`; the others are written all the same.
        """
        collector: ResultCollector[str] = ResultCollector(len(beats), failed=_failed)
        keys_of = [self._runner.keys.of_session(site, beat.session_id) for beat in beats]
        try:
            self.batcher.submit_all(keys_of, "heartbeat", beats, collector.waiters())
        except StoreBusy:
            collector.cancel()
            raise
        with self._runner.span("heartbeat"):
            return await collector.results()

    async def leave(self, site: str, session_id: str, path: str = "") -> str:
        """Says goodbye, from a page where it is known: `leaving` or `unknown`. Raises as
        `heartbeat`."""
        runner = self._runner
        keys = runner.keys.of_session(site, session_id)
        with runner.span("leave"):
            outcome = await self.batcher.result_of(keys, "leave", (session_id, path))
            if outcome == "unknown" and keys.asks_until_ms:
                # It may not have been carried over yet; there, nothing is kept of a goodbye.
                now_ms = runner.about_now_ms()
                for former in runner.keys.former_of_session(site, session_id, now_ms):
                    if outcome == "unknown":
                        outcome = await self.batcher.result_of(former, "leave", (session_id, ""))
            return outcome

    async def view(self, site: str, view: PageView, *, client: str = "") -> str:
        """Records a page view: `recorded`, `duplicate` or `limited`. Raises as `heartbeat`."""
        keys = self._runner.keys.of_session(site, view.session_id)
        with self._runner.span("view"):
            if keys.asks_until_ms > self._runner.about_now_ms():
                which = (view.session_id, view.path)
                (seen,) = await self._former.look(site, keys, [which])
                await self._former.mark_viewed(keys, [(*which, seen.viewed)])
                client = "" if seen.in_shards else client  # who is here is not limited
            return await self.batcher.result_of(keys, "view", (view, client))

    async def end(self, site: str, session_id: str) -> bool:
        """Ends a session at once; whether there was one. Raises as `heartbeat`."""
        runner, is_ended = self._runner, False
        keys = runner.keys
        for shard in (
            keys.of_session(site, session_id),
            *keys.former_of_session(site, session_id, runner.about_now_ms()),
        ):
            args: tuple[str | int, ...] = ("ended", *runner.user_arguments(shard))
            reply = await runner.write("end", shard, (shard.session(session_id),), args)
            is_ended = reply[1] == "ended" or is_ended
        return is_ended


def _again(outcome: str) -> str:
    """The outcome of a heartbeat that equals one of the same call, as the script would decide."""
    return outcome if outcome == "limited" else "duplicate"


def _failed(error: BaseException) -> str | None:
    """Gives a heartbeat that met a key of a wrong type an outcome in the answer to a batch."""
    return "failed" if isinstance(error, WrongTypeError) else None


def _lanes_of(connection: Connection) -> Callable[[ShardKeys], str]:
    if connection.allows_cross_slot:
        return lambda keys: ""
    return lambda keys: connection.lane_of(keys.tag)
