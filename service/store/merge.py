"""Merges the answers of a site's shards into one.

A session is always in the same shard, so counts add up. The pages of a site may be as many as its
sessions, so of these each shard gives its highest only; `contenders` says which of them can be
among the highest of all (the threshold algorithm: Fagin, Lotem, Naor 2001).
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from service import models
from service.store.event_log import CARRIED, ERASED
from service.store.sources import counts_of_kinds, split_sources

EVENTS_SHOWN = 20  # arrivals, moves and departures told with one event of a stream
TOP_LIMIT = 50
PLACES_LIMIT = 500


class Entry(NamedTuple):
    """An event, with its shard and its position in that shard's stream."""

    shard: int
    position: str
    event: models.SessionEvent


class Changes(NamedTuple):
    """What has changed at a site. `positions`: up to where each shard's `events` were read; `log`:
    what was read, by the moment it happened; `users`: of whom it was."""

    change: models.Change
    positions: list[str]
    log: list[Entry]
    users: frozenset[str] = frozenset()


class ShardSnapshot(NamedTuple):
    """A shard's numbers, by snapshot.lua and PFCOUNT; expired sessions are taken off."""

    now: int
    active: int
    backlog: int
    pages: list[str]
    countries: list[str]
    places: list[str]
    sources: list[str]
    views: int
    since: int | None
    top: list[str]
    paths: int
    event: str
    users: int | None
    uniques: int
    uniques_today: int

    @classmethod
    def of(cls, reply: list[Any], uniques: int = 0, uniques_today: int = 0) -> "ShardSnapshot":
        """Reads the reply of snapshot.lua and those of PFCOUNT, unless another shard has them."""
        now, _, active, backlog, pages, countries, places, *rest = reply
        expired_pages, expired_countries, expired_places, views, since, top, paths, *rest = rest
        event, *users = rest
        places, sources = split_sources(_without(places, expired_places))
        return cls(
            int(now),
            int(active),
            int(backlog),
            _without(pages, expired_pages),
            _without(countries, expired_countries),
            places,
            sources,
            int(views),
            int(since) if since else None,
            top,
            int(paths),
            event,
            int(users[0]) if users else None,
            uniques,
            uniques_today,
        )


def _without(counts: list[str], expired: list[str]) -> list[str]:
    """Returns the counts, highest first, without the expired sessions."""
    if not expired:
        return counts
    left = dict(pairs(counts))
    for name, count in pairs(expired):
        if name in left:
            left[name] -= count
    return [text for name, count in ranked(left) for text in (name, str(count))]


def pairs(flat: list[str]) -> Iterable[tuple[str, int]]:
    """Yields the pairs of a flat list of names and counts."""
    return ((flat[n], int(flat[n + 1])) for n in range(0, len(flat), 2))


def sums_of(lists: Iterable[list[str]]) -> list[tuple[str, int]]:
    """Adds up counts by name over all lists; highest first, equal ones by name."""
    all_lists = list(lists)
    if len(all_lists) == 1:
        return list(pairs(all_lists[0]))
    sums: dict[str, int] = {}
    for flat in all_lists:
        for name, count in pairs(flat):
            sums[name] = sums.get(name, 0) + count
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))


def contenders(lists: list[list[str]], depth: int, limit: int) -> list[str] | None:
    """The names that can be among the `limit` highest sums.

    Each list is flat, name and count, the `depth` highest of a shard or all it has. None: one that
    is in no list could be among them too, so deeper lists are needed.
    """
    known: dict[str, int] = {}
    floors = []  # the most that a name can have in a shard that did not list it
    listed = []
    for flat in lists:
        counts = dict(pairs(flat))
        listed.append(counts)
        floors.append(int(flat[-1]) if len(counts) >= depth else 0)
        for name, count in counts.items():
            known[name] = known.get(name, 0) + count
    unlisted_most = sum(floors)
    certain = sorted(known.values(), reverse=True)
    bar = certain[limit - 1] if len(certain) >= limit else 0
    if bar <= unlisted_most:
        return None
    return [
        name
        for name, count in known.items()
        if count + sum(f for f, counts in zip(floors, listed, strict=True) if name not in counts)
        >= bar
    ]


def ranked(sums: dict[str, int], limit: int | None = None) -> list[tuple[str, int]]:
    """Names with their sums, most first, equal ones by name, without those at zero."""
    rows = [row for row in sums.items() if row[1] > 0]
    if limit is None:
        limit = len(rows)
    return heapq.nsmallest(limit, rows, key=lambda row: (-row[1], row[0]))


def top_of_one(part: ShardSnapshot) -> list[models.PathViews]:
    """The most viewed pages, from the reply of one shard, which has their types."""
    rows = (part.top[n : n + 3] for n in range(0, len(part.top), 3))
    return [models.PathViews(path, int(views), kind or None) for path, views, kind in rows]


def views_of_all(parts: list[ShardSnapshot]) -> dict[str, int]:
    """The views of every path, from the replies of several shards."""
    sums: dict[str, int] = {}
    for part in parts:
        for path, views in pairs(part.top):
            sums[path] = sums.get(path, 0) + views
    return sums


def merge_snapshots(
    parts: list[ShardSnapshot],
    pages: list[tuple[str, int]],
    places: list[tuple[str, int]],
    top: list[models.PathViews],
    paths: int,
    users: int | None,
    session_timeout_ms: int,
) -> models.Stats:
    """One answer of all shards. `pages`, `places`, `top`, `paths` (how many were viewed) and
    `users` are merged already."""
    since = [part.since for part in parts if part.since is not None]
    return models.Stats(
        activeVisitors=sum(part.active for part in parts),
        activeByPath=[models.PathCount(path, count) for path, count in pages],
        totalPageViews=sum(part.views for part in parts),
        uniqueVisitors=sum(part.uniques for part in parts),
        uniqueVisitorsToday=sum(part.uniques_today for part in parts),
        trackingSince=min(since) if since else None,
        pageStats=top,
        totalPaths=paths,
        activeByCountry=[
            models.CountryCount(None if country == "--" else country, count)
            for country, count in sums_of(part.countries for part in parts)
        ],
        visitorLocations=[_location(text, count) for text, count in places],
        sessionTimeoutMs=session_timeout_ms,
        sweepBacklog=sum(part.backlog for part in parts),
        asOf=min(part.now for part in parts),
        activeUsers=UNSET if users is None else users,
        **counts_of_kinds(dict(sums_of(part.sources for part in parts)), TOP_LIMIT),
    )


def _location(text: str, count: int) -> models.Location:
    latitude, longitude, country, city = text.split(" ", 3)
    return models.Location(
        float(latitude), float(longitude), city or None, None if country == "--" else country, count
    )


def changes_of(
    replies: Sequence[tuple[list[Any], int]], counts: dict[str, int], first: int = 0
) -> Changes:
    """One answer of all shards' replies of changes.lua, whose pages are counted already. `first`:
    the number of the first of these shards."""
    logs = (_entries(shard, reply[6]) for shard, (reply, _) in enumerate(replies, first))
    merged = heapq.merge(*map(_by_latest, logs), key=lambda pair: pair[0])
    log = [entry for _, entry in merged]
    change = models.Change(
        activeVisitors=sum(int(reply[2]) for reply, _ in replies),
        activeByPath=[models.PathCount(path, count) for path, count in counts.items()],
        totalPageViews=sum(int(reply[3]) for reply, _ in replies),
        uniqueVisitors=sum(uniques for _, uniques in replies),
        arrivals=0,
        departures=0,
        asOf=min(int(reply[0]) for reply, _ in replies),
    )
    users = frozenset(user for reply, _ in replies for user in (reply[7] if reply[7:] else ()))
    return Changes(add_feed(log, change), [reply[4] for reply, _ in replies], log, users)


def add_feed(log: list[Entry], change: models.Change) -> models.Change:
    """The change with the arrivals, departures and feed of this log."""
    kinds = Counter(entry.event.type for entry in log)
    return msgspec.structs.replace(
        change,
        arrivals=kinds["joined"],
        departures=kinds["left"],
        feed=[entry.event for entry in log[-EVENTS_SHOWN:]],
    )


def last_of(lists: list[list[tuple[str, dict[str, str]]]]) -> list[models.SessionEvent]:
    """The newest events of all shards, oldest first; each list is the end of a shard's log,
    newest first, as XREVRANGE gives it."""
    names = ("type", "path", "from", "country", "at", "reason")
    events = (
        _event(*(fields.get(name, "") for name in names))
        for entries in lists
        for _, fields in reversed(entries)
        if fields["type"] not in ("identified", ERASED, *CARRIED)
    )
    return sorted(events, key=lambda event: event.at)[-EVENTS_SHOWN:]


def _entries(shard: int, flat: list[str]) -> Iterator[Entry]:
    for n in range(0, len(flat), 7):
        yield Entry(shard, flat[n], _event(*flat[n + 1 : n + 7]))


def _by_latest(entries: Iterator[Entry]) -> Iterator[tuple[int, Entry]]:
    """Yields each entry with the latest moment so far: a `left` is logged by a sweep, with the
    moment before, and stays behind what was logged before it."""
    latest = 0
    for entry in entries:
        latest = max(latest, entry.event.at)
        yield latest, entry


def _event(
    kind: str, path: str, origin: str, country: str, at: str, reason: str
) -> models.SessionEvent:
    known_country = country if country != "--" else ""
    return models.SessionEvent(
        kind, path, int(at), origin or None, known_country or None, reason or None
    )
