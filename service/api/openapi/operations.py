"""What each endpoint takes and answers, as data: `document.py` makes the document of it, and
a test holds it against the route table."""

from service import models
from service.api.openapi.operation import (
    JSON,
    OPERATOR,
    PLAIN,
    PRIVATE_SITES,
    SESSION,
    Answer,
    Operation,
)
from service.api.openapi.user_operations import USER_OPERATIONS
from service.api.requests.batches import HeartbeatBatch
from service.api.requests.heartbeats import HeartbeatBody
from service.api.requests.leaves import Leave
from service.api.requests.page_views import PageViewBody

_SITE = "/v1/sites/{site}"
_WRITE = (400, 403, 404, 408, 413, 422, 429, 503)
_READ = (401, 403, 404, 422, 429, 503)
_OPERATE = (401, 403, 404, 422, 429, 503)

_DROPPED = {"Presence-Dropped": "Presence-Dropped"}
_AS_OF = 1_764_000_000_123
_BEAT = {"sessionId": SESSION, "currentPath": "/blog/hello", "pageType": "article"}
_SESSION = {
    "sessionId": SESSION,
    "currentPath": "/blog/hello",
    "lastSeen": 1_764_000_000_000,
    "since": 1_763_999_900_000,
    "expiresAt": 1_764_000_120_000,
    "country": "DE",
    "city": "Köln",
}
_VIEW = {
    "id": "1764000000000-0",
    "at": 1_764_000_000_000,
    "sessionId": SESSION,
    "path": "/blog/hello",
    "pageType": "article",
    "referrer": "example.org",
    "country": "DE",
}
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
    "asOf": _AS_OF,
}
_TEXT = {"type": "string"}
_BADGE = '<svg xmlns="http://www.w3.org/2000/svg" width="85" height="20" role="img"></svg>'
_STREAM = (
    "event: change\nid: 1764000000000-0\n"
    'data: {"activeVisitors":2,"activeByPath":[{"path":"/a","count":0}],"totalPageViews":4,'
    '"uniqueVisitors":3,"arrivals":0,"departures":1,"asOf":1764000000123}\n\n'
)

OPERATIONS = [
    Operation(
        "POST",
        f"{_SITE}/heartbeat",
        "heartbeat",
        "Write",
        "Heartbeat",
        "Session S is on page P. Creates the session, moves it, renews its life, or changes "
        "nothing, in one atomic step. Send one every heartbeat interval and one on each change of "
        "page; sending it again never does harm. Within the dedup window a repeat on the same path "
        "is a `duplicate` and writes nothing. Bots, prefetches and, where the service respects "
        "them, `DNT: 1` and `Sec-GPC: 1` are `dropped`: nothing is read of the body and nothing is "
        "written.",
        [
            Answer(
                204,
                "What became of it",
                headers={
                    "Presence-Status": ["created", "moved", "refreshed", "duplicate", "dropped"],
                    "Presence-Interval": "Presence-Interval",
                    "Presence-User": "Presence-User",
                    **_DROPPED,
                },
            ),
            Answer(
                200,
                "What became of it, and how many are here: with `counts=1`",
                {JSON: models.Counts},
                {
                    "Presence-Status": ["created", "moved", "refreshed", "duplicate"],
                    "Presence-Interval": "Presence-Interval",
                    "Presence-User": "Presence-User",
                },
                {
                    "status": "created",
                    "activeVisitors": 3,
                    "activeOnPath": 1,
                    "heartbeatIntervalMs": 30_000,
                    "asOf": _AS_OF,
                },
                "?counts=1",
            ),
        ],
        _WRITE,
        ("site", "counts"),
        body=HeartbeatBody,
        body_limit="2 KiB, and of a site with users 8 KiB",
        example=_BEAT,
    ),
    Operation(
        "POST",
        f"{_SITE}/heartbeats",
        "heartbeats",
        "Write",
        "Many heartbeats",
        "For backends and edge workers. Where the site or the operator has a token, one of them "
        "is needed, and then no limit per address applies. An invalid heartbeat is `invalid`, "
        "`errors` says why, and the others are written; 422 only where the body is not a batch. "
        "Where some are `limited`, `limited` and `Retry-After` say when to send them again.",
        [
            Answer(
                200,
                "One outcome per heartbeat, in order",
                {JSON: models.BatchResult},
                {"Retry-After": "RetryAfterLimited"},
                {"results": ["created", "created"], "errors": []},
            )
        ],
        (400, 401, 403, 404, 408, 413, 422, 429, 503),
        ("site",),
        PRIVATE_SITES,
        HeartbeatBatch,
        "2 MiB",
        {"heartbeats": [_BEAT, {"sessionId": "backend-session-0001", "currentPath": "/"}]},
    ),
    Operation(
        "POST",
        f"{_SITE}/leave",
        "leave",
        "Write",
        "Leave",
        "Session S goes: it is gone after the leave grace, unless it beats again until then, so a "
        "reload does not flicker. Meant for `navigator.sendBeacon` on `pagehide`.",
        [Answer(204, "Heard", headers={"Presence-Status": ["leaving", "unknown"]})],
        _WRITE,
        ("site",),
        body=Leave,
        example={"sessionId": SESSION},
    ),
    Operation(
        "POST",
        f"{_SITE}/views",
        "recordView",
        "Write",
        "Page view",
        "Session S has seen page P: counted once per session and path within the view dedup "
        "window. Heartbeats that create or move a session already do so, unless the service is "
        "set not to.",
        [
            Answer(
                204,
                "What became of it",
                headers={"Presence-Status": ["recorded", "duplicate", "dropped"], **_DROPPED},
            )
        ],
        _WRITE,
        ("site",),
        body=PageViewBody,
        example={"sessionId": SESSION, "path": "/blog/hello", "pageType": "article"},
    ),
    Operation(
        "GET",
        f"{_SITE}/stats",
        "stats",
        "Read",
        "All numbers of a site",
        "`activeByPath` is sorted by count, then path. The `ETag` stands for the numbers and not "
        "for `asOf`.",
        [
            Answer(200, "The numbers", {JSON: models.Stats}, {"ETag": "ETag"}, _STATS),
            Answer(304, "The numbers are still those of `If-None-Match`", headers={"ETag": "ETag"}),
        ],
        _READ,
        ("site", "pages", "ifNoneMatch"),
        PRIVATE_SITES,
    ),
    Operation(
        "GET",
        f"{_SITE}/active",
        "active",
        "Read",
        "How many are here",
        "On the whole site, or on one page of it. The cheapest read.",
        [
            Answer(
                200,
                "The number",
                {JSON: models.Active},
                example={"activeVisitors": 1, "asOf": _AS_OF},
            )
        ],
        _READ,
        ("site", "path"),
        PRIVATE_SITES,
        query="?path=/blog/hello",
    ),
    Operation(
        "GET",
        f"{_SITE}/history",
        "history",
        "Read",
        "Peaks and views over time",
        "By minutes or by hours, not both; empty ones included, oldest first. With `every` a point "
        "is that many of them: the highest of their peaks, the sum of their views.",
        [
            Answer(
                200,
                "The series",
                {JSON: models.History},
                example={
                    "resolutionMs": 60_000,
                    "points": [{"at": 1_764_000_000_000, "peakActive": 3, "views": 7}],
                    "asOf": _AS_OF,
                },
            )
        ],
        _READ,
        ("site", "minutes", "hours", "every"),
        PRIVATE_SITES,
        query="?minutes=1",
    ),
    Operation(
        "GET",
        f"{_SITE}/live",
        "live",
        "Read",
        "Changes as they happen",
        "Server-sent events. First `snapshot`, the object of `stats`; then, when something has "
        "changed and at most once in `PRESENCE_LIVE_TICK`, `change`: `activeVisitors`, "
        "`totalPageViews` and `uniqueVisitors` as they are now, `activeByPath` with the pages "
        "that changed only (0: nobody is left), `arrivals` and `departures` since the event "
        "before, `asOf`. Departures by timeout are pushed like any other. After a pause, "
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
        "Such a stream always begins with a snapshot, and may be given a new one.\n\nA comment "
        "comes every 15 s; a stream that cannot tell the present for 5 s ends, and a client that "
        "takes nothing for 30 s is cut off.",
        [Answer(200, "The stream", {"text/event-stream": _TEXT}, example=_STREAM)],
        _READ,
        ("site", "feed", "watchedUsers", "watchedPath", "lastEventId"),
        PRIVATE_SITES,
    ),
    Operation(
        "GET",
        f"{_SITE}/badge.svg",
        "badge",
        "Read",
        "The live number as a picture",
        "For places that run no script. It may be cached for 10 s.",
        [Answer(200, "The picture", {"image/svg+xml": _TEXT}, example=_BADGE)],
        _READ,
        ("site", "path", "label"),
        PRIVATE_SITES,
        query="?label=readers",
    ),
    *USER_OPERATIONS,
    Operation(
        "GET",
        "/v1/sites",
        "sites",
        "Operate",
        "All sites",
        "Those that are configured, or, where none are, those that were heard of, with how many "
        "are on each; page by page.",
        [
            Answer(
                200,
                "Sites by name",
                {JSON: models.SiteList},
                example={
                    "sites": [{"site": "blog", "activeVisitors": 3}],
                    "nextCursor": None,
                    "asOf": _AS_OF,
                },
            )
        ],
        (401, 403, 422, 429, 503),
        ("sitesLimit", "siteCursor"),
        security=OPERATOR,
    ),
    Operation(
        "GET",
        f"{_SITE}/sessions",
        "sessions",
        "Operate",
        "Active sessions",
        "Those first that expire first; where sites are split, one shard after the other. A "
        "session that beats while you page may come twice, and is never missed. `nextCursor` is "
        "null at the end.",
        [
            Answer(
                200,
                "A page of sessions",
                {JSON: models.SessionPage},
                example={"sessions": [_SESSION], "nextCursor": None, "asOf": _AS_OF},
            )
        ],
        _OPERATE,
        ("site", "sessionsLimit", "cursor", "path"),
        OPERATOR,
    ),
    Operation(
        "GET",
        f"{_SITE}/sessions/{{session_id}}",
        "session",
        "Operate",
        "One active session",
        "Where it is, since when, and what is known of it.",
        [Answer(200, "The session", {JSON: models.Session}, example=_SESSION)],
        _OPERATE,
        ("site", "session_id"),
        OPERATOR,
    ),
    Operation(
        "DELETE",
        f"{_SITE}/sessions/{{session_id}}",
        "endSession",
        "Operate",
        "End a session at once",
        "It is gone from every count with this answer. Its next heartbeat creates it anew.",
        [Answer(204, "It has ended")],
        _OPERATE,
        ("site", "session_id"),
        OPERATOR,
    ),
    Operation(
        "GET",
        f"{_SITE}/views",
        "views",
        "Operate",
        "Log of page views",
        "In order, a page at a time; give `next` as `after` to go on, which where sites are split "
        "is a place in each shard; the id of a view is one in its own, and a moment in the others. "
        "As CSV or NDJSON all of it after `after` is streamed. In CSV no cell can be taken for a "
        "formula.",
        [
            Answer(
                200,
                "Page views",
                {
                    JSON: models.ViewPage,
                    "text/csv": _TEXT,
                    "application/x-ndjson": _TEXT,
                },
                {"Content-Disposition": "Content-Disposition"},
                {"views": [_VIEW], "next": "1764000000000-0"},
            )
        ],
        _OPERATE,
        ("site", "after", "viewsLimit", "format"),
        OPERATOR,
        query="?limit=1",
    ),
    Operation(
        "GET",
        "/livez",
        "livez",
        "Service",
        "Liveness",
        "Whether the process is up. Says nothing of Redis, so that nobody restarts the service for "
        "Redis's sake.",
        [Answer(200, "It is", {PLAIN: _TEXT}, example="ok\n")],
    ),
    Operation(
        "GET",
        "/readyz",
        "readyz",
        "Service",
        "Readiness",
        "Whether a write reaches Redis. Writes for real; meant for load balancers.",
        [Answer(200, "It does", {JSON: models.Ready}, example={"status": "ready"})],
        (503,),
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "Service",
        "Metrics for Prometheus",
        "Open, unless the service has a metrics token. Labels are words of the service and route "
        "templates, never what a client sent.",
        [Answer(200, "Prometheus's text format", {PLAIN: _TEXT})],
        (401, 403, 429),
        security=PRIVATE_SITES,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "openapi",
        "Service",
        "OpenAPI",
        "The document that describes all of this, OpenAPI 3.1.",
        [Answer(200, "The document", {JSON: {"type": "object"}})],
    ),
    Operation(
        "GET",
        "/docs",
        "docs",
        "Service",
        "Reference",
        "The OpenAPI document to read: one page without scripts and without any other host.",
        [Answer(200, "The page", {"text/html": _TEXT})],
    ),
    Operation(
        "GET",
        "/",
        "start",
        "Service",
        "Getting started",
        "The script tag, and the first heartbeat as it comes in.",
        [Answer(200, "The page", {"text/html": _TEXT})],
    ),
    Operation(
        "GET",
        "/sites/{site}",
        "statsPage",
        "Service",
        "The live stats page",
        "For people. `?wall` is for a screen on a wall, `?embed` for a frame: pages of the site's "
        "origins may show it, any page where none are configured. For a site that is private or "
        "not there it asks for a token, and no frame may show it.",
        [Answer(200, "The page", {"text/html": _TEXT})],
        (422,),
        ("site",),
    ),
    Operation(
        "GET",
        "/presence.js",
        "client",
        "Service",
        "The browser client",
        "What the script tag loads.",
        [Answer(200, "The script", {"text/javascript": _TEXT})],
    ),
]
