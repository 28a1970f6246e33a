"""PresenceStore: the one class that speaks to Redis.

Everything that decides is in `lua/`; this class names keys, formats arguments, reads replies and
merges shards. Every failure of Redis leaves it as a StoreError without secrets in it.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.exceptions import ClusterCrossSlotError, ResponseError

from service import models
from service.batcher import Answer, Batch, Batcher, Waiter
from service.connection import BATCH_DEADLINE_S, DEADLINE_S, Connection
from service.errors import StoreBusy, StoreError, StoreRefused
from service.failures import FAILURES, as_store_error, kind_of
from service.gathered import Gathered
from service.keys import MS_PER_HOUR, Keys, ShardKeys, site_of
from service.merging import (
    PLACES_LIMIT,
    TOP_LIMIT,
    Changes,
    Snapshot,
    changes_of,
    contenders,
    merge_snapshots,
    pairs,
    ranked,
    sums_of,
    top_of_one,
    views_of_all,
)
from service.paging import read_cursor, read_places, stream_place, write_cursor
from service.scripts import Call, load, run, run_many

SWEEP_LIMIT = 150  # sessions removed by one call: 1 to 2 ms in which Redis serves nobody else
MERGE_DEPTH = 1000  # pages that each shard lists, where several are merged
CHANGES_LIMIT = 1000  # events that are read as changes; more of them make a snapshot
READ_SWEEP_LIMIT = 100  # sessions a read removes before it counts
LISTS_LIFE_MS = 400 * 86_400_000  # of `due` and `sites`, after anybody was on any site
CALL_LIMIT = 128  # heartbeats of one call, of all its sites: about 3 ms of Redis
REENTER_S = 60.0  # how often a copy makes sure that a site it hears of is on the list of due ones


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides about sessions and views. Times in ms, lengths in entries."""

    heartbeat_dedup_ms: int = 10_000
    session_timeout_ms: int = 120_000
    view_dedup_ms: int = 1_800_000
    leave_grace_ms: int = 3_000
    views_from_heartbeats: bool = True
    site_idle_ms: int = 86_400_000
    events_maxlen: int = 10_000
    views_maxlen: int = 100_000
    max_paths: int = 10_000
    new_sessions_per_minute: int = 0


class Beat(NamedTuple):
    """A heartbeat as it is handed to the script. `client` is the keyed hash of an address, empty
    where no limit applies; `details` is JSON or empty."""

    session_id: str
    path: str
    country: str
    client: str
    details: str


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


class PresenceStore:
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
        rules: Rules,
        *,
        observe_batch: Callable[[int, float], None] = lambda size, seconds: None,
        observe_error: Callable[[str], None] = lambda kind: None,
        deadline_s: float = DEADLINE_S,
        batch_deadline_s: float = BATCH_DEADLINE_S,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.rules = rules
        self._deadline_s = deadline_s
        self._batch_deadline_s = batch_deadline_s
        self.clock: Callable[[], str] = lambda: ""
        # redis-py's types say bytes or str everywhere; here it is always str.
        self._client: Any = connection.client
        self._observe_batch = observe_batch
        self._observe_error = observe_error
        self._batcher: Batcher[ShardKeys, Any, str] = Batcher(self._send, _lanes_of(connection))
        self._mixes_sites = connection.mixes_sites
        self._clock_offset_ms = 0.0
        self._due: dict[str, tuple[str, int]] = {}
        self._entered_at: dict[str, float] = {}
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

    async def heartbeat(self, site: str, beat: Beat) -> str:
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

    def submit(self, site: str, beat: Beat, waiter: Waiter[str]) -> None:
        """As `heartbeat`, for one who does not want to wait: the waiter is told the outcome,
        which, if it is none of OUTCOMES, `settle` turns into one. Raises StoreBusy."""
        self._batcher.submit(self.keys.of_session(site, beat.session_id), "heartbeat", beat, waiter)

    async def settle(self, site: str, beat: Beat, outcome: str) -> str:
        """The outcome of `heartbeat`, after one that is none of OUTCOMES; raises as it does."""
        if outcome not in OUTCOMES:
            keys = self.keys.of_session(site, beat.session_id)
            outcome = await self._settle_outcome(keys, beat, outcome)
        if outcome == "failed":
            raise StoreRefused("a key of this session has the wrong type: run presence doctor")
        return outcome

    async def heartbeat_and_count(self, site: str, beat: Beat) -> tuple[str, tuple[int, int, int]]:
        """As `heartbeat`, and `count` of its path after it, within one deadline."""
        async with self.deadline():
            outcome = await self.heartbeat(site, beat)
            return outcome, await self.count(site, beat.path)

    async def heartbeats(self, site: str, beats: Sequence[Beat]) -> list[str]:
        """As `heartbeat`, for many, in order; those of one shard travel in one call.

        One whose own keys have a wrong type is `failed`; the others are written all the same.
        """
        gathered: Gathered[str] = Gathered(len(beats))
        keys_of = [self.keys.of_session(site, beat.session_id) for beat in beats]
        try:
            self._batcher.submit_all(keys_of, "heartbeat", beats, gathered.places())
        except StoreBusy:
            gathered.cancel()
            raise
        outcomes = await gathered.results()
        for place, outcome in enumerate(outcomes):
            if outcome not in OUTCOMES:
                outcomes[place] = await self._settle_outcome(keys_of[place], beats[place], outcome)
        return outcomes

    async def _settle_outcome(self, keys: ShardKeys, beat: Beat, outcome: str) -> str:
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

    async def leave(self, site: str, session_id: str) -> str:
        """Says goodbye: `leaving` or `unknown`. Raises as `heartbeat`."""
        keys = self.keys.of_session(site, session_id)
        return await self._batcher.result_of(keys, "leave", session_id)

    async def view(self, site: str, view: models.PageView, *, client: str = "") -> str:
        """Records a page view: `recorded`, `duplicate` or `limited`. Raises as `heartbeat`."""
        keys = self.keys.of_session(site, view.sessionId)
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
        if self._due:
            await self._enter_due()
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
                is_open = batch.kind == "heartbeat" and self._mixes_sites
                room = CALL_LIMIT - size if is_open else 0
        return groups

    def _heartbeat_answers(self, group: list[_Batch], reply: Any) -> list[Answer[str]]:
        """What one call of heartbeats says, by batch."""
        if isinstance(reply, BaseException):
            return [reply] * len(group)
        answers: list[Answer[str]] = []
        now_ms, place = int(reply[0]), 1
        for batch in group:
            word = reply[place]
            place += 1
            if word.startswith("failed "):
                answers.append(self._translated(ResponseError(word.partition(" ")[2])))
                continue
            self._note_due(batch.key.tag, word == "opened", now_ms)
            answers.append(reply[place : place + len(batch.items)])
            place += len(batch.items)
        return answers

    def _single_answers(self, batch: _Batch, replies: list[Any]) -> Sequence[str | BaseException]:
        outcomes: list[str | BaseException] = []
        for reply in replies:
            if isinstance(reply, BaseException):
                outcomes.append(reply)
            elif batch.kind == "leave":
                if reply[1] == "leaving":
                    self._due_by(batch.key.tag, int(reply[2]))
                outcomes.append(reply[1])
            else:
                self._note_due(batch.key.tag, reply[1] == "opened", int(reply[0]))
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
                    (now, rules.leave_grace_ms, rules.session_timeout_ms),
                )
                for session_id in batch.items
            ]
        hour = self._hour()
        return [
            Call(
                load("view"),
                keys.for_view(view.sessionId, view.path, hour),
                (
                    now,
                    hour,
                    rules.view_dedup_ms,
                    rules.views_maxlen,
                    rules.max_paths,
                    view.path,
                    view.pageType or "",
                    view.referrer or "",
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
            stale = [n for n, reply in enumerate(replies) if _is_stale(reply)]
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
            self._mixes_sites = False  # a proxy before a cluster; the next calls are of one site
        return [self._translated(r) if isinstance(r, Exception) else r for r in replies]

    # The list of due sites

    def _note_due(self, tag: str, is_opened: bool, now_ms: int) -> None:
        if is_opened:
            self._due_by(tag, now_ms)
        elif time.monotonic() - self._entered_at.get(tag, -REENTER_S) >= REENTER_S:
            self._due.setdefault(tag, ("NX", now_ms))

    def _due_by(self, tag: str, at_ms: int) -> None:
        how, earlier = self._due.get(tag, ("LT", at_ms))
        self._due[tag] = ("LT", min(earlier, at_ms) if how == "LT" else at_ms)

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
                for key in (self.keys.due, self.keys.sites):
                    pipeline.pexpire(key, LISTS_LIFE_MS)
                await pipeline.execute()
        except FAILURES as error:
            self._observe_error(kind_of(error))
            self._due = entries | self._due
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
            stale = [n for n, reply in enumerate(replies) if _is_stale(reply)]
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
        if self._due:
            await self._enter_due()
        args: list[str | int] = [self.clock(), lease_ms, limit]
        for (tag, lease_end), next_ms in settled:
            args += (tag, lease_end, "" if next_ms is None else next_ms)
        now, *flat = await self._read(Call(load("claim"), (self.keys.due,), args))
        return [Claim(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)], int(now)

    # Reading

    async def active(self, site: str, path: str | None = None) -> models.Active:
        """How many are here, or on one page. Raises StoreError."""
        active, on_path, as_of = await self.count(site, path)
        return models.Active(active if path is None else on_path, as_of)

    async def count(self, site: str, path: str | None) -> tuple[int, int, int]:
        """Active sessions, those on `path`, and the moment in ms. Raises StoreError."""
        args = (self.clock(), self.rules.events_maxlen, READ_SWEEP_LIMIT, *([path] if path else ()))
        replies = await self._read_all(
            Call(load("count"), keys.for_count(), args) for keys in self.keys.of_site(site)
        )
        return (
            sum(int(reply[1]) for reply in replies),
            sum(int(reply[2]) for reply in replies) if path else 0,
            min(int(reply[0]) for reply in replies),
        )

    async def stats(self, site: str, limit: int = TOP_LIMIT) -> models.Stats:
        """All numbers of a site, of one moment per shard. Raises StoreError."""
        stats, _ = await self.stats_and_places(site, limit)
        return stats

    async def stats_and_places(
        self, site: str, limit: int = TOP_LIMIT
    ) -> tuple[models.Stats, list[str]]:
        """As `stats`, with the places in the log from which `changes` goes on."""
        shards = self.keys.of_site(site)
        timeout_ms = self.rules.session_timeout_ms
        async with self.deadline():
            if len(shards) == 1:
                parts = await self._snapshots(shards, limit, TOP_LIMIT)
                (part,) = parts
                pages, top, paths = list(pairs(part.pages)), top_of_one(part), int(part.paths)
            else:
                # `top` is bounded by MAX_PATHS and given whole, for its paths are counted too.
                parts = await self._snapshots(shards, max(limit, MERGE_DEPTH), -1)
                pages = await self._highest_pages(shards, [part.pages for part in parts], limit)
                views = views_of_all(parts)
                top = await self._with_types(shards, ranked(views, TOP_LIMIT))
                paths = len(views.keys() - {"__other__"})
        merged = merge_snapshots(parts, pages, top, paths, timeout_ms)
        return merged, [part.event for part in parts]

    async def changes(self, site: str, places: Sequence[str]) -> Changes | None:
        """What has changed since the log was read so far; None: so much, or so long ago, that
        only `stats` can tell. Raises StoreError."""
        shards = self.keys.of_site(site)
        args = (self.clock(), self.rules.events_maxlen, READ_SWEEP_LIMIT)
        async with self.deadline():
            replies = await self._read_all(
                Call(load("changes"), keys.for_changes(), (*args, place, CHANGES_LIMIT))
                for keys, place in zip(shards, places, strict=True)
            )
            if any(reply[1] == "lost" for reply in replies):
                return None
            counts = dict(pairs([text for reply in replies for text in reply[6]]))
            if counts and len(shards) > 1:  # the others have sessions on these pages as well
                counts = await self._counts_of(shards, list(counts))
        return changes_of(replies, counts)

    async def _counts_of(self, shards: list[ShardKeys], paths: list[str]) -> dict[str, int]:
        args: tuple[str | int, ...] = (
            self.clock(),
            self.rules.events_maxlen,
            READ_SWEEP_LIMIT,
            *paths,
        )
        replies = await self._read_all(
            Call(load("count"), keys.for_count(), args) for keys in shards
        )
        return {path: sum(int(reply[n]) for reply in replies) for n, path in enumerate(paths, 2)}

    async def _snapshots(
        self, shards: list[ShardKeys], pages_limit: int, top_limit: int
    ) -> list[Snapshot]:
        args = (self.rules.events_maxlen, READ_SWEEP_LIMIT, pages_limit, top_limit, PLACES_LIMIT)
        replies = await asyncio.gather(
            *(self._read_hourly("snapshot", keys.for_snapshot, args) for keys in shards)
        )
        return [Snapshot(*reply) for reply in replies]

    async def _highest_pages(
        self, shards: list[ShardKeys], lists: list[list[str]], limit: int
    ) -> list[tuple[str, int]]:
        """The pages most are on, over all shards, by exact counts."""
        depth = max(limit, MERGE_DEPTH)
        if all(len(flat) < 2 * depth for flat in lists):
            return sums_of(lists)[:limit]  # each told of all it has
        names = contenders(lists, depth, limit)
        async with self._failures():
            pipeline = self._client.pipeline(transaction=False)
            for keys in shards:
                if names is None:  # so many with so few on each that only all of them tell
                    pipeline.zrange(keys.pages, 0, -1, withscores=True)
                elif names:
                    pipeline.execute_command("ZMSCORE", keys.pages, *names)
            replies = await pipeline.execute()
        sums: dict[str, int] = {}
        for reply in replies:
            for name, count in reply if names is None else zip(names, reply, strict=True):
                sums[name] = sums.get(name, 0) + int(count or 0)
        return ranked(sums, limit)

    async def _with_types(
        self, shards: list[ShardKeys], top: list[tuple[str, int]]
    ) -> list[models.PathViews]:
        if not top:
            return []
        paths = [path for path, _ in top]
        async with self._failures():
            pipeline = self._client.pipeline(transaction=False)
            for keys in shards:
                pipeline.hmget(keys.types, paths)
            replies = await pipeline.execute()
        told = zip(*replies, strict=True)  # for each path what each shard knows
        return [
            models.PathViews(path, views, next((kind for kind in kinds if kind), None))
            for (path, views), kinds in zip(top, told, strict=True)
        ]

    async def history(self, site: str, resolution_ms: int, points: int) -> models.History:
        """The last `points` minutes or hours. Raises StoreError."""
        async with self.deadline():
            now_ms = await self.now_ms()
            first = now_ms // resolution_ms - points + 1
            shards = self.keys.of_site(site)
            per_key = 60 if resolution_ms < MS_PER_HOUR else 24
            numbers = range(first // per_key, (first + points - 1) // per_key + 1)
            async with self._failures():
                pipeline = self._client.pipeline(transaction=False)
                for keys in shards:
                    for number in numbers:
                        name = (
                            keys.minutes_of(number) if per_key == 60 else keys.hours_of(number * 24)
                        )
                        pipeline.hgetall(name)
                tables = await pipeline.execute()
            active, _, _ = await self.count(site, None)
            peaks: dict[int, int] = {}
            views: dict[int, int] = {}
            for n, table in enumerate(tables):
                number = numbers[n % len(numbers)]
                for name, value in table.items():
                    kind, _, place = name.partition(":")
                    series = peaks if kind == "peak" else views
                    index = number * per_key + int(place)
                    series[index] = series.get(index, 0) + int(value)
            # Nobody may have noted this minute yet.
            last = first + points - 1
            peaks[last] = max(peaks.get(last, 0), active)
            return models.History(
                resolution_ms,
                [
                    models.Point(index * resolution_ms, peaks.get(index, 0), views.get(index, 0))
                    for index in range(first, last + 1)
                ],
                now_ms,
            )

    async def sites(self) -> models.SiteList:
        """The sites known to Redis, with how many are on each. Raises StoreError."""
        async with self.deadline():
            async with self._failures():
                names: list[str] = await self._client.zrange(self.keys.sites, 0, -1)
            now_ms = await self.now_ms()
            async with self._failures():
                pipeline = self._client.pipeline(transaction=False)
                for name in names:
                    for keys in self.keys.of_site(name):
                        pipeline.zcount(keys.active, f"({now_ms}", "+inf")
                counts = await pipeline.execute() if names else []
            per_site = self.keys.shards
            return models.SiteList(
                [
                    models.SiteCount(name, sum(counts[n * per_site : (n + 1) * per_site]))
                    for n, name in enumerate(names)
                ],
                now_ms,
            )

    async def session(self, site: str, session_id: str) -> models.Session | None:
        """One active session, or None. Raises StoreError."""
        async with self.deadline():
            keys = self.keys.of_session(site, session_id)
            now_ms = await self.now_ms()
            async with self._failures():
                fields = await self._client.hgetall(keys.session(session_id))
                if not fields:
                    return None
                score = await self._client.zscore(keys.active, _member(session_id, fields))
            if score is None or score <= now_ms:
                return None
            return _session(session_id, fields, score, now_ms)

    async def sessions(
        self, site: str, *, limit: int, cursor: str | None, path: str | None
    ) -> models.SessionPage:
        """Active sessions, those first that expire first. One that beats while pages are read
        moves towards the end, so it may come twice but is never missed.

        Raises:
            RequestError: 422, the cursor is none of ours.
            StoreError: Redis cannot do it now.
        """
        async with self.deadline():
            shards = self.keys.of_site(site)
            shard, score, member = read_cursor(cursor) if cursor else (0, 0.0, "")
            now_ms = await self.now_ms()
            found: list[models.Session] = []
            looked_at = 0
            while shard < len(shards) and len(found) < limit and looked_at < 5_000:
                keys = shards[shard]
                async with self._failures():
                    place = (self.clock(), f"{score:.1f}", member, limit)
                    _, *flat = await run(self._client, Call(load("list"), keys.for_list(), place))
                    rows = list(zip(flat[::2], map(float, flat[1::2]), strict=True))
                    looked_at += max(len(rows), 1)
                    if not rows:
                        shard, score, member = shard + 1, 0.0, ""
                        continue
                    chosen = []
                    for row_member, row_score in rows:
                        score, member = row_score, row_member
                        session_id, _, row_path = row_member.split(" ", 2)
                        if path is None or row_path == path:
                            chosen.append((session_id, row_score))
                            if len(found) + len(chosen) == limit:
                                break
                    pipeline = self._client.pipeline(transaction=False)
                    for session_id, _ in chosen:
                        pipeline.hgetall(keys.session(session_id))
                    hashes = await pipeline.execute() if chosen else []
                found += [
                    _session(session_id, fields, row_score, now_ms)
                    for (session_id, row_score), fields in zip(chosen, hashes, strict=True)
                    if fields
                ]
            next_cursor = write_cursor(shard, score, member) if shard < len(shards) else None
            return models.SessionPage(found, next_cursor, now_ms)

    async def views(self, site: str, *, after: str, limit: int) -> models.ViewPage:
        """Page views after a place in the log, in order. `after` is a stream id, or, where sites
        are split, what an earlier answer gave as `next`.

        Raises:
            RequestError: 422, `after` is none of both.
            StoreError: Redis cannot do it now.
        """
        shards = self.keys.of_site(site)
        places = read_places(after, len(shards))
        async with self._failures():
            pipeline = self._client.pipeline(transaction=False)
            for keys, place in zip(shards, places, strict=True):
                pipeline.xrange(keys.views, f"({place}" if place != "0" else "-", "+", limit)
            lists = await pipeline.execute()
        merged = heapq.merge(
            *(
                [(stream_place(entry_id), n, entry_id, fields) for entry_id, fields in entries]
                for n, entries in enumerate(lists)
            ),
            key=lambda row: row[:2],
        )
        found: list[models.View] = []
        for _, n, entry_id, fields in merged:
            if len(found) == limit:
                break
            places[n] = entry_id
            found.append(_view(entry_id, fields))
        return models.ViewPage(found, ",".join(places))

    async def last_views_place(self, site: str) -> str:
        """Where the log of page views ends now, to be given as `after`."""
        async with self._failures():
            pipeline = self._client.pipeline(transaction=False)
            for keys in self.keys.of_site(site):
                pipeline.xrevrange(keys.views, "+", "-", 1)
            lists = await pipeline.execute()
        return ",".join(entries[0][0] if entries else "0" for entries in lists)

    async def now_ms(self) -> int:
        """Redis's time. Raises StoreError."""
        given = self.clock()
        if given:
            return int(given)
        async with self._failures():
            seconds, microseconds = await self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def probe(self) -> None:
        """Writes for real. Raises StoreError."""
        async with self._failures():
            await self._client.set(self.keys.probe, "1", px=60_000)

    async def close(self) -> None:
        """Writes what was accepted, then closes the connections."""
        await self._batcher.close()
        await self.connection.close()

    # How calls are made

    def _hour(self) -> int:
        """The hour that Redis is thought to live in; the scripts say when it is another."""
        given = self.clock()
        now_ms = int(given) if given else time.time() * 1000 + self._clock_offset_ms
        return int(now_ms // MS_PER_HOUR)

    def _learn_clock(self, now_text: str) -> None:
        if not self.clock():
            self._clock_offset_ms = int(now_text) - time.time() * 1000

    async def _read_hourly(
        self, script: str, keys_of: Callable[[int], Sequence[str]], args: Sequence[str | int]
    ) -> Any:
        for _ in range(2):
            hour = self._hour()
            reply = await self._read(Call(load(script), keys_of(hour), (self.clock(), hour, *args)))
            if reply[1] != "stale":
                break
            self._learn_clock(reply[0])
        return reply

    async def _read(self, call: Call) -> Any:
        async with self._failures():
            return await run(self._client, call)

    async def _read_all(self, calls: Iterable[Call]) -> list[Any]:
        async with self._failures():
            replies = await run_many(self._client, list(calls))
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """One deadline around several operations, so that an answer made of many is in time too.

        Raises:
            StoreError: Redis cannot do it now.
        """
        async with self._failures():
            yield

    @asynccontextmanager
    async def _failures(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Ends what takes too long, and turns what Redis answers into a StoreError."""
        try:
            async with asyncio.timeout(seconds or self._deadline_s):
                yield
        except FAILURES as error:
            raise self._translated(error) from error

    def _translated(self, error: BaseException) -> StoreError:
        kind = kind_of(error)
        self._observe_error(kind)
        return as_store_error(kind)


WRITTEN = frozenset(("created", "moved", "refreshed", "duplicate"))
OUTCOMES = WRITTEN | {"limited"}


def _lanes_of(connection: Connection) -> Callable[[ShardKeys], str]:
    if connection.mixes_sites:
        return lambda keys: ""
    return lambda keys: connection.lane_of(keys.tag)


def _swept(reply: Any) -> Sweep:
    now, _, removed, backlog, next_ms = reply
    return Sweep(int(removed), int(backlog), int(next_ms) if next_ms else None, int(now))


def _is_stale(reply: Any) -> bool:
    return isinstance(reply, list) and reply[1] == "stale"


def _member(session_id: str, fields: dict[str, str]) -> str:
    return f"{session_id} {fields.get('country', '--')} {fields.get('path', '')}"


def _session(session_id: str, fields: dict[str, str], score: float, now_ms: int) -> models.Session:
    # The clock may have been set back: nothing was seen in the future.
    seen, since = min(int(fields["seen"]), now_ms), min(int(fields["since"]), now_ms)
    latitude, longitude = fields.get("latitude"), fields.get("longitude")
    return models.Session(
        sessionId=session_id,
        currentPath=fields["path"],
        lastSeen=seen,
        since=since,
        expiresAt=round(score + 0.5) if score % 1 else int(score),
        pageType=fields.get("type"),
        country=fields.get("country"),
        city=fields.get("city"),
        latitude=float(latitude) if latitude else None,
        longitude=float(longitude) if longitude else None,
    )


def _view(entry_id: str, fields: dict[str, str]) -> models.View:
    return models.View(
        id=entry_id,
        at=int(fields["at"]),
        sessionId=fields["session"],
        path=fields["path"],
        pageType=fields.get("type"),
        referrer=fields.get("referrer"),
        country=fields.get("country"),
    )
