"""Makes one answer of the shards' answers.

A session is always in the same shard, so counts add up, and so do top lists, as long as each
shard gives its whole list.
"""

from collections.abc import Iterable
from typing import NamedTuple

from service import models

TOP_LIMIT = 50
PLACES_LIMIT = 500


class Snapshot(NamedTuple):
    """A reply of snapshot.lua."""

    now: str
    word: str
    active: str
    backlog: str
    pages: list[str]
    countries: list[str]
    places: list[str]
    views: str
    since: str
    uniques: str
    uniques_today: str
    top: list[str]
    paths: str
    event: str


def _pairs(flat: list[str]) -> Iterable[tuple[str, int]]:
    return ((flat[n], int(flat[n + 1])) for n in range(0, len(flat), 2))


def _sums(lists: Iterable[list[str]]) -> list[tuple[str, int]]:
    """Names with their sums over all lists, most first, equal ones by name."""
    all_lists = list(lists)
    if len(all_lists) == 1:
        return list(_pairs(all_lists[0]))
    sums: dict[str, int] = {}
    for flat in all_lists:
        for name, count in _pairs(flat):
            sums[name] = sums.get(name, 0) + count
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))


def merge_snapshots(parts: list[Snapshot], limit: int, session_timeout_ms: int) -> models.Stats:
    tops: list[list[str]] = []
    types: dict[str, str] = {}
    for part in parts:
        rows = [part.top[n : n + 3] for n in range(0, len(part.top), 3)]
        tops.append([text for path, views, _ in rows for text in (path, views)])
        types.update({path: kind for path, _, kind in rows if kind})
    top = _sums(tops)
    paths = int(parts[0].paths)
    if len(parts) > 1:
        paths = sum(path != "__other__" for path, _ in top)
    since = [int(part.since) for part in parts if part.since]
    return models.Stats(
        activeVisitors=sum(int(part.active) for part in parts),
        activeByPath=[
            models.PathCount(path, count)
            for path, count in _sums(part.pages for part in parts)[:limit]
        ],
        totalPageViews=sum(int(part.views) for part in parts),
        uniqueVisitors=sum(int(part.uniques) for part in parts),
        uniqueVisitorsToday=sum(int(part.uniques_today) for part in parts),
        trackingSince=min(since) if since else None,
        pageStats=[
            models.PathViews(path, views, types.get(path)) for path, views in top[:TOP_LIMIT]
        ],
        totalPaths=paths,
        activeByCountry=[
            models.CountryCount(None if country == "--" else country, count)
            for country, count in _sums(part.countries for part in parts)
        ],
        visitorLocations=[
            _location(text, count)
            for text, count in _sums(part.places for part in parts)[:PLACES_LIMIT]
        ],
        sessionTimeoutMs=session_timeout_ms,
        sweepBacklog=sum(int(part.backlog) for part in parts),
        asOf=min(int(part.now) for part in parts),
    )


def _location(text: str, count: int) -> models.Location:
    latitude, longitude, country, city = text.split(" ", 3)
    return models.Location(
        float(latitude), float(longitude), city or None, None if country == "--" else country, count
    )
