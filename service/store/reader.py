"""Reads sites: counts, snapshots and changes.

Nothing here writes, so a replica could answer it. Expired sessions that are not swept yet are left
out, up to a stated number a shard.
"""

from collections.abc import Callable, Sequence

from service import models
from service.redis.scripts import Command
from service.store.keys import ShardKeys
from service.store.layout import SiteLayouts
from service.store.merge import (
    EVENTS_SHOWN,
    PLACES_LIMIT,
    TOP_LIMIT,
    Changes,
    ShardSnapshot,
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
from service.store.paging import BEGINNING, padded, stream_position
from service.store.runner import ScriptRunner
from service.store.users import StoreUsers

MERGE_DEPTH = 1000  # pages, and places, that each shard lists, where several are merged
CHANGES_LIMIT = 300  # events that are read as changes, in 2 ms; more of them make a snapshot
COUNTED_AT_ONCE = 1000  # pages in one call
EVERYTHING = 1_000_000_000


class StoreReader:
    """The reading half of the store. Where a site is split, answers are those of all shards."""

    def __init__(self, runner: ScriptRunner, users: StoreUsers) -> None:
        self._runner = runner
        self._users = users

    async def active(self, site: str, path: str | None = None) -> models.Active:
        """Counts active sessions of a site, or of one page. Raises StoreError."""
        active, on_path, as_of = await self.count(site, path)
        return models.Active(active if path is None else on_path, as_of)

    async def count(
        self, site: str, path: str | None, *, is_current: bool = False
    ) -> tuple[int, int, int]:
        """Counts active sessions, and those on `path`; returns both and the moment, ms. What
        `is_current` has everything that was written before. Raises StoreError."""
        args = ("pages", *([path] if path else ()))
        shards = self._runner.keys.with_sessions(site)
        replies = await self._runner.read("count", shards, lambda n: args, is_current=is_current)
        counts = [reply for (reply,) in replies]
        return (
            sum(int(reply[1]) for reply in counts),
            sum(int(reply[2]) for reply in counts) if path else 0,
            min(int(reply[0]) for reply in counts),
        )

    def _shards(self, site: str) -> list[ShardKeys]:
        return self._runner.keys.of_site(site)

    async def stats(self, site: str, limit: int = TOP_LIMIT) -> models.Stats:
        """Takes a snapshot of a site: all its numbers, of one moment per shard. Raises
        StoreError."""
        stats, _ = await self.stats_and_positions(site, limit)
        return stats

    async def stats_and_positions(
        self, site: str, limit: int = TOP_LIMIT
    ) -> tuple[models.Stats, list[str]]:
        """Like `stats`, with the positions in `events` from which `changes` goes on."""
        shards, layouts = self._shards(site), self._runner.keys.layouts_of(site)
        timeout_ms = self._runner.config.session_timeout_ms
        async with self._runner.failures():
            if len(shards) == 1:
                parts = await self._snapshots(site, shards, limit, TOP_LIMIT, PLACES_LIMIT)
                (part,) = parts
                pages, top, paths = list(pairs(part.pages))[:limit], top_of_one(part), part.paths
                places = list(pairs(part.places))[:PLACES_LIMIT]
            else:
                # `top` is bounded by MAX_PATHS and given whole, for its paths are counted too.
                depth = max(limit, MERGE_DEPTH)
                parts = await self._snapshots(site, shards, depth, -1, MERGE_DEPTH)
                pages = await self._highest(site, shards, "pages", parts, depth, limit)
                places = await self._highest(
                    site, shards, "places", parts, MERGE_DEPTH, PLACES_LIMIT
                )
                views = views_of_all(parts)
                top = await self._with_types(shards, ranked(views, TOP_LIMIT))
                paths = len(views.keys() - {"__other__"})
            users = parts[0].users
            if users is not None and len(shards) > 1:
                users = await self._users.count_users(site)
        merged = merge_snapshots(parts, pages, places, top, paths, users, timeout_ms)
        return merged, _positions(layouts, [part.event for part in parts])

    async def last_events(self, site: str, positions: Sequence[str]) -> list[models.SessionEvent]:
        """The newest arrivals, moves and departures up to these positions in the log, oldest
        first. Raises StoreError."""
        shards = self._runner.keys.with_logs(site)
        return last_of(
            await self._runner.look(
                ("XREVRANGE", keys.events, position, "-", "COUNT", EVENTS_SHOWN)
                for keys, position in zip(shards, padded(positions, len(shards)), strict=True)
            )
        )

    async def on_pages(self, site: str, paths: Sequence[str]) -> dict[str, int]:
        """Counts active sessions on each of these pages. Raises StoreError."""
        async with self._runner.failures():
            return await self._counts_of(site, "pages", paths)

    async def at_places(self, site: str, names: Sequence[str]) -> dict[str, int]:
        """Counts active sessions at each of these places, or that came so. Raises StoreError."""
        async with self._runner.failures():
            return await self._counts_of(site, "places", names)

    async def changes(self, site: str, positions: Sequence[str]) -> Changes | None:
        """What has changed since the log was read so far; None: so much, or so long ago, that
        only `stats` can tell. Raises StoreError."""
        keys, maxlen = self._runner.keys, self._runner.config.events_maxlen
        shards, layouts = self._shards(site), keys.layouts_of(site)
        known, folded = padded(positions, len(keys.with_logs(site))), layouts.folded_shards
        if layouts.archive:
            since_ms = layouts.archive.since_ms
            if any(stream_position(one)[0] < since_ms for one in known[:folded]):
                return None  # told before these were folded: whether all was read is not known
            known = [BEGINNING, *known[folded:]]
        async with self._runner.failures():
            replies = await self._runner.read(
                "changes",
                shards,
                lambda n: (maxlen, known[n], CHANGES_LIMIT),
                self._uniques_of(site, shards, with_today=False),
            )
            if any(reply[1] == "lost" for reply, *_ in replies):
                return None
            counts = dict(pairs([text for reply, *_ in replies for text in reply[5]]))
            if counts and len(shards) > 1:  # the others have sessions on these pages as well
                counts = await self._counts_of(site, "pages", list(counts))
        first = folded - 1 if folded else 0  # of the archive nothing is logged
        changes = changes_of([(reply, sum(uniques)) for reply, *uniques in replies], counts, first)
        return changes._replace(positions=_positions(layouts, changes.positions))

    def _uniques_of(
        self, site: str, shards: list[ShardKeys], *, with_today: bool
    ) -> Callable[[ShardKeys, int], Sequence[Command]]:
        """The commands that count unique visitors, by shard. Of layouts that follow one another
        somebody may be in several: where one server holds all, they are counted as one."""
        if site not in self._runner.keys.layouts or not self._runner.allows_cross_slot:
            return lambda keys, hour: (
                ("PFCOUNT", keys.uniques),
                *([("PFCOUNT", keys.uniques_of(hour))] if with_today else ()),
            )
        return lambda keys, hour: (
            (
                ("PFCOUNT", *(shard.uniques for shard in shards)),
                *([("PFCOUNT", *(s.uniques_of(hour) for s in shards))] if with_today else ()),
            )
            if keys is shards[0]
            else ()
        )

    async def _counts_of(self, site: str, kind: str, names: Sequence[str]) -> dict[str, int]:
        """Counts active sessions on these pages, or at these places, over all shards."""
        shards = self._runner.keys.with_sessions(site)
        counts: dict[str, int] = {}
        for first in range(0, len(names), COUNTED_AT_ONCE):
            some = names[first : first + COUNTED_AT_ONCE]
            replies = await self._runner.read("count", shards, lambda n, some=some: (kind, *some))  # type: ignore[misc]
            for index, name in enumerate(some, 2):
                counts[name] = sum(int(reply[index]) for (reply,) in replies)
        return counts

    async def _snapshots(
        self,
        site: str,
        shards: list[ShardKeys],
        pages_limit: int,
        top_limit: int,
        places_limit: int,
    ) -> list[ShardSnapshot]:
        args = (pages_limit, top_limit, places_limit)
        replies = await self._runner.read(
            "snapshot",
            shards,
            lambda n: args,
            self._uniques_of(site, shards, with_today=True),
        )
        return [ShardSnapshot.of(*reply) for reply in replies]

    async def _highest(
        self,
        site: str,
        shards: list[ShardKeys],
        kind: str,
        parts: list[ShardSnapshot],
        depth: int,
        limit: int,
    ) -> list[tuple[str, int]]:
        """The pages, or places, that most are on over all shards, by exact counts. `parts` have
        the `depth` highest of each shard."""

        def lists_of(parts: list[ShardSnapshot]) -> list[list[str]]:
            return [part.pages if kind == "pages" else part.places for part in parts]

        # What is behind `depth` may be less than what a shard did not list: expired sessions are
        # taken off only what it did.
        lists = [flat[: 2 * depth] for flat in lists_of(parts)]
        if any(len(flat) >= 2 * depth for flat in lists):
            names = contenders(lists, depth, limit)
            if names is not None:
                return ranked(await self._counts_of(site, kind, names), limit)
            # Too many names with too low counts for the bound: only all of them tell.
            lists = lists_of(await self._snapshots(site, shards, EVERYTHING, 0, EVERYTHING))
        return sums_of(lists)[:limit]

    async def _with_types(
        self, shards: list[ShardKeys], top: list[tuple[str, int]]
    ) -> list[models.PathViews]:
        if not top:
            return []
        paths = [path for path, _ in top]
        replies = await self._runner.look(("HMGET", keys.types, *paths) for keys in shards)
        # For each path what each shard knows: the newest layout knows best, as in an archive.
        told = zip(*reversed(replies), strict=True)
        return [
            models.PathViews(path, views, next((kind for kind in kinds if kind), None))
            for (path, views), kinds in zip(top, told, strict=True)
        ]


def _positions(layouts: SiteLayouts, read: list[str]) -> list[str]:
    """The positions in all logs of a site, from those of the shards that have numbers. Of what is
    folded nothing follows the moment since when it is."""
    if layouts.archive is None:
        return read
    return [f"{layouts.archive.since_ms}-0"] * layouts.folded_shards + read[1:]
