"""The endpoints that browsers and backends send to."""

from service import models
from service.api.openapi.operation import (
    AS_OF,
    JSON,
    PRIVATE_SITES,
    SESSION,
    SITE,
    Answer,
    Operation,
)
from service.api.requests.batches import HeartbeatBatch
from service.api.requests.heartbeats import HeartbeatBody
from service.api.requests.leaves import Leave
from service.api.requests.page_views import PageViewBody

_PROBLEMS = (400, 403, 404, 408, 413, 422, 429, 503)
_DROPPED = {"Presence-Dropped": "Presence-Dropped"}
_BEAT = {"sessionId": SESSION, "currentPath": "/blog/hello", "pageType": "article"}

WRITE_OPERATIONS = [
    Operation(
        "POST",
        f"{SITE}/heartbeat",
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
                    "asOf": AS_OF,
                },
                "?counts=1",
            ),
        ],
        _PROBLEMS,
        ("site", "counts"),
        body=HeartbeatBody,
        body_limit="2 KiB, and of a site with users 8 KiB",
        example=_BEAT,
    ),
    Operation(
        "POST",
        f"{SITE}/heartbeats",
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
        "6 MiB",
        {"heartbeats": [_BEAT, {"sessionId": "backend-session-0001", "currentPath": "/"}]},
    ),
    Operation(
        "POST",
        f"{SITE}/leave",
        "leave",
        "Write",
        "Leave",
        "Session S goes: it is gone after the leave grace, unless it beats again until then, so a "
        "reload does not flicker. Meant for `navigator.sendBeacon` on `pagehide`.",
        [Answer(204, "Heard", headers={"Presence-Status": ["leaving", "unknown"]})],
        _PROBLEMS,
        ("site",),
        body=Leave,
        example={"sessionId": SESSION},
    ),
    Operation(
        "POST",
        f"{SITE}/views",
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
        _PROBLEMS,
        ("site",),
        body=PageViewBody,
        example={"sessionId": SESSION, "path": "/blog/hello", "pageType": "article"},
    ),
]
