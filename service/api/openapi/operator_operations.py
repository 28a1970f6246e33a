"""The endpoints for operators."""

from service import models
from service.api.openapi.operation import (
    AS_OF,
    JSON,
    OPERATOR,
    SESSION,
    SITE,
    TEXT,
    USER,
    Answer,
    Operation,
)

_PROBLEMS = (401, 403, 404, 422, 429, 503)
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
_EVENT = {
    "id": "1764000000000-0",
    "at": 1_764_000_000_000,
    "type": "moved",
    "sessionId": SESSION,
    "path": "/blog/hello",
    "from": "/",
    "country": "DE",
    "userId": USER,
}

OPERATOR_OPERATIONS = [
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
                    "asOf": AS_OF,
                },
            )
        ],
        (401, 403, 422, 429, 503),
        ("sitesLimit", "siteCursor"),
        security=OPERATOR,
    ),
    Operation(
        "GET",
        f"{SITE}/sessions",
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
                example={"sessions": [_SESSION], "nextCursor": None, "asOf": AS_OF},
            )
        ],
        _PROBLEMS,
        ("site", "sessionsLimit", "cursor", "path"),
        OPERATOR,
    ),
    Operation(
        "GET",
        f"{SITE}/sessions/{{session_id}}",
        "session",
        "Operate",
        "One active session",
        "Where it is, since when, and what is known of it.",
        [Answer(200, "The session", {JSON: models.Session}, example=_SESSION)],
        _PROBLEMS,
        ("site", "session_id"),
        OPERATOR,
    ),
    Operation(
        "DELETE",
        f"{SITE}/sessions/{{session_id}}",
        "endSession",
        "Operate",
        "End a session at once, or erase it",
        "It is gone from every count with this answer. Its next heartbeat creates it anew. With "
        "`erase=1`, its entries in the logs of events and page views go as well, whether it is "
        "here or not; what was counted stays counted.",
        [
            Answer(204, "It has ended"),
            Answer(
                200,
                "With `erase=1`: what there was",
                {JSON: models.Erased},
                example={"sessionsEnded": 1, "eventsErased": 3, "viewsErased": 2},
            ),
        ],
        _PROBLEMS,
        ("site", "session_id", "erase"),
        OPERATOR,
    ),
    Operation(
        "GET",
        f"{SITE}/views",
        "views",
        "Operate",
        "Log of page views",
        "In order, a page at a time; give `next` as `after` to go on, which where sites are split "
        "is a position in each shard; the id of a view is one in its own, and a moment in the "
        "others. As CSV or NDJSON all of it after `after` is streamed. In CSV no cell can be taken "
        "for a formula.",
        [
            Answer(
                200,
                "Page views",
                {
                    JSON: models.ViewPage,
                    "text/csv": TEXT,
                    "application/x-ndjson": TEXT,
                },
                {"Content-Disposition": "Content-Disposition"},
                {"views": [_VIEW], "next": "1764000000000-0"},
            )
        ],
        _PROBLEMS,
        ("site", "after", "viewsLimit", "format"),
        OPERATOR,
        query="?limit=1",
    ),
    Operation(
        "GET",
        f"{SITE}/events",
        "events",
        "Operate",
        "Log of events",
        "Who joined, moved and left, in order, with users where there are any; for the operator's "
        "token or the site's. Give `next` as `after` to go on, where sites are split as for page "
        "views. Where the log was trimmed in between, `truncatedBefore` names the event before "
        "which some may be missing, and the event itself has `gapBefore`. As NDJSON all of it "
        "after `after` is streamed; the last event of each page has `next`.",
        [
            Answer(
                200,
                "Events",
                {JSON: models.EventPage, "application/x-ndjson": TEXT},
                example={"events": [_EVENT], "next": "1764000000000-0", "more": False},
            )
        ],
        _PROBLEMS,
        ("site", "after", "eventsLimit", "eventsFormat"),
        OPERATOR,
        query="?limit=1",
    ),
]
