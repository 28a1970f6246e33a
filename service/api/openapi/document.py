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
from service.api.openapi.custom_types import CUSTOM_TYPES
from service.api.openapi.headers import HEADERS
from service.api.openapi.operation_object import operation_object
from service.api.openapi.operations import OPERATIONS
from service.api.openapi.parameters import parameters
from service.api.openapi.problems import PROBLEMS, problem_name, problem_response
from service.api.requests.fields import SessionId
from service.api.requests.paths import PagePath

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
    "Share": "Tokens that only read the numbers of a private site, for screens and frames. For the "
    "site's token and the operator's.",
    "Operate": "For operators, with the bearer token of `PRESENCE_ADMIN_TOKEN`; the log of events "
    "for the site's own token, too. Refused where none is set, except to this very machine under "
    "`embedded://`.",
    "Service": "The service itself.",
}
_ABOUT = (
    "Who is on your site right now. Heartbeats in, live numbers out.\n\n"
    "Times (`…At`, `at`, `lastSeen`, `since`, `asOf`) are integers, milliseconds since the Unix "
    "epoch, UTC; durations end in `Ms`. Errors are problems by RFC 9457: `detail` says what is "
    "wrong and what would be right, and `field` which field is meant. A path that is none of "
    "these is answered 404, another method 405 with `Allow`; outside `/v1/`, 404, 405 and 422 are "
    "HTML for whoever accepts that. Any page may call the public "
    "endpoints (CORS) of a site without origins or of a private one, which tells no stranger that "
    "it is there, else only pages of its origins; `Presence-Status`, "
    "`Presence-Dropped`, `Presence-Interval`, `Presence-User`, `Retry-After` and `ETag` are "
    "exposed to them."
)


def _portable(schema: Any) -> Any:
    """Without the guard that only Python's `$` needs: JSON Schema's patterns are ECMAScript's. And
    without defaults of null, for which generators of clients would demand a value."""
    if isinstance(schema, dict):
        return {
            key: re.sub(r"\(\?!\\n\)\Z", "", value)
            if key == "pattern" and isinstance(value, str)
            else _portable(value)
            for key, value in schema.items()
            if not (key == "default" and value is None)
        }
    return [_portable(item) for item in schema] if isinstance(schema, list) else schema


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
        schema_hook=CUSTOM_TYPES.__getitem__,
        ref_template="#/components/schemas/{name}",
    )
    session_schema = msgspec.json.schema(SessionId)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation_object(operation)
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
            "parameters": parameters(CUSTOM_TYPES[PagePath], session_schema),
            "headers": HEADERS,
            "responses": {problem_name(status): problem_response(status) for status in PROBLEMS},
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
    plain: dict[str, Any] = _portable(document)
    return plain


def text() -> str:
    """The document as it is committed: indented, for people who read its changes."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


@functools.cache
def document(url: str = "/") -> bytes:
    """The document as it is served, made once. `url`: where the service is, on its host."""
    built = build()
    built["servers"] = [server | {"url": url} for server in built["servers"]]
    return msgspec.json.encode(built)


if __name__ == "__main__":
    sys.stdout.write(text())
