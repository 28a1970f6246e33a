"""An archive: one shard with the sums of what several shards have counted that nobody writes to.

Logs, and the users who were there, are not in it: they name somebody, and stay until they expire.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from redis.client import NEVER_DECODE

from service.errors import StoreBusy
from service.redis.replies import pairs_of
from service.redis.scripts import Command
from service.store.keys import HOURS_PER_DAY, MS_PER_HOUR, ShardKeys
from service.store.runner import ScriptRunner

DAY_MS = HOURS_PER_DAY * MS_PER_HOUR
UNFINISHED_LIFE_MS = MS_PER_HOUR  # of all that is written, until the whole is there
AT_ONCE = 50  # commands in a call: with days of 800 sources each, some 10 ms of Redis
FIELDS_AT_ONCE = 1000  # in a command
ROWS_AT_ONCE = 10_000  # pages that are read by a call, however many MAX_PATHS allows

Progress = Callable[[int, int], None]  # how many steps are done, of how many


class Dated(NamedTuple):
    """A key that is named after an hour, or its day."""

    kind: str
    hour: int

    def of(self, shard: ShardKeys) -> str:
        """Its name in a shard."""
        names = {
            "minutes": shard.minutes_of,
            "hours": shard.hours_of,
            "sources": shard.sources_of,
            "uniques": shard.uniques_of,
        }
        return names[self.kind](self.hour)

    @property
    def ends_ms(self) -> int:
        """When it expires at the latest (lua/include/history.lua, visitors.lua)."""
        if self.kind == "minutes":
            return (self.hour + 1) * MS_PER_HOUR + 2 * DAY_MS
        return (self.hour // HOURS_PER_DAY + 1) * DAY_MS + 400 * DAY_MS


def dated_of(hour: int, kinds: Sequence[str]) -> list[Dated]:
    """All keys of these kinds that may be there in an hour, in one shard."""
    return [
        Dated(kind, hour - n * (1 if kind == "minutes" else HOURS_PER_DAY))
        for kind in kinds
        for n in range(50 if kind == "minutes" else 402)
    ]


class Sums:
    """What shards have counted, but for unique visitors."""

    def __init__(self) -> None:
        self.views = 0
        self.since: int | None = None
        self.top: Counter[str] = Counter()
        self.types: dict[str, str] = {}
        self.tables: dict[Dated, dict[str, int]] = {}

    def add_totals(self, totals: dict[str, str]) -> None:
        """Adds those of a shard."""
        self.views += int(totals.get("views", 0))
        if since := int(totals.get("since", 0)):
            self.since = min(since, self.since or since)

    def add_rows(self, rows: Iterable[tuple[str, str]], types: Iterable[str | None]) -> None:
        """Adds the views of pages in a shard, of which it knows these types."""
        for (path, views), kind in zip(rows, types, strict=True):
            self.top[path] += int(float(views))
            if kind:
                self.types[path] = kind

    def add_tables(self, tables: Iterable[tuple[Dated, dict[str, str]]]) -> None:
        """Adds those of all shards of a layout. Layouts follow one another, so of their peaks the
        highest counts; those of shards are of one moment, about."""
        peaks: Counter[tuple[Dated, str]] = Counter()
        for dated, table in tables:
            for name, value in table.items():
                if name.startswith("peak:"):
                    peaks[dated, name] += int(value)
                elif dated.kind != "sources" or " " in name:  # else how many names there are
                    sums = self.tables.setdefault(dated, {})
                    sums[name] = sums.get(name, 0) + int(value)
        for (dated, name), count in peaks.items():
            sums = self.tables.setdefault(dated, {})
            sums[name] = max(sums.get(name, 0), count)

    def rows(self, most: int) -> dict[str, int]:
        """The views by path: of no more paths than a shard may have, and of all others together."""
        self.top.pop("__other__", None)
        rows = dict(self.top.most_common(most))
        others = self.views - sum(rows.values())
        return rows | {"__other__": others} if others else rows


class ArchiveWriter:
    """Makes an archive.

    Args:
        layouts: the shards whose numbers go into it, by layout.
        archive: an empty shard that nobody knows yet.
        now_ms: Redis's time, as it has just told it: what is dated later is not there.
        progress: told how far it is.
    """

    def __init__(
        self,
        runner: ScriptRunner,
        layouts: Sequence[Sequence[ShardKeys]],
        archive: ShardKeys,
        now_ms: int,
        progress: Progress,
    ) -> None:
        self._runner = runner
        self._layouts = layouts
        self._shards = [shard for layout in layouts for shard in layout]
        self._archive = archive
        self._now_ms = now_ms
        self._hour = now_ms // MS_PER_HOUR
        self._progress = progress
        self._ends_ms: dict[str, int | None] = {}  # by key, None: never

    async def write(self) -> None:
        """Writes it; `keep` has it outlive an hour. Raises StoreError."""
        total = len(self._shards) + 1
        sums = Sums()
        done = 0
        for layout in self._layouts:
            tables = []
            for shard in layout:
                tables += await self._read(shard, sums)
                done += 1
                self._progress(done, total)
            sums.add_tables(tables)
        await self._in_turn(list(self._commands(sums)))
        await self._merge_uniques()
        self._progress(total, total)

    async def keep(self) -> None:
        """From now on its keys live as long as those that they were made of. Raises StoreError:
        some are gone, as after a pause of an hour, or after a failover."""
        found = await self._in_turn(
            [
                ("PERSIST", name)
                if ends_ms is None
                else ("PEXPIRE", name, max(ends_ms - self._now_ms, 1))
                for name, ends_ms in self._ends_ms.items()
            ]
        )
        if not all(found):
            raise StoreBusy("what was written is gone before all of it was there; try again")

    async def _read(self, shard: ShardKeys, sums: Sums) -> list[tuple[Dated, dict[str, str]]]:
        """Adds the totals of a shard; returns its tables."""
        runner = self._runner
        totals, pages = await runner.commands([("HGETALL", shard.totals), ("ZCARD", shard.top)])
        sums.add_totals(totals)
        for first in range(0, pages, ROWS_AT_ONCE):
            last = first + ROWS_AT_ONCE - 1
            (top,) = await runner.commands([("ZRANGE", shard.top, first, last, "WITHSCORES")])
            if rows := list(pairs_of(top)):
                paths = [path for path, _ in rows]
                (types,) = await runner.commands([("HMGET", shard.types, *paths)])
                sums.add_rows(rows, types)
        dated = dated_of(self._hour, ("minutes", "hours", "sources"))
        tables = await self._in_turn([("HGETALL", one.of(shard)) for one in dated])
        return list(zip(dated, tables, strict=True))

    def _commands(self, sums: Sums) -> Iterable[Command]:
        """What writes the sums."""
        archive, rows = self._archive, sums.rows(self._runner.config.max_paths)
        if sums.views:
            since = ("since", sums.since) if sums.since else ()
            yield ("HSET", archive.totals, "views", sums.views, *since)
            yield self._ending(archive.totals, None)
            yield from _by_fields("ZADD", archive.top, [(n, path) for path, n in rows.items()])
            yield self._ending(archive.top, None)
        if types := [(path, kind) for path, kind in sums.types.items() if path in rows]:
            yield from _by_fields("HSET", archive.types, types)
            yield self._ending(archive.types, self._now_ms + 400 * DAY_MS)
        for dated, table in sums.tables.items():
            yield from _by_fields("HSET", dated.of(archive), list(table.items()))
            yield self._ending(dated.of(archive), dated.ends_ms)

    def _ending(self, name: str, ends_ms: int | None) -> Command:
        """What has a key expire soon, unless `keep` says that it ends then; None: never."""
        self._ends_ms[name] = ends_ms
        return "PEXPIRE", name, UNFINISHED_LIFE_MS

    async def _merge_uniques(self) -> None:
        """Unique visitors of all time, and of each day: who is in several shards counts once."""
        archive, dated = self._archive, dated_of(self._hour, ("uniques",))
        targets = [archive.uniques, *(one.of(archive) for one in dated)]
        sources = [[s.uniques, *(one.of(s) for one in dated)] for s in self._shards]
        found = await self._in_turn([("EXISTS", name) for names in sources for name in names])
        there = iter(found)
        by_target: dict[str, list[str]] = {}
        for names in sources:
            for target, name in zip(targets, names, strict=True):
                if next(there):
                    by_target.setdefault(target, []).append(name)
        for target, names in by_target.items():
            await self._merge(target, names)
        ends = {archive.uniques: None, **{one.of(archive): one.ends_ms for one in dated}}
        await self._in_turn([self._ending(target, ends[target]) for target in by_target])

    async def _merge(self, target: str, names: Sequence[str]) -> None:
        runner, client = self._runner, self._runner.client
        if runner.allows_cross_slot:
            await runner.commands([("PFMERGE", target, *names)])
            return
        # Slots share no step, but bytes can be carried from one to another.
        copy = f"{self._archive.base}copied"
        for name in names:
            async with runner.failures():
                raw = await client.execute_command("GET", name, **{NEVER_DECODE: []})
            if raw is not None:
                await runner.commands(
                    [
                        ("SET", copy, raw, "PX", UNFINISHED_LIFE_MS),
                        ("PFMERGE", target, copy),
                        ("UNLINK", copy),
                    ]
                )

    async def _in_turn(self, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = []
        for first in range(0, len(commands), AT_ONCE):
            replies += await self._runner.commands(commands[first : first + AT_ONCE])
        return replies


def names_of(shard: ShardKeys, hour: int) -> list[str]:
    """The keys of a shard that an archive makes needless, the most important last."""
    return [
        *(d.of(shard) for d in dated_of(hour, ("minutes", "hours", "sources", "uniques"))),
        shard.pages, shard.countries, shard.located, shard.places,
        shard.top_order, shard.types, shard.top, shard.totals, shard.uniques,
    ]  # fmt: skip


def _by_fields(command: str, key: str, rows: Sequence[tuple[Any, Any]]) -> Iterable[Command]:
    for first in range(0, len(rows), FIELDS_AT_ONCE):
        some = rows[first : first + FIELDS_AT_ONCE]
        yield (command, key, *(value for row in some for value in row))
