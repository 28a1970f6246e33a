"""The parameters of all endpoints, by the name that operations know them by."""

import functools
from typing import Any

import msgspec

from service.api.openapi.operation import SESSION, SHARE, USER, WEBHOOK
from service.api.requests.fields import UserId
from service.sites import SITE_PATTERN
from service.store.events import MOST_EVENTS
from service.store.history import COMPARISONS
from service.webhook_config import NAME_PATTERN


def _whole(low: int, high: int, default: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return schema if default is None else schema | {"default": default}


def _parameter(where: str, name: str, text: str, schema: Any, example: Any = None) -> Any:
    parameter = {"name": name, "in": where, "description": text, "schema": schema}
    if where == "path":
        parameter["required"] = True
    return parameter if example is None else parameter | {"example": example}


def parameters(path_schema: Any, session_schema: Any) -> dict[str, Any]:
    """OpenAPI's Parameter Objects, by name."""
    query = functools.partial(_parameter, "query")
    return {
        "site": _parameter(
            "path",
            "site",
            "The site's id: begins with a-z or 0-9, then at most 62 of a-z, 0-9, . and -; a "
            "domain fits.",
            {"type": "string", "pattern": SITE_PATTERN},
            "blog",
        ),
        "session_id": _parameter(
            "path", "session_id", "The session's id.", session_schema, SESSION
        ),
        "share_name": _parameter(
            "path",
            "name",
            "What the share is called, such as the screen it is for; of the form of a site's id.",
            {"type": "string", "pattern": SITE_PATTERN},
            SHARE,
        ),
        "webhook_name": _parameter(
            "path",
            "name",
            "The webhook's name in the sites file.",
            {"type": "string", "pattern": NAME_PATTERN},
            WEBHOOK,
        ),
        "counts": query(
            "counts", "`1`: answer 200 with the numbers.", {"type": "string", "examples": ["1"]}
        ),
        "pages": query("limit", "Pages in `activeByPath`, at most.", _whole(1, 1000, 50)),
        "path": query("path", "Only this page.", path_schema),
        "minutes": query("minutes", "How many minutes.", _whole(1, 2880, 30)),
        "hours": query("hours", "How many hours, instead of minutes.", _whole(1, 9600)),
        "days": query("days", "How many days (UTC), instead of minutes.", _whole(1, 400)),
        "sourceDays": query("days", "How many days (UTC), today included.", _whole(1, 31, 1)),
        "every": query("every", "How many of these make one point.", _whole(1, 2880, 1)),
        "compare": query(
            "compare",
            "What each point is held against: a `day` or a `week` before, or the median of the "
            "last four weeks. Minutes compare with a `day` only; days by 1, and with weeks by 7.",
            {"type": "string", "enum": list(COMPARISONS)},
        ),
        "theme": query(
            "theme",
            "`light`, `dark`, `transparent`, `transparent-light` or `transparent-dark`, instead of "
            "what the reader's device says.",
            {"type": "string", "examples": ["dark"]},
        ),
        "accent": query(
            "accent",
            "The accent colour, three or six hexadecimal digits; changed as far as its contrast "
            "asks for.",
            {"type": "string", "examples": ["0a7350"]},
        ),
        "label": query("label", "What is written before it.", {"type": "string", "maxLength": 64}),
        "sitesLimit": query("limit", "Sites, at most.", _whole(1, 1000, 1000)),
        "siteCursor": query(
            "cursor",
            "What an earlier answer gave as `nextCursor`.",
            {"type": "string", "pattern": SITE_PATTERN},
        ),
        "sessionsLimit": query("limit", "Sessions, at most.", _whole(1, 1000, 100)),
        "cursor": query(
            "cursor",
            "What an earlier answer gave as `nextCursor`.",
            {"type": "string", "format": "cursor"},
        ),
        "user_id": _parameter(
            "path", "user_id", "The user's id.", msgspec.json.schema(UserId), USER
        ),
        "usersLimit": query("limit", "Users, at most.", _whole(1, 1000, 100)),
        "usersCursor": query(
            "cursor",
            "What an earlier answer gave as `nextCursor`.",
            {"type": "string", "format": "user-cursor"},
        ),
        "after": query(
            "after",
            "Only what follows: a stream id, or what an earlier answer gave as `next`.",
            {"type": "string", "format": "stream-position", "examples": ["1764000000000-0"]},
        ),
        "viewsLimit": query("limit", "Page views, at most.", _whole(1, 10_000, 1000)),
        "format": query(
            "format",
            "How to write them.",
            {"type": "string", "enum": ["json", "csv", "ndjson"], "default": "json"},
        ),
        "eventsLimit": query("limit", "Events, at most.", _whole(1, MOST_EVENTS, MOST_EVENTS)),
        "eventsFormat": query(
            "format",
            "How to write them.",
            {"type": "string", "enum": ["json", "ndjson"], "default": "json"},
        ),
        "watchedUsers": query(
            "users",
            "`1`: who is here, too. For whoever may read the users: the token is needed, in "
            "`Authorization`.",
            {"type": "string", "examples": ["1"]},
        ),
        "erase": query(
            "erase",
            "`1`: also erase all that is kept of it.",
            {"type": "integer", "minimum": 0, "maximum": 1, "default": 0},
        ),
        "feed": query(
            "feed", "`1`: events say what happened, too.", {"type": "string", "examples": ["1"]}
        ),
        "watchedPath": query(
            "path",
            "Snapshots always name this page, and with `users=1` users are those on it.",
            path_schema,
        ),
        "lastEventId": _parameter(
            "header",
            "Last-Event-ID",
            "The `id` of the last event that was received; browsers send it by themselves.",
            {"type": "string"},
        ),
        "ifNoneMatch": _parameter(
            "header", "If-None-Match", "The `ETag` of an earlier answer.", {"type": "string"}
        ),
    }
