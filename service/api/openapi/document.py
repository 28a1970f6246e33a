"""The OpenAPI 3.1 document, made from the wire structs and the table of operations.

`python -m service.api.openapi.document` prints it; `docs/openapi.json` is a copy of that.
"""

import functools
import json
import re
import sys
from typing import Any

import msgspec

from service import __version__, models
from service.api.openapi.operation import JSON, SESSION, Answer, Operation
from service.api.openapi.operations import OPERATIONS
from service.api.openapi.user_operations import USER
from service.api.requests.fields import SessionId, UserId
from service.api.requests.locations import MAX_CITY, City
from service.api.requests.paths import PagePath
from service.api.requests.referrers import ReferrerHost
from service.api.requests.sizes import MAX_BODY_BYTES
from service.sites import SITE_PATTERN

BASE_URL = "http://localhost:8080"  # in examples; pages put their own address in its place

_HIDDEN = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_ZERO_WIDTH = (
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f"
    r"\u3164\ufeff\uffa0\ufff0-\ufffb"
)
_CUSTOM_TYPES: dict[type, dict[str, Any]] = {
    PagePath: {
        "type": "string",
        "format": "page-path",
        "pattern": rf"^/(?![/\\])[^?#{_HIDDEN}{_ZERO_WIDTH}]*([?#][\s\S]*)?$",
        "description": "Begins with exactly one /, at most 512 bytes of UTF-8. One page has one "
        "name: query string, fragment and slashes at the end are cut off, escapes of UTF-8 are "
        "decoded, but for those of / % ? #, and the result is Unicode's normal form C, which is "
        "what is measured. No control or zero-width characters, lone surrogates or direction "
        "overrides, escaped neither.",
        "examples": ["/blog/hello"],
    },
    ReferrerHost: {
        "type": "string",
        "maxLength": MAX_BODY_BYTES,
        "description": "A URL or a host; only the host is kept.",
        "examples": ["https://example.org/a?b=c"],
    },
    City: {
        "type": "string",
        "format": "city",
        "maxLength": MAX_CITY,
        "pattern": rf"^[^{_HIDDEN}]*$",
        "description": "At most 64 characters, none of them a control character.",
        "examples": ["Köln"],
    },
}

_TAGS = {
    "Write": "What browsers and backends send. The `Content-Type` is not looked at, so that "
    "browsers may send `text/plain` and need no preflight. Where a site has origins, only pages "
    "of these may write; anything else is refused with 403, on the server.",
    "Read": "Live numbers, open to all, unless the site is set to `public = false`: then they "
    "need the site's token or the operator's, and so does a site that is not there. Session ids "
    "never appear here.",
    "Users": "Who is here, where a site has `user_secrets` in `PRESENCE_SITES_FILE`. For the "
    "site's token, the operator's, or that of a user whose `sees` covers the page; where none is "
    "asked for, all of them.",
    "Operate": "For operators, with the bearer token of `PRESENCE_ADMIN_TOKEN`. Refused where "
    "none is set, except to this very machine under `embedded://`.",
    "Service": "The service itself.",
}
_ABOUT = (
    "Who is on your site right now. Heartbeats in, live numbers out.\n\n"
    "Times (`…At`, `at`, `lastSeen`, `since`, `asOf`) are integers, milliseconds since the Unix "
    "epoch, UTC; durations end in `Ms`. Errors are problems by RFC 9457: `detail` says what is "
    "wrong and what would be right, and `field` which field is meant. A path that is none of "
    "these is answered 404, another method 405 with `Allow`; outside `/v1/`, 404, 405 and 422 are "
    "HTML for whoever accepts that. Any page may call the public "
    "endpoints (CORS) of a site without origins, else only pages of these; `Presence-Status`, "
    "`Presence-Dropped`, `Presence-Interval`, `Presence-User`, `Retry-After` and `ETag` are "
    "exposed to them."
)


def _whole(low: int, high: int, default: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return schema if default is None else schema | {"default": default}


def _parameter(where: str, name: str, text: str, schema: Any, example: Any = None) -> Any:
    parameter = {"name": name, "in": where, "description": text, "schema": schema}
    if where == "path":
        parameter["required"] = True
    return parameter if example is None else parameter | {"example": example}


def _parameters(path_schema: Any, session_schema: Any) -> dict[str, Any]:
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
        "counts": query(
            "counts", "`1`: answer 200 with the numbers.", {"type": "string", "examples": ["1"]}
        ),
        "pages": query("limit", "Pages in `activeByPath`, at most.", _whole(1, 1000, 50)),
        "path": query("path", "Only this page.", path_schema),
        "minutes": query("minutes", "How many minutes.", _whole(1, 2880, 30)),
        "hours": query("hours", "How many hours, instead of minutes.", _whole(1, 2160)),
        "every": query("every", "How many minutes, or hours, make one point.", _whole(1, 2880, 1)),
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
            {"type": "string", "format": "stream-place", "examples": ["1764000000000-0"]},
        ),
        "viewsLimit": query("limit", "Page views, at most.", _whole(1, 10_000, 1000)),
        "format": query(
            "format",
            "How to write them.",
            {"type": "string", "enum": ["json", "csv", "ndjson"], "default": "json"},
        ),
        "watchedUsers": query(
            "users",
            "`1`: who is here, too. For whoever may read the users: the token is needed, in "
            "`Authorization`.",
            {"type": "string", "examples": ["1"]},
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


def _header(text: str, schema: Any, *, required: bool = True) -> dict[str, Any]:
    return {"description": text, "schema": schema, "required": required}


_WORD = {"type": "string"}
_HEADERS = {
    "Allow": _header("The methods there are.", _WORD),
    "Content-Disposition": _header(
        "A name to save it by; of CSV and NDJSON.", _WORD, required=False
    ),
    "ETag": _header("Stands for the numbers.", {"type": "string", "pattern": '^W/"[0-9a-f]+"$'}),
    "Presence-Dropped": _header(
        "Why, with `dropped`.",
        {"type": "string", "enum": ["bot", "prefetch", "dnt"]},
        required=False,
    ),
    "Presence-Interval": _header(
        "Seconds until the next heartbeat is wanted; decimals allowed.",
        {"type": "string", "pattern": "^[0-9.e+]+$"},
    ),
    "Presence-User": _header(
        "What came of the user's token, where one was sent.",
        {"type": "string", "enum": ["ok", "expired", "invalid"]},
        required=False,
    ),
    "Retry-After": _header("Seconds to wait.", {"type": "string", "pattern": "^[1-9][0-9]*$"}),
    "RetryAfterLimited": _header(
        "Seconds to wait, where some are `limited`.",
        {"type": "string", "pattern": "^[1-9][0-9]*$"},
        required=False,
    ),
    "WWW-Authenticate": _header("The scheme to use.", {"type": "string", "enum": ["Bearer"]}),
}

# Status -> when, headers, field, detail of the example.
_PROBLEMS: dict[int, tuple[str, tuple[str, ...], str | None, str]] = {
    400: (
        "The body is not a JSON object.",
        (),
        None,
        "the body is not a JSON object: Input data was truncated",
    ),
    401: (
        "A token is needed.",
        ("WWW-Authenticate",),
        None,
        "a token is needed: Authorization: Bearer …",
    ),
    403: (
        "The token is wrong, or the Origin is not allowed for the site.",
        (),
        None,
        "that token does not open this",
    ),
    404: (
        "There is no such site (where sites are configured), no such session or no such user.",
        (),
        None,
        "there is no site 'blog'; see PRESENCE_SITES_FILE",
    ),
    405: (
        "There is no such method here.",
        ("Allow",),
        None,
        "GET is not allowed here; allowed: POST",
    ),
    408: ("The body takes too long to arrive.", (), None, "the body takes too long"),
    413: (
        "The body is too long; it is counted while it streams in.",
        (),
        None,
        "the body is longer than 2048 bytes",
    ),
    422: (
        "A field is invalid; `field` names it.",
        (),
        "currentPath",
        "currentPath must begin with exactly one /, such as /blog/hello; no scheme and no host",
    ),
    429: (
        "A limit is hit.",
        ("Retry-After",),
        None,
        "too many requests from this address; slow down",
    ),
    503: (
        "Redis cannot be reached, is too slow, or takes no writes now.",
        ("Retry-After",),
        None,
        "Redis cannot be reached",
    ),
}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def problem_name(status: int) -> str:
    """The name of a problem among the document's responses."""
    return models.title_of(status).title().replace(" ", "")


def _problem(status: int) -> dict[str, Any]:
    when, headers, field, detail = _PROBLEMS[status]
    example = models.Problem("about:blank", models.title_of(status), status, detail, field)
    return {
        "description": when,
        "headers": {name: _ref("headers", name) for name in headers},
        "content": {
            "application/problem+json": {
                "schema": _ref("schemas", "Problem"),
                "example": msgspec.to_builtins(example),
            }
        },
    }


def _answer(answer: Answer) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        response["headers"] = {
            name: _ref("headers", words)
            if isinstance(words, str)
            else _header("What became of it.", {"type": "string", "enum": words})
            for name, words in answer.headers.items()
        }
    content: dict[str, Any] = {}
    for media_type, schema in answer.content.items():
        is_struct = isinstance(schema, type)
        content[media_type] = {"schema": _ref("schemas", schema.__name__) if is_struct else schema}
    if content and answer.example is not None:
        next(iter(content.values()))["example"] = answer.example
    return response | ({"content": content} if content else {})


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "security": operation.security,
        "responses": {str(answer.status): _answer(answer) for answer in operation.answers}
        | {str(status): _ref("responses", problem_name(status)) for status in operation.problems},
        "x-codeSamples": [
            {"lang": "Shell", "label": label, "source": curl(operation, query)}
            for label, query in _samples(operation).items()
        ],
    }
    if operation.parameters:
        described["parameters"] = [_ref("parameters", name) for name in operation.parameters]
    if operation.body:
        described["requestBody"] = {
            "description": f"At most {operation.body_limit}. The `Content-Type` is not looked at.",
            "required": True,
            "content": {
                JSON: {
                    "schema": _ref("schemas", operation.body.__name__),
                    "example": operation.example,
                }
            },
        }
    return described


def _samples(operation: Operation) -> dict[str, str]:
    """The queries of the examples, by label."""
    others = {
        f"curl, answered {answer.status}": answer.query
        for answer in operation.answers
        if answer.query
    }
    return {"curl": operation.query} | others


def curl(operation: Operation, query: str) -> str:
    """A shell command that performs the operation."""
    path = operation.path.replace("{site}", "blog").replace("{session_id}", SESSION)
    path = path.replace("{user_id}", USER)
    method = "" if operation.method in ("GET", "POST") else f" -X {operation.method}"
    words = [f"curl -i{method} '{BASE_URL}{path}{query}'"]
    if {} not in operation.security:
        words.append('-H "Authorization: Bearer $PRESENCE_ADMIN_TOKEN"')
    if operation.body:
        words.append(f"-d '{json.dumps(operation.example, ensure_ascii=False)}'")
    return " \\\n  ".join(words)


def _plain_patterns(schema: Any) -> Any:
    """Without the guard that only Python's `$` needs: JSON Schema's patterns are ECMAScript's."""
    if isinstance(schema, dict):
        return {
            key: re.sub(r"\(\?!\\n\)\Z", "", value)
            if key == "pattern" and isinstance(value, str)
            else _plain_patterns(value)
            for key, value in schema.items()
        }
    return [_plain_patterns(item) for item in schema] if isinstance(schema, list) else schema


def build() -> dict[str, Any]:
    """The whole document."""
    structs = {models.Problem} | {
        schema
        for operation in OPERATIONS
        for schema in (operation.body, *(s for a in operation.answers for s in a.content.values()))
        if isinstance(schema, type)
    }
    _, schemas = msgspec.json.schema_components(
        sorted(structs, key=lambda struct: struct.__name__),
        schema_hook=_CUSTOM_TYPES.__getitem__,
        ref_template="#/components/schemas/{name}",
    )
    session_schema = msgspec.json.schema(SessionId)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "presence",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "this service"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "parameters": _parameters(_CUSTOM_TYPES[PagePath], session_schema),
            "headers": _HEADERS,
            "responses": {problem_name(status): _problem(status) for status in _PROBLEMS},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token that the operator has set: the site's own, the one of "
                    "`PRESENCE_ADMIN_TOKEN`, or, for metrics, of `PRESENCE_METRICS_TOKEN`. For "
                    "users also one that the site's backend has signed.",
                }
            },
        },
    }
    plain: dict[str, Any] = _plain_patterns(document)
    return plain


def text() -> str:
    """The document as it is committed: indented, for people who read its changes."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


@functools.cache
def document() -> bytes:
    """The document as it is served, made once."""
    return msgspec.json.encode(build())


if __name__ == "__main__":
    sys.stdout.write(text())
