"""PresenceStore: the one class that speaks to Redis.

Everything that decides is in `lua/`; here keys are named, arguments formatted, replies read and
shards merged. What is read stands in `reading.py`, how calls are made in `calls.py`; this module
writes: heartbeats in batches, the list of due sites, and the sweep.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from redis.exceptions import ClusterCrossSlotError, ResponseError

from service.errors import ShardCountError, StoreBusy, StoreError, StoreRefused
from service.redis.client import BATCH_DEADLINE_S, DEADLINE_S, Connection
from service.redis.failures import FAILURES, kind_of
from service.redis.scripts import Call, load, run_many
from service.store.batcher import Answer, Batch, Batcher, ResultCollector, Waiter
from service.store.config import StoreConfig
from service.store.keys import Keys, ShardKeys, shard_number, site_of
from service.store.reader import StoreReader
from service.store.runner import is_stale

SWEEP_LIMIT = 150  # sessions removed by one call: 1 to 2 ms in which Redis serves nobody else
LISTS_LIFE_MS = 400 * 86_400_000  # of `due` and `sites`, after anybody was on any site
CALL_PACE_S = 0.005  # between two calls of several heartbeats, fewer than 24 waiting: see Batcher
CALL_LIMIT = 128  # heartbeats of one call, of all its sites: about 3 ms of Redis
REENTER_S = 60.0  # how often a copy makes sure that a site it hears of is on the list of due ones

ENTER_AGAIN_S = 1.0  # after a failure to

log = structlog.get_logger(__name__)


class Heartbeat(NamedTuple):
    """A heartbeat as it is handed to the script. `client` is the keyed hash of an address, empty
    where no limit applies; `details` is JSON or empty."""

    session_id: str
    path: str
    country: str
    client: str
    details: str


class PageView(NamedTuple):
    """An explicit page view as it is handed to the script; empty: not given."""

    session_id: str
    path: str
    page_type: str = ""
    referrer: str = ""


_Batch = Batch[ShardKeys, Any, str]


class Sweep(NamedTuple):
    """What a sweep did. `next_ms`: when the next session expires, None when nobody is left."""

    removed: int
    backlog: int
    next_ms: int | None
    now_ms: int


class Claim(NamedTuple):
    """A site shard to sweep, and the end of the lease as Redis wrote it."""

    tag: str
    lease_end: str


class Settlement(NamedTuple):
    """A claim that is done with. `next_ms`: when the site shard is next due, None: never."""

    claim: Claim
    next_ms: int | None


class PresenceStore(StoreReader):
    """Presence in Redis.

    Args:
        connection: the way to Redis.
        keys: key spellings.
        rules: what decides.
        observe_batch: told of each call of heartbeats: how many, and the seconds it took.
        observe_error: told the kind of each failure.
        deadline_s: after which an operation fails, in seconds.
        batch_deadline_s: the same for one batch, which others wait behind.

    `clock` gives the `now_ms` argument of the scripts: empty, for Redis's own time, in all but
    tests and replays.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        rules: StoreConfig,
        *,
        observe_batch: Callable[[int, float], None] = lambda size, seconds: None,
        observe_error: Callable[[str], None] = lambda kind: None,
        deadline_s: float = DEADLINE_S,
        batch_deadline_s: float = BATCH_DEADLINE_S,
    ) -> None:
        super().__init__(
            connection, keys, rules, observe_error=observe_error, deadline_s=deadline_s
        )
        self._batch_deadline_s = batch_deadline_s
        self._observe_batch = observe_batch
        self._batcher: Batcher[ShardKeys, Any, str] = Batcher(
            self._send, _lanes_of(connection), pace_s=CALL_PACE_S
        )
        self._due: dict[str, tuple[str, int]] = {}
        self._entered_at: dict[str, float] = {}
        self._enter_due_at = 0.0
        self._entering: asyncio.Task[None] | None = None
        self._rule_args = (
            rules.heartbeat_dedup_ms,
            rules.session_timeout_ms,
            rules.view_dedup_ms if rules.views_from_heartbeats else 0,
            rules.site_idle_ms,
            rules.events_maxlen,
            rules.views_maxlen,
            rules.max_paths,
            rules.new_sessions_per_minute,
        )

    # Writing

    async def heartbeat(self, site: str, beat: Heartbeat) -> str:
        """Decides and writes one heartbeat: `created`, `moved`, `refreshed`, `duplicate` or
        `limited`.

        Raises:
            StoreError: Redis cannot do it now. What was asked may or may not have been written;
                asking again changes nothing that was.
        """
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.submit(site, beat, waiter)
        outcome = await waiter
        return outcome if outcome in OUTCOMES else await self.settle(site, beat, outcome)

    @property
    def queue(self) -> Batcher[ShardKeys, Any, str]:
        """Where heartbeats wait for Redis; `waiting` says how many."""
        return self._batcher

    def submit(self, site: str, beat: Heartbeat, waiter: Waiter[str]) -> None:
        """As `heartbeat`, for one who does not want to wait: the waiter is told the outcome,
        which, if it is none of OUTCOMES, `settle` turns into one. Raises StoreBusy."""
        self._batcher.submit(self.keys.of_session(site, beat.session_id), "heartbeat", beat, waiter)

    async def settle(self, site: str, beat: Heartbeat, outcome: str) -> str:
        """The outcome of `heartbeat`, after one that is none of OUTCOMES; raises as it does."""
        if outcome not in OUTCOMES:
            keys = self.keys.of_session(site, beat.session_id)
            outcome = await self._settle_outcome(keys, beat, outcome)
        if outcome == "failed":
            raise StoreRefused("a key of this session has the wrong type: run presence doctor")
        return outcome

    async def heartbeat_and_count(
        self, site: str, beat: Heartbeat
    ) -> tuple[str, tuple[int, int, int]]:
        """As `heartbeat`, and `count` of its path after it, within one deadline."""
        async with self.deadline():
            outcome = await self.heartbeat(site, beat)
            return outcome, await self.count(site, beat.path)

    async def heartbeats(self, site: str, beats: Sequence[Heartbeat]) -> list[str]:
        """As `heartbeat`, for many, in order; those of one shard travel in one call.

        One whose own keys have a wrong type is `failed`; the others are written all the same.
        """
        gathered: ResultCollector[str] = ResultCollector(len(beats))
        keys_of = [self.keys.of_session(site, beat.session_id) for beat in beats]
        try:
            self._batcher.submit_all(keys_of, "heartbeat", beats, gathered.places())
        except StoreBusy:
            gathered.cancel()
            raise
        with self.span("heartbeat"):
            outcomes = await gathered.results()
        for place, outcome in enumerate(outcomes):
            if outcome not in OUTCOMES:
                outcomes[place] = await self._settle_outcome(keys_of[place], beats[place], outcome)
        return outcomes

    async def _settle_outcome(self, keys: ShardKeys, beat: Heartbeat, outcome: str) -> str:
        """The outcome after what stood in its way was swept; `failed` where a key is poisoned."""
        # The batch that said so may have taken its whole time already.
        deadline = time.monotonic() + self._batch_deadline_s
        while outcome == "backlog":
            if time.monotonic() > deadline:
                raise StoreBusy("too many sessions expired at once; they are being swept")
            async with self._failures(self._batch_deadline_s):
                await self.sweep(keys.tag)
                outcome = await self._batcher.result_of(keys, "heartbeat", beat)
        if outcome.startswith("poisoned "):
            self._observe_error("WRONGTYPE")
            return "failed"
        return outcome

    async def leave(self, site: str, session_id: str, path: str = "") -> str:
        """Says goodbye, from a page where it is known: `leaving` or `unknown`. Raises as
        `heartbeat`."""
        keys = self.keys.of_session(site, session_id)
        with self.span("leave"):
            return await self._batcher.result_of(keys, "leave", (session_id, path))

    async def view(self, site: str, view: PageView, *, client: str = "") -> str:
        """Records a page view: `recorded`, `duplicate` or `limited`. Raises as `heartbeat`."""
        keys = self.keys.of_session(site, view.session_id)
        with self.span("view"):
            return await self._batcher.result_of(keys, "view", (view, client))

    async def end(self, site: str, session_id: str) -> bool:
        """Ends a session at once; whether there was one. Raises as `heartbeat`."""
        keys = self.keys.of_session(site, session_id)
        call = Call(load("end"), keys.for_end(session_id), (self.clock(), self.rules.events_maxlen))
        return bool((await self._read(call))[1] == "ended")

    async def _send(self, batches: list[_Batch]) -> list[Answer[str]]:
        """Sends the batches of one lane; heartbeats of many sites travel in one call."""
        groups = self._grouped(batches)
        started = time.perf_counter()
        replies = await self._replies(groups)
        seconds = time.perf_counter() - started
        answers: list[Answer[str]] = []
        place = 0
        for group in groups:
            if group[0].kind == "heartbeat":
                self._observe_batch(sum(len(batch.items) for batch in group), seconds)
                answers += self._heartbeat_answers(group, replies[place])
                place += 1
            else:
                (batch,) = group
                own = replies[place : place + len(batch.items)]
                place += len(batch.items)
                answers.append(self._single_answers(batch, own))
        # On a cluster behind the answers: the node that holds the list may be another, and down.
        if self._due and self._entering is None and time.monotonic() >= self._enter_due_at:
            self._entering = asyncio.create_task(self._enter_due(), name="due")
            self._entering.add_done_callback(self._has_entered)
            if self.connection.mixes_sites:  # the same server: it was there just now
                await asyncio.wait((self._entering,))
        return answers

    def _grouped(self, batches: list[_Batch]) -> list[list[_Batch]]:
        """Batches of heartbeats that follow one another share a call, as far as one goes; any
        other batch is for itself. So all keep their order."""
        groups: list[list[_Batch]] = []
        room = 0  # in the last group, heartbeats
        for batch in batches:
            size = len(batch.items)
            if batch.kind == "heartbeat" and size <= room:
                groups[-1].append(batch)
                room -= size
            else:
                groups.append([batch])
                is_open = batch.kind == "heartbeat" and self.mixes_sites
                room = CALL_LIMIT - size if is_open else 0
        return groups

    def _heartbeat_answers(self, group: list[_Batch], reply: Any) -> list[Answer[str]]:
        """What one call of heartbeats says, by batch."""
        if isinstance(reply, BaseException):
            return [reply] * len(group)
        if is_stale(reply):  # again: Redis's clock has jumped in between
            return [StoreRefused("Redis's clock jumps")] * len(group)
        answers: list[Answer[str]] = []
        now_ms, now_s, place = int(reply[0]), time.monotonic(), 1
        for batch in group:
            word = reply[place]
            place += 1
            if word.startswith("failed "):
                answers.append(self._translated(ResponseError(word.partition(" ")[2])))
                continue
            self._note_due(batch.key.tag, word == "opened", now_ms, now_s)
            answers.append(reply[place : place + len(batch.items)])
            place += len(batch.items)
        return answers

    def _single_answers(self, batch: _Batch, replies: list[Any]) -> Sequence[str | BaseException]:
        outcomes: list[str | BaseException] = []
        for reply in replies:
            if isinstance(reply, BaseException):
                outcomes.append(reply)
            elif batch.kind == "leave":
                if reply[2]:
                    self._due_by(batch.key.tag, int(reply[2]))
                outcomes.append(reply[1])
            else:
                now_s = time.monotonic()
                self._note_due(batch.key.tag, reply[1] == "opened", int(reply[0]), now_s)
                outcomes.append(reply[2])
        return outcomes

    def _heartbeat_call(self, group: list[_Batch]) -> Call:
        hour = self._hour()
        all_keys: list[str] = []
        args: list[str | int] = [self.clock(), hour, *self._rule_args]
        for batch in group:
            keys = batch.key
            all_keys += keys.for_heartbeats(hour)
            args.append(len(batch.items))
            session, viewed = keys.session_prefix, keys.viewed_prefix
            for session_id, path, country, client, details in batch.items:
                all_keys += (session + session_id, f"{viewed}{session_id}:{path}")
                args += (path, country, client, details)
        return Call(load("heartbeat"), all_keys, args)

    def _calls(self, group: list[_Batch]) -> list[Call]:
        batch = group[0]
        if batch.kind == "heartbeat":
            return [self._heartbeat_call(group)]
        keys, rules, now = batch.key, self.rules, self.clock()
        if batch.kind == "leave":
            return [
                Call(
                    load("leave"),
                    keys.for_leave(session_id),
                    (now, rules.leave_grace_ms, rules.session_timeout_ms, path),
                )
                for session_id, path in batch.items
            ]
        hour = self._hour()
        return [
            Call(
                load("view"),
                keys.for_view(view.session_id, view.path, hour),
                (
                    now,
                    hour,
                    rules.view_dedup_ms,
                    rules.views_maxlen,
                    rules.max_paths,
                    view.path,
                    view.page_type,
                    view.referrer,
                    rules.new_sessions_per_minute,
                    client,
                ),
            )
            for view, client in batch.items
        ]

    async def _replies(self, groups: list[list[_Batch]]) -> list[Any]:
        """One reply or StoreError per call, in the order of `_calls` over the groups."""
        calls = [call for group in groups for call in self._calls(group)]
        async with self._failures(self._batch_deadline_s):
            replies = await run_many(self.connection.of_a_lane, calls)
            stale = [n for n, reply in enumerate(replies) if is_stale(reply)]
            for reply in replies:
                if isinstance(reply, list):
                    self._learn_clock(reply[0])
            if stale:
                # Nothing was written: the same again with the keys of the hour Redis lives in.
                calls = [call for group in groups for call in self._calls(group)]
                again = await run_many(self.connection.of_a_lane, [calls[n] for n in stale])
                for n, reply in zip(stale, again, strict=True):
                    replies[n] = reply
        if any(isinstance(reply, ClusterCrossSlotError) for reply in replies):
            self.mixes_sites = False  # a proxy before a cluster; the next calls are of one site
        return [self._translated(r) if isinstance(r, Exception) else r for r in replies]

    async def agree_on_shards(self, *, may_note: bool = True) -> None:
        """Notes into how many shards sites are split, or finds that they are split otherwise.
        Without `may_note` nothing is written: whoever only looks decides nothing.

        Raises:
            ShardCountError: they are; whatever was written would not be found by the other copies.
            StoreError: Redis cannot say now.
        """
        ours = str(self.keys.shards)
        async with self._failures():
            is_ours = may_note and await self._client.set(
                self.keys.layout, ours, nx=True, px=LISTS_LIFE_MS
            )
            noted: str | None = None if is_ours else await self._client.get(self.keys.layout)
            # A release that noted nothing may have left sites behind.
            some: list[str] = await self._client.zrange(self.keys.due, 0, 99) if not noted else []
        if some:
            is_split, least = "/" in some[0], 1 + max(map(shard_number, some))
            if is_split != (self.keys.shards > 1) or least > self.keys.shards:
                noted = f"{least} or more" if is_split else "1"
                if is_ours:
                    async with self._failures():
                        await self._client.delete(self.keys.layout)
        if noted not in (ours, None):
            raise ShardCountError(
                f"PRESENCE_SHARDS is {ours}, but what is in Redis below "
                f"{self.keys.prefix}: was written with {noted}: set it to that, or choose another "
                "PRESENCE_KEY_PREFIX to begin anew"
            )

    # The list of due sites

    def _note_due(self, tag: str, is_opened: bool, now_ms: int, now_s: float) -> None:
        if is_opened:
            self._due_by(tag, now_ms)
        elif now_s - self._entered_at.get(tag, -REENTER_S) >= REENTER_S:
            self._due.setdefault(tag, ("NX", now_ms))

    def _due_by(self, tag: str, at_ms: int) -> None:
        how, earlier = self._due.get(tag, ("LT", at_ms))
        self._due[tag] = ("LT", min(earlier, at_ms) if how == "LT" else at_ms)

    def _has_entered(self, task: "asyncio.Task[None]") -> None:
        self._entering = None
        if not task.cancelled() and (error := task.exception()):
            log.error("enter_due_failed", kind=type(error).__name__, exc_info=error)

    async def _enter_all_due(self) -> None:
        """As `_enter_due`, for what is on its way as well."""
        if self._entering is not None:
            await asyncio.wait((self._entering,))
        if self._due:
            await self._enter_due()

    async def _enter_due(self) -> None:
        """Writes what is to be written to `due` and `sites`. What fails is kept for next time:
        the heartbeats themselves have been written."""
        entries, self._due = self._due, {}
        try:
            async with asyncio.timeout(self._batch_deadline_s):
                pipeline = self._client.pipeline(transaction=False)
                for tag, (how, at_ms) in entries.items():
                    pipeline.execute_command("ZADD", self.keys.due, how, at_ms, tag)
                    if how == "NX" or tag not in self._entered_at:
                        pipeline.zadd(self.keys.sites, {site_of(tag): 0})
                for key in (self.keys.due, self.keys.sites, self.keys.layout):
                    pipeline.pexpire(key, LISTS_LIFE_MS)
                await pipeline.execute()
        except BaseException as error:  # a cancellation too
            newer, self._due = self._due, entries
            for tag, (how, at_ms) in newer.items():
                if how == "LT":
                    self._due_by(tag, at_ms)
                else:
                    self._due.setdefault(tag, (how, at_ms))
            if not isinstance(error, FAILURES):
                raise
            self._observe_error(kind_of(error))
            self._enter_due_at = time.monotonic() + ENTER_AGAIN_S
            return
        moment = time.monotonic()
        if len(self._entered_at) > 100_000:
            self._entered_at.clear()
        self._entered_at.update(dict.fromkeys(entries, moment))

    # Sweeping

    async def sweep(self, tag: str, limit: int = SWEEP_LIMIT) -> Sweep:
        """Removes up to `limit` expired sessions of a site shard. Raises as `heartbeat`."""
        (result,) = await self.sweep_many([tag], limit)
        if isinstance(result, StoreError):
            raise result
        return result

    async def sweep_many(
        self, tags: Sequence[str], limit: int = SWEEP_LIMIT
    ) -> list[Sweep | StoreError]:
        """As `sweep`, for many site shards in one go; what one refuses stands in its place."""
        async with self._failures():
            replies = await run_many(self._client, [self._sweep_call(tag, limit) for tag in tags])
            stale = [n for n, reply in enumerate(replies) if is_stale(reply)]
            if stale:
                self._learn_clock(replies[stale[0]][0])
                again = [self._sweep_call(tags[n], limit) for n in stale]
                for n, reply in zip(stale, await run_many(self._client, again), strict=True):
                    replies[n] = reply
        return [
            self._translated(reply) if isinstance(reply, Exception) else _swept(reply)
            for reply in replies
        ]

    def _sweep_call(self, tag: str, limit: int) -> Call:
        hour = self._hour()
        rules = self.rules
        args = (self.clock(), hour, rules.session_timeout_ms, rules.events_maxlen, limit)
        return Call(load("sweep"), self.keys.of_tag(tag).for_sweep(hour), args)

    async def claim(
        self, settled: Sequence[Settlement], lease_ms: int, limit: int
    ) -> tuple[list[Claim], int]:
        """Settles claims and takes the site shards that are due; with Redis's time in ms."""
        await self._enter_all_due()
        args: list[str | int] = [self.clock(), lease_ms, limit]
        for (tag, lease_end), next_ms in settled:
            args += (tag, lease_end, "" if next_ms is None else next_ms)
        now, *flat = await self._read(Call(load("claim"), (self.keys.due,), args))
        return [Claim(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)], int(now)

    async def close(self) -> None:
        """Writes what was accepted, then closes the connections."""
        await self._batcher.close()
        await self._enter_all_due()
        await self.connection.close()


WRITTEN = frozenset(("created", "moved", "refreshed", "duplicate"))
OUTCOMES = WRITTEN | {"limited"}


def _lanes_of(connection: Connection) -> Callable[[ShardKeys], str]:
    if connection.mixes_sites:
        return lambda keys: ""
    return lambda keys: connection.lane_of(keys.tag)


def _swept(reply: Any) -> Sweep:
    now, _, removed, backlog, next_ms = reply
    return Sweep(int(removed), int(backlog), int(next_ms) if next_ms else None, int(now))
