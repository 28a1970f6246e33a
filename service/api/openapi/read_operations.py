"""The endpoints of live numbers."""

from service import models
from service.api.openapi.operation import (
    AS_OF,
    EVENTS,
    JSON,
    PRIVATE_SITES,
    SITE,
    TEXT,
    Answer,
    Operation,
)

_PROBLEMS = (401, 403, 404, 422, 429, 503)
_STATS = {
    "activeVisitors": 3,
    "activeByPath": [{"path": "/", "count": 2}, {"path": "/blog/hello", "count": 1}],
    "totalPageViews": 120,
    "uniqueVisitors": 41,
    "uniqueVisitorsToday": 9,
    "trackingSince": 1_763_000_000_000,
    "pageStats": [{"path": "/", "views": 80, "pageType": None}],
    "totalPaths": 12,
    "activeByCountry": [{"country": "DE", "count": 2}, {"country": None, "count": 1}],
    "visitorLocations": [
        {"latitude": 50.9, "longitude": 7.0, "city": "Köln", "country": "DE", "count": 2}
    ],
    "sessionTimeoutMs": 120_000,
    "sweepBacklog": 0,
    "asOf": AS_OF,
}
_BADGE = '<svg xmlns="http://www.w3.org/2000/svg" width="85" height="20" role="img"></svg>'
_STREAM = (
    "event: change\nid: 1764000000000-0\n"
    'data: {"activeVisitors":2,"activeByPath":[{"path":"/a","count":0}],"totalPageViews":4,'
    '"uniqueVisitors":3,"arrivals":0,"departures":1,"asOf":1764000000123}\n\n'
)

READ_OPERATIONS = [
    Operation(
        "GET",
        f"{SITE}/stats",
        "stats",
        "Read",
        "All numbers of a site",
        "`activeByPath` is sorted by count, then path. The `ETag` stands for the numbers and not "
        "for `asOf`.",
        [
            Answer(200, "The numbers", {JSON: models.Stats}, {"ETag": "ETag"}, _STATS),
            Answer(304, "The numbers are still those of `If-None-Match`", headers={"ETag": "ETag"}),
        ],
        _PROBLEMS,
        ("site", "pages", "ifNoneMatch"),
        PRIVATE_SITES,
    ),
    Operation(
        "GET",
        f"{SITE}/active",
        "active",
        "Read",
        "How many are here",
        "On the whole site, or on one page of it. The cheapest read.",
        [
            Answer(
                200,
                "The number",
                {JSON: models.Active},
                example={"activeVisitors": 1, "asOf": AS_OF},
            )
        ],
        _PROBLEMS,
        ("site", "path"),
        PRIVATE_SITES,
        query="?path=/blog/hello",
    ),
    Operation(
        "GET",
        f"{SITE}/history",
        "history",
        "Read",
        "Peaks and views over time",
        "By minutes, hours or days; empty ones included, oldest first. With `every` a point is "
        "that many of them: the highest of their peaks, the sum of their views. Only days have "
        "unique visitors, and days before tracking began are null. With `compare` each point has "
        "`previous`: null where not all of what was before is known, and for the last point, which "
        "is not over.",
        [
            Answer(
                200,
                "The series",
                {JSON: models.History},
                example={
                    "resolutionMs": 60_000,
                    "points": [{"at": 1_764_000_000_000, "peakActive": 3, "views": 7}],
                    "trackingSince": 1_763_000_000_000,
                    "asOf": AS_OF,
                },
            )
        ],
        _PROBLEMS,
        ("site", "minutes", "hours", "days", "every", "compare"),
        PRIVATE_SITES,
        query="?minutes=1",
    ),
    Operation(
        "GET",
        f"{SITE}/sources",
        "sources",
        "Read",
        "How the sessions of the last days came",
        "Of pages that say it, with `presence-source.js` or the `source` of a heartbeat. Sessions "
        "count on the day on which they begin; how those came who are here now is in `stats`. Each "
        "day of a shard has names for the first 200 sources, mediums and campaigns; the rest is "
        "`__other__`.",
        [
            Answer(
                200,
                "The sessions by source, medium, campaign and device",
                {JSON: models.Arrivals},
                example={
                    "sources": [
                        {"source": "example.org", "count": 12},
                        {"source": None, "count": 9},
                    ],
                    "mediums": [{"medium": "email", "count": 3}],
                    "campaigns": [{"campaign": "spring", "count": 3}],
                    "devices": [
                        {"device": "phone", "count": 13},
                        {"device": "desktop", "count": 8},
                    ],
                    "days": 1,
                    "asOf": AS_OF,
                },
            )
        ],
        _PROBLEMS,
        ("site", "sourceDays"),
        PRIVATE_SITES,
        query="?days=7",
    ),
    Operation(
        "GET",
        f"{SITE}/live",
        "live",
        "Read",
        "Changes as they happen",
        "Server-sent events. First `snapshot`, the object of `stats`; then, when something has "
        "changed and at most once in `PRESENCE_LIVE_TICK`, `change`: `activeVisitors`, "
        "`totalPageViews` and `uniqueVisitors` as they are now, `activeByPath` with the pages "
        "that changed only (0: nobody is left), `arrivals` and `departures` since the event "
        "before, `asOf`; after these, how all who are here came, of sites that know. "
        "Departures by timeout are pushed like any other. After a pause, "
        "`Last-Event-ID` brings what was missed, or a snapshot where that is too much. With "
        "`feed=1` each event has `feed` as well, the newest of what happened: `type` (`joined`, "
        "`moved`, `left`), `path`, `at`, and where known `from`, `country`, `reason`. With `path` "
        "a snapshot's `activeByPath` names that page however few are on it, 0 too.\n\n"
        "With `users=1`, for the site's token, the operator's or a user's whose `sees` covers the "
        "page, in `Authorization`, of a site with `user_secrets` (else 404): a snapshot has "
        "`users`, at most 100 rows, and `totalUsers`, "
        "which each later event has as well. Each user is told once, however many tabs and devices "
        "there are: `online` (row, `asOf`, `totalUsers`), `moved` (the same: other `paths`) and "
        "`offline` (`userId`, `lastSeen`, `asOf`, `totalUsers`). With `path` all of it is about "
        "that page alone: `online` came to it, `offline` left it, and `paths` names no other. "
        "Such a stream always begins with a snapshot, and may be given a new one. Of a private "
        "site a user's token gives `users`, `totalUsers` and `asOf`, and no numbers.\n\nA comment "
        "comes every 15 s; a stream that cannot tell the present for 5 s ends, and a client that "
        "takes nothing for 30 s is cut off.",
        [Answer(200, "The stream", {EVENTS: TEXT}, example=_STREAM)],
        _PROBLEMS,
        ("site", "feed", "watchedUsers", "watchedPath", "lastEventId"),
        PRIVATE_SITES,
    ),
    Operation(
        "GET",
        f"{SITE}/badge.svg",
        "badge",
        "Read",
        "The live number as a picture",
        "For places that run no script. It may be cached for 10 s.",
        [Answer(200, "The picture", {"image/svg+xml": TEXT}, example=_BADGE)],
        _PROBLEMS,
        ("site", "path", "label"),
        PRIVATE_SITES,
        query="?label=readers",
    ),
]
