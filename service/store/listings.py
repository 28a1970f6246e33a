"""Listings for operators: active sessions, and the log of page views."""

import heapq

from service import models
from service.store.keys import ShardKeys
from service.store.members import Member
from service.store.paging import (
    read_cursor,
    read_site_positions,
    stream_position,
    write_cursor,
)
from service.store.runner import ScriptRunner

LOOKED_AT_ONCE = 500  # sessions, for those of one path among them


class Listings:
    """Lists sessions and page views, a page at a time."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def session(self, site: str, session_id: str) -> models.Session | None:
        """One active session, or None. Raises StoreError."""
        keys = self._runner.keys
        async with self._runner.failures():
            shards = [keys.of_session(site, session_id), *keys.former_of_session(site, session_id)]
            for shard in shards:
                if (found := await self._session_in(shard, session_id)) is not None:
                    return found
            return None

    async def _session_in(self, keys: ShardKeys, session_id: str) -> models.Session | None:
        runner = self._runner
        async with runner.failures():
            now_ms = await self._now_at(keys)
            (fields,) = await runner.look([("HGETALL", keys.session(session_id))])
            if not fields:
                return None
            member = _member(session_id, fields)
            (score,) = await runner.look([("ZSCORE", keys.active, member)])
            if score is None or float(score) <= now_ms:
                return None
            return _session(session_id, fields, float(score), now_ms)

    async def sessions(
        self, site: str, *, limit: int, cursor: str | None, path: str | None
    ) -> models.SessionPage:
        """Active sessions, shard after shard, in each those first that expire first. One that beats
        while pages are read moves towards the end, so it may come twice but is never missed.

        Raises:
            RequestError: 422, the cursor was not given by an earlier answer.
            StoreError: Redis cannot do it now.
        """
        runner = self._runner
        async with runner.failures():
            shards = self._runner.keys.with_logs(site)
            first = self._runner.keys.layouts_of(site).folded_shards  # nobody is in these
            shard, score, member = read_cursor(cursor) if cursor else (first, 0.0, "")
            now_ms = await self._now_at(shards[min(shard, len(shards) - 1)])
            found: list[models.Session] = []
            looked_at = 0
            rows_limit = limit if path is None else max(limit, LOOKED_AT_ONCE)
            while shard < len(shards) and len(found) < limit and looked_at < 5_000:
                keys = shards[shard]
                position = (f"{score:.1f}", member, rows_limit)
                ((reply,),) = await runner.read("list", [keys], lambda n, p=position: p)  # type: ignore[misc]
                _, _, *flat = reply
                rows = list(zip(flat[::2], map(float, flat[1::2]), strict=True))
                looked_at += max(len(rows), 1)
                if not rows:
                    shard, score, member = shard + 1, 0.0, ""
                    continue
                chosen = []
                for row_member, row_score in rows:
                    score, member = row_score, row_member
                    parsed = Member.parse(row_member)
                    if parsed and path in (None, parsed.path):
                        chosen.append((parsed.session, row_score))
                        if len(found) + len(chosen) == limit:
                            break
                hashes = await runner.look(
                    ("HGETALL", keys.session(session_id)) for session_id, _ in chosen
                )
                found += [
                    _session(session_id, fields, row_score, now_ms)
                    for (session_id, row_score), fields in zip(chosen, hashes, strict=True)
                    if fields
                ]
            next_cursor = write_cursor(shard, score, member) if shard < len(shards) else None
            return models.SessionPage(found, next_cursor, now_ms)

    async def views(self, site: str, *, after: str, limit: int) -> models.ViewPage:
        """Page views after a position in the log, in order. `after` is a stream id, or, where sites
        are split, what an earlier answer gave as `next`.

        Raises:
            RequestError: 422, `after` is neither.
            StoreError: Redis cannot do it now.
        """
        shards = self._runner.keys.with_logs(site)
        layouts = self._runner.keys.layouts_of(site).in_force
        positions = read_site_positions(after or "0", layouts)
        lists = await self._runner.look(
            ("XRANGE", keys.views, f"({position}" if position != "0" else "-", "+", "COUNT", limit)
            for keys, position in zip(shards, positions, strict=True)
        )
        merged = heapq.merge(
            *(
                [(stream_position(entry_id), n, entry_id, fields) for entry_id, fields in entries]
                for n, entries in enumerate(lists)
            ),
            key=lambda row: row[:2],
        )
        found: list[models.View] = []
        for _, n, entry_id, fields in merged:
            if len(found) == limit:
                break
            positions[n] = entry_id
            found.append(_view(entry_id, fields))
        return models.ViewPage(found, ",".join(positions))

    async def last_views_position(self, site: str) -> str:
        """Where the log of page views ends now, to be given as `after`."""
        lists = await self._runner.look(
            ("XREVRANGE", keys.views, "+", "-", "COUNT", 1)
            for keys in self._runner.keys.with_logs(site)
        )
        return ",".join(entries[0][0] if entries else "0" for entries in lists)

    async def _now_at(self, keys: ShardKeys) -> int:
        """The time of the node that holds a shard, in ms: of a cluster's nodes each has its own,
        and another one may be down."""
        ((reply,),) = await self._runner.read("count", [keys], lambda n: ("pages",))
        return int(reply[0])


def _member(session_id: str, fields: dict[str, str]) -> str:
    country, path = fields.get("country", "--"), fields.get("path", "")
    return str(Member(session_id, country, path, fields.get("user", "")))


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
        userId=fields.get("user"),
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
