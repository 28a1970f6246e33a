"""Peaks and views over time, and what they were a day or some weeks before."""

from collections.abc import Iterable, Sequence
from statistics import median

from msgspec import UNSET

from service import models
from service.store.keys import HOURS_PER_DAY, MS_PER_HOUR, ShardKeys
from service.store.reader import StoreReader
from service.store.runner import ScriptRunner

DAY_MS = HOURS_PER_DAY * MS_PER_HOUR
UNIT_MS = {"minutes": 60_000, "hours": MS_PER_HOUR, "days": DAY_MS}
# How long a table is kept (lua/include/history.lua), so that what is older is not known to be 0.
KEPT_MS = {"minutes": 2 * DAY_MS, "hours": 400 * DAY_MS, "days": 400 * DAY_MS}
# What a series may be compared with: so many days before; of several, with their median.
COMPARISONS = {"day": (1,), "week": (7,), "4weeks": (7, 14, 21, 28)}

Span = tuple[int, int]  # from one moment to another one, ms


class StoreHistory:
    """Reads the history of a site."""

    def __init__(self, runner: ScriptRunner, reader: StoreReader) -> None:
        self._runner = runner
        self._reader = reader

    async def history(
        self, site: str, unit: str, length: int, every: int = 1, compare: str | None = None
    ) -> models.History:
        """The last `length` minutes, hours or days (UTC), `every` of them in one point; points
        begin at multiples of that since the epoch, and the last is not over.

        Raises:
            StoreError: Redis cannot tell now.
        """
        step_ms = UNIT_MS[unit] * every
        shifts = [days * DAY_MS for days in COMPARISONS[compare]] if compare else []
        layouts = self._runner.keys.by_layout(site)
        shards = [keys for layout in layouts for keys in layout]
        async with self._runner.failures():
            active, _, now_ms = await self._reader.count(site, None)
            last = now_ms // step_ms * step_ms
            first = last - (max(length // every, 1) - 1) * step_ms
            starts = range(first, last + 1, step_ms)
            tables = _Tables(unit, step_ms)
            spans = [(first - shift, last + step_ms - shift) for shift in (0, *shifts)]
            await self._fill(tables, layouts, spans, now_ms)
            tables.note_now(now_ms, active)
            since = await self._since(shards)
            # Of what was before, a part is never held against a whole.
            whole_from = max(since if since is not None else now_ms, now_ms - KEPT_MS[unit])
            before = {
                start: [start - shift for shift in shifts if start - shift >= whole_from]
                for start in starts[:-1]
            }
            if unit == "days":
                wanted = {*starts, *(begin for begins in before.values() for begin in begins)}
                tables.uniques = await self._uniques(site, shards, sorted(wanted), step_ms, now_ms)

        def point(start: int) -> models.Point:
            if unit == "days" and (since is None or start + step_ms <= since):
                values: models.PointValues = models.PointValues(None, None, None)
            else:
                values = tables.values(start)
            previous = _median([tables.values(begin) for begin in before.get(start, ())])
            return models.Point(
                start,
                values.peakActive,
                values.views,
                values.uniqueVisitors,
                previous if compare else UNSET,
            )

        return models.History(step_ms, [point(start) for start in starts], since, now_ms)

    async def _fill(
        self,
        tables: "_Tables",
        layouts: Sequence[Sequence[ShardKeys]],
        spans: Iterable[Span],
        now_ms: int,
    ) -> None:
        """Reads no more tables than may be there."""
        per_key = tables.per_key_ms
        first, last = (now_ms - tables.kept_ms) // per_key, now_ms // per_key
        numbers = sorted(
            {
                number
                for begin, end in spans
                for number in range(
                    max(begin // per_key, first), min((end - 1) // per_key, last) + 1
                )
            }
        )
        hours = [number * per_key // MS_PER_HOUR for number in numbers]
        replies = await self._runner.look(
            ("HGETALL", keys.minutes_of(hour) if tables.has_minutes else keys.hours_of(hour))
            for shards in layouts
            for keys in shards
            for hour in hours
        )
        rest = iter(replies)
        for shards in layouts:
            peaks: dict[int, int] = {}
            for _ in shards:
                for number in numbers:
                    tables.add(number, next(rest), peaks)
            tables.note_peaks(peaks)

    async def _since(self, shards: Sequence[ShardKeys]) -> int | None:
        """When tracking began: the first page view."""
        moments = await self._runner.look(("HGET", keys.totals, "since") for keys in shards)
        return min((int(moment) for moment in moments if moment), default=None)

    async def _uniques(
        self,
        site: str,
        shards: Sequence[ShardKeys],
        starts: Sequence[int],
        step_ms: int,
        now_ms: int,
    ) -> dict[int, int]:
        """Unique visitors by the start of a point; one who came on several of its days counts
        once. Redis merges no more days than may be there, for each takes it some 40 µs."""
        first = max(starts[0], (now_ms - KEPT_MS["days"]) // DAY_MS * DAY_MS)
        is_one = site in self._runner.keys.layouts and self._runner.allows_cross_slot
        counts = await self._runner.look(
            (
                "PFCOUNT",
                *(
                    keys.uniques_of(day // MS_PER_HOUR)
                    for keys in some
                    for day in range(max(start, first), min(start + step_ms, now_ms + 1), DAY_MS)
                ),
            )
            for some in ([shards] if is_one else [[keys] for keys in shards])
            for start in starts
        )
        return {start: sum(counts[n :: len(starts)]) for n, start in enumerate(starts)}


class _Tables:
    """Peaks and views by minute, or by hour; days are made of hours."""

    def __init__(self, unit: str, step_ms: int) -> None:
        self.has_minutes = unit == "minutes"
        self.kept_ms = KEPT_MS[unit]
        self.per_key_ms = MS_PER_HOUR if self.has_minutes else DAY_MS
        self.uniques: dict[int, int] = {}  # by the start of a point
        self._cell_ms = min(UNIT_MS[unit], MS_PER_HOUR)
        self._step_ms = step_ms
        self._peaks: dict[int, int] = {}
        self._views: dict[int, int] = {}

    def add(self, number: int, table: dict[str, str], peaks: dict[int, int]) -> None:
        """Adds what a shard has noted under the key of that number; peaks to those of its
        layout."""
        first = number * self.per_key_ms // self._cell_ms
        for name, value in table.items():
            kind, _, position = name.partition(":")
            series = peaks if kind == "peak" else self._views
            cell = first + int(position)
            series[cell] = series.get(cell, 0) + int(value)

    def note_peaks(self, peaks: dict[int, int]) -> None:
        """Takes over those of a layout. A session is in one at a time, so where the site is split
        anew both have seen nearly all of them: the higher one counts."""
        for cell, count in peaks.items():
            self._peaks[cell] = max(self._peaks.get(cell, 0), count)

    def note_now(self, now_ms: int, active: int) -> None:
        """Nobody may have noted this minute yet."""
        cell = now_ms // self._cell_ms
        self._peaks[cell] = max(self._peaks.get(cell, 0), active)

    def values(self, start: int) -> models.PointValues:
        """Those of the point that starts then."""
        cells = range(start // self._cell_ms, (start + self._step_ms) // self._cell_ms)
        return models.PointValues(
            max(self._peaks.get(cell, 0) for cell in cells),
            sum(self._views.get(cell, 0) for cell in cells),
            self.uniques.get(start, UNSET),
        )


def _median(points: Sequence[models.PointValues]) -> models.PointValues | None:
    """What is usual, each number for itself; None: nothing is known."""
    if not points:
        return None
    uniques = [point.uniqueVisitors for point in points]
    return models.PointValues(
        round(median(point.peakActive or 0 for point in points)),
        round(median(point.views or 0 for point in points)),
        UNSET if UNSET in uniques else round(median(count or 0 for count in uniques)),
    )
