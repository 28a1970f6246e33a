"""Reads the log of what sessions did, `events`, from any position on, and says where it has been
trimmed. Nothing here writes, so a replica could answer it.

Events of one session are in order, for a session is always in the same shard. Where a site is split
the logs of its shards are merged by their ids, which are moments of their nodes' clocks; what a
shard logs while another is read comes with the next page, so that none is skipped or repeated.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET

from service import models
from service.redis.replies import appended, pairs_of
from service.redis.scripts import Command
from service.store.event_log import CARRIED, ERASED
from service.store.keys import ShardKeys
from service.store.paging import read_site_positions, stream_position
from service.store.runner import ScriptRunner

MOST_EVENTS = 1000  # in a page: what Redis and this process answer in a few ms, whoever else waits
LEAST_OF_A_SHARD = 16  # entries that are read of each, into however many a site is split
START = "0"  # before every entry

Entry = tuple[str, dict[str, str]]


class _Row(NamedTuple):
    """An entry with what it is ordered by."""

    position: tuple[int, int]
    shard: int
    entry_id: str
    fields: Mapping[str, str]

    @property
    def order(self) -> tuple[tuple[int, int], int]:
        return self.position, self.shard


class StoreEvents:
    """Lists what happened on sites, a page at a time."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def events(self, site: str, *, after: str, limit: int) -> models.EventPage:
        """What follows a position in the log, at most `limit` events. `after` is a stream id, or
        a moment in ms, or what an earlier answer gave as `next`; empty: from the beginning.

        Raises:
            RequestError: 422, `after` is none of these.
            StoreError: Redis cannot do it now.
        """
        shards = self._runner.keys.with_logs(site)
        layouts = self._runner.keys.layouts_of(site).in_force
        positions = read_site_positions(after or "0", layouts)
        count = max(limit // len(shards), LEAST_OF_A_SHARD)
        seen_empty = await self._empty_from_now(shards, positions)
        # The oldest entry is read last: where it is not behind the position then, nothing that
        # follows the position was trimmed before.
        replies = await self._look(
            shards,
            (
                command
                for keys, position in zip(shards, positions, strict=True)
                for command in (
                    ("XRANGE", keys.events, _start(position), "+", "COUNT", count),
                    ("XRANGE", keys.events, "-", "+", "COUNT", 1),
                )
            ),
        )
        lists = [_rows(n, entries) for n, entries in enumerate(replies[::2])]
        broken = await self._broken(shards, positions, lists, replies[1::2])
        for n, rows in enumerate(lists):
            if not rows and _is_start(positions[n]):
                positions[n] = seen_empty
        # Beyond the last entry of a shard that has more of them, the order is not known yet.
        ends = [rows[-1].order for rows in lists if len(rows) == count]
        known_to = min(ends, default=None)
        found: list[models.LoggedEvent] = []
        truncated_before: str | None = None
        is_cut = False
        for row in heapq.merge(*lists, key=lambda row: row.order):
            is_cut = len(found) == limit or (known_to is not None and row.order > known_to)
            if is_cut:
                break
            positions[row.shard] = row.entry_id
            if row.fields.get("type") in CARRIED:  # nobody came or went
                continue
            event = _event(row, len(shards), is_after_gap=row.shard in broken)
            if event.gapBefore:
                broken.remove(row.shard)
                truncated_before = event.id
            found.append(event)
        return models.EventPage(
            found, ",".join(positions), is_cut or bool(ends), truncated_before or UNSET
        )

    async def newest_events(self, site: str, limit: int) -> models.EventPage:
        """The last events, oldest first, with the position at which the log ends. Raises
        StoreError."""
        shards = self._runner.keys.with_logs(site)
        seen_empty = await self._empty_from_now(shards, [START])
        replies = await self._look(
            shards,
            (("XREVRANGE", keys.events, "+", "-", "COUNT", max(limit, 1)) for keys in shards),
        )
        lists = [_rows(n, entries[::-1]) for n, entries in enumerate(replies)]
        merged = [
            row
            for row in heapq.merge(*lists, key=lambda row: row.order)
            if row.fields.get("type") not in CARRIED
        ]
        found = [_event(row, len(shards)) for row in merged[max(len(merged) - limit, 0) :]]
        return models.EventPage(
            found, ",".join(rows[-1].entry_id if rows else seen_empty for rows in lists), False
        )

    async def _look(self, shards: Sequence[ShardKeys], commands: Iterable[Command]) -> list[Any]:
        """What the logs of all shards answer. The position in a single one stands, should the site
        be split later, for that moment in all: it must not be one of a shard that was retired
        meanwhile, which logs departures still. There the last command fails."""
        if len(shards) > 1:
            return list(await self._runner.look(commands))
        *replies, _ = await self._runner.look([*commands, ("ZCARD", shards[0].active)])
        return replies

    async def _empty_from_now(self, shards: Sequence[ShardKeys], positions: Sequence[str]) -> str:
        """The position of whoever finds a log empty, if one of these may be: before every entry,
        as 0 is, with the moment in it, so that it can be told when a log that nobody has read may
        have come and gone since."""
        if not any(map(_is_start, positions)):
            return START
        ((reply,),) = await self._runner.read("count", shards[:1], lambda n: ("pages",))
        return f"0-{reply[0]}"

    async def _broken(
        self,
        shards: Sequence[ShardKeys],
        positions: Sequence[str],
        lists: Sequence[Sequence[_Row]],
        oldest: Sequence[Sequence[Entry]],
    ) -> set[int]:
        """The shards of whose log something may be missing between the position and what follows
        it: trimmed, or expired with the whole log after SITE_IDLE."""
        broken = set()
        at_start = []
        for n, rows in enumerate(lists):
            position = stream_position(positions[n])
            if rows and position[0] == 0:
                at_start.append(n)
                # One that began after it was empty then lives for SITE_IDLE, at least.
                begins, was_empty = rows[0].position[0], position[1]
                if was_empty and begins - was_empty >= self._runner.config.site_idle_ms:
                    broken.add(n)
            elif rows and not (oldest[n] and stream_position(oldest[n][0][0]) <= position):
                broken.add(n)
        return broken | await self._trimmed([(n, shards[n]) for n in at_start])

    async def _trimmed(self, shards: Sequence[tuple[int, ShardKeys]]) -> set[int]:
        """Of these shards, by number, those whose log has ever lost an entry."""
        config = self._runner.config
        infos = (
            await self._runner.look(("XINFO", "STREAM", keys.events) for _, keys in shards)
            if shards
            else ()
        )
        lost = set()
        for (n, _), info in zip(shards, infos, strict=True):
            length = int(dict(pairs_of(info))["length"])
            ever = appended(info)
            # Before Redis 7 nobody counts what was trimmed: then a log that may have been is taken
            # as trimmed.
            may_be = length >= config.events_maxlen or config.events_days > 0
            if may_be if ever is None else ever > length:
                lost.add(n)
        return lost


def _is_start(position: str) -> bool:
    return stream_position(position)[0] == 0


def _start(position: str) -> str:
    return "-" if _is_start(position) else f"({position}"


def _rows(shard: int, entries: Sequence[Entry]) -> list[_Row]:
    return [
        _Row(stream_position(entry_id), shard, entry_id, fields) for entry_id, fields in entries
    ]


def _event(row: _Row, shards: int, *, is_after_gap: bool = False) -> models.LoggedEvent:
    """An entry of the log. Ids of different shards may be the same, so the shard is added."""
    fields, country = row.fields, row.fields.get("country", "--")
    kind, is_of_somebody = fields.get("type", ""), fields.get("type") != ERASED
    return models.LoggedEvent(
        id=row.entry_id if shards == 1 else f"{row.entry_id}/{row.shard}",
        at=int(fields.get("at", row.position[0])),
        type=kind,
        sessionId=fields.get("session"),
        path=fields.get("path") if is_of_somebody else None,
        from_=fields.get("from"),
        country=country if country != "--" else None,
        userId=fields.get("user"),
        fromUserId=fields.get("was") or None,
        reason=fields.get("reason"),
        gapBefore=is_after_gap,
    )
