"""What is read of sites: counts, all numbers, what has changed, series, listings and logs."""

import asyncio
import heapq
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ClusterCrossSlotError, ResponseError

from service import models
from service.errors import StoreError, StoreUnreachable
from service.redis.failures import FAILURES
from service.redis.scripts import Call, load, run, run_many
from service.store.keys import MS_PER_HOUR, ShardKeys
from service.store.merge import (
    FEED_LENGTH,
    PLACES_LIMIT,
    TOP_LIMIT,
    Changes,
    Snapshot,
    changes_of,
    contenders,
    last_of,
    merge_snapshots,
    pairs,
    ranked,
    sums_of,
    top_of_one,
    views_of_all,
)
from service.store.paging import read_cursor, read_places, stream_place, write_cursor
from service.store.runner import ScriptRunner

MERGE_DEPTH = 1000  # pages, and places, that each shard lists, where several are merged
LOOKED_AT_ONCE = 500  # sessions, for those of one path among them
CHANGES_LIMIT = 300  # events that are read as changes, in 2 ms; more of them make a snapshot
COUNTED_AT_ONCE = 1000  # pages in one call, or sites in one pipeline
COUNTED_TOGETHER = 100  # sites in one call, which takes Redis half a millisecond or so
READ_SWEEP_LIMIT = 100  # sessions a read removes before it counts


class StoreReader(ScriptRunner):
    """The reading half of the store. Where a site is split, answers are those of all shards."""

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
                parts = await self._snapshots(shards, limit, TOP_LIMIT, PLACES_LIMIT)
                (part,) = parts
                pages, top, paths = list(pairs(part.pages)), top_of_one(part), int(part.paths)
                places = sums_of([part.places])
            else:
                # `top` is bounded by MAX_PATHS and given whole, for its paths are counted too.
                depth = max(limit, MERGE_DEPTH)
                parts = await self._snapshots(shards, depth, -1, MERGE_DEPTH)
                pages = await self._highest(
                    [(keys.pages, part.pages) for keys, part in zip(shards, parts, strict=True)],
                    depth,
                    limit,
                )
                places = await self._highest(
                    [(keys.places, part.places) for keys, part in zip(shards, parts, strict=True)],
                    MERGE_DEPTH,
                    PLACES_LIMIT,
                )
                views = views_of_all(parts)
                top = await self._with_types(shards, ranked(views, TOP_LIMIT))
                paths = len(views.keys() - {"__other__"})
        merged = merge_snapshots(parts, pages, places, top, paths, timeout_ms)
        return merged, [part.event for part in parts]

    async def last_events(self, site: str, places: Sequence[str]) -> list[models.SessionEvent]:
        """The newest arrivals, moves and departures up to these places in the log, oldest first.
        Raises StoreError."""
        async with self._failures():
            pipeline = self._client.pipeline(transaction=False)
            for keys, place in zip(self.keys.of_site(site), places, strict=True):
                pipeline.xrevrange(keys.events, place, "-", FEED_LENGTH)
            lists = await pipeline.execute()
        return last_of(lists)

    async def on_pages(self, site: str, paths: Sequence[str]) -> dict[str, int]:
        """How many are on each of these pages. Raises StoreError."""
        shards = self.keys.of_site(site)
        counts: dict[str, int] = {}
        async with self.deadline():
            for first in range(0, len(paths), COUNTED_AT_ONCE):
                some = list(paths[first : first + COUNTED_AT_ONCE])
                counts |= await self._counts_of(shards, some)
        return counts

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
        self, shards: list[ShardKeys], pages_limit: int, top_limit: int, places_limit: int
    ) -> list[Snapshot]:
        args = (self.rules.events_maxlen, READ_SWEEP_LIMIT, pages_limit, top_limit, places_limit)
        replies = await asyncio.gather(
            *(self._read_hourly("snapshot", keys.for_snapshot, args) for keys in shards)
        )
        return [Snapshot(*reply) for reply in replies]

    async def _highest(
        self, told: list[tuple[str, list[str]]], depth: int, limit: int
    ) -> list[tuple[str, int]]:
        """What most are on, over all shards, by exact counts. `told`: each shard's key of counts,
        and its `depth` highest."""
        lists = [flat for _, flat in told]
        if all(len(flat) < 2 * depth for flat in lists):
            return sums_of(lists)[:limit]  # each told of all it has
        names = contenders(lists, depth, limit)
        async with self._failures():
            pipeline = self._client.pipeline(transaction=False)
            for key, _ in told:
                if names is None:  # so many with so few on each that only all of them tell
                    pipeline.zrange(key, 0, -1, withscores=True)
                elif names:
                    pipeline.execute_command("ZMSCORE", key, *names)
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

    async def history(
        self, site: str, resolution_ms: int, length: int, every: int = 1
    ) -> models.History:
        """The last `length` minutes or hours, `every` of them in one point; points begin at
        multiples of that since the epoch, and the last is not over. Raises StoreError."""
        async with self.deadline():
            active, _, now_ms = await self.count(site, None)
            last = now_ms // resolution_ms
            first = (last // every - max(length // every, 1) + 1) * every
            shards = self.keys.of_site(site)
            per_key = 60 if resolution_ms < MS_PER_HOUR else 24
            numbers = range(first // per_key, last // per_key + 1)
            async with self._failures():
                pipeline = self._client.pipeline(transaction=False)
                for keys in shards:
                    for number in numbers:
                        name = (
                            keys.minutes_of(number) if per_key == 60 else keys.hours_of(number * 24)
                        )
                        pipeline.hgetall(name)
                tables = await pipeline.execute()
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
            peaks[last] = max(peaks.get(last, 0), active)
            return models.History(
                every * resolution_ms,
                [
                    models.Point(
                        begin * resolution_ms,
                        max(peaks.get(index, 0) for index in range(begin, begin + every)),
                        sum(views.get(index, 0) for index in range(begin, begin + every)),
                    )
                    for begin in range(first, last + 1, every)
                ],
                now_ms,
            )

    async def site_names(self, after: str, limit: int) -> list[str]:
        """The sites known to Redis that come after a name, by name. Raises StoreError."""
        low = f"({after}" if after else "-"
        async with self._failures():
            names: list[str] = await self._client.zrangebylex(
                self.keys.sites, low, "+", start=0, num=limit
            )
        return names

    async def sites(self, names: Sequence[str]) -> models.SiteList:
        """How many are on each of these sites, without sweeping any; None where Redis cannot say:
        the node that holds a site, or a shard of it, is down, a key has a wrong type, or the call
        in which it was asked about, with others, is not permitted. Raises StoreUnreachable: none
        can be asked."""
        shards = [keys for name in names for keys in self.keys.of_site(name)]
        lanes: dict[str, list[int]] = {}
        for place, keys in enumerate(shards):
            lanes.setdefault(self.connection.lane_of(keys.tag), []).append(place)
        replies: list[Any] = [None] * len(shards)
        until = asyncio.get_running_loop().time() + self._deadline_s

        async def ask(places: list[int]) -> StoreError | None:
            # Chunk by chunk: a call for each of thousands of sites would take all connections.
            for begin in range(0, len(places), COUNTED_AT_ONCE):
                some = places[begin : begin + COUNTED_AT_ONCE]
                answers: list[Any]
                try:
                    async with asyncio.timeout_at(until):
                        answers = await self._counted([shards[place].active for place in some])
                except FAILURES as error:
                    answers = [error] * len(some)
                for place, answer in zip(some, answers, strict=True):
                    replies[place] = answer
            errors = (replies[place] for place in places)
            return next((self._translated(e) for e in errors if isinstance(e, BaseException)), None)

        failures = await asyncio.gather(*map(ask, lanes.values()))
        counts = [None if isinstance(r, BaseException) else int(r[1]) for r in replies]
        moments = [int(r[0]) for r in replies if not isinstance(r, BaseException)]
        for failure in failures:
            if not moments and isinstance(failure, StoreUnreachable):
                raise failure
        rows = []
        for n, name in enumerate(names):
            parts = counts[n * self.keys.shards : (n + 1) * self.keys.shards]
            known = [part for part in parts if part is not None]
            rows.append(models.SiteCount(name, sum(known) if len(known) == len(parts) else None))
        return models.SiteList(rows, None, min(moments, default=self._about_now_ms()))

    async def _counted(self, keys: Sequence[str]) -> list[tuple[str, str] | Exception]:
        """By key of `active`: Redis's time and how many are active, or why it cannot say. Raises
        what Redis's way raises."""
        each = COUNTED_TOGETHER if self.mixes_sites else 1
        groups = [keys[begin : begin + each] for begin in range(0, len(keys), each)]
        script = load("sites")
        calls = [Call(script, group, (self.clock(),)) for group in groups]
        answers: list[tuple[str, str] | Exception] = []
        for group, reply in zip(groups, await run_many(self._client, calls), strict=True):
            if isinstance(reply, ClusterCrossSlotError) and each > 1:
                self.mixes_sites = False
                return await self._counted(keys)
            if isinstance(reply, Exception):
                answers += [reply] * len(group)
                continue
            now, *counts = reply
            for count in counts:
                _, is_failed, error = count.partition("failed ")
                answers.append(ResponseError(error) if is_failed else (now, count))
        return answers

    async def _now_at(self, keys: ShardKeys) -> int:
        """The time of the node that holds a shard, in ms: of a cluster's nodes each has its own,
        and another one may be down."""
        now, *_ = await self._read(Call(load("count"), keys.for_count(), (self.clock(), 0, 0)))
        return int(now)

    async def session(self, site: str, session_id: str) -> models.Session | None:
        """One active session, or None. Raises StoreError."""
        async with self.deadline():
            keys = self.keys.of_session(site, session_id)
            now_ms = await self._now_at(keys)
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
        """Active sessions, shard after shard, in each those first that expire first. One that beats
        while pages are read moves towards the end, so it may come twice but is never missed.

        Raises:
            RequestError: 422, the cursor is none of ours.
            StoreError: Redis cannot do it now.
        """
        async with self.deadline():
            shards = self.keys.of_site(site)
            shard, score, member = read_cursor(cursor) if cursor else (0, 0.0, "")
            now_ms = await self._now_at(shards[min(shard, len(shards) - 1)])
            found: list[models.Session] = []
            looked_at = 0
            rows_limit = limit if path is None else max(limit, LOOKED_AT_ONCE)
            while shard < len(shards) and len(found) < limit and looked_at < 5_000:
                keys = shards[shard]
                async with self._failures():
                    place = (self.clock(), f"{score:.1f}", member, rows_limit)
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


def _member(session_id: str, fields: dict[str, str]) -> str:
    return f"{session_id} {fields.get('country', '--')} {fields.get('path', '')}"


def _session(session_id: str, fields: dict[str, str], score: float, now_ms: int) -> models.Session:
    # The clock may have been set back: nothing was seen in the future.
    seen = min(int(fields["seen"]), now_ms)
    since = min(int(fields["since"]), seen)
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
