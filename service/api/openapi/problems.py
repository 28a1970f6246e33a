"""The answers that are errors, by status."""

from typing import Any

import msgspec

from service import models
from service.api.openapi.references import ref

# Status -> when, headers, field, detail of the example.
PROBLEMS: dict[int, tuple[str, tuple[str, ...], str | None, str]] = {
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
    409: (
        "There is something of that name already, or as much as there may be.",
        (),
        None,
        "there is a share 'lobby' already, or 100 of this site: revoke one",
    ),
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


def problem_name(status: int) -> str:
    """The name of a problem among the document's responses."""
    return models.title_of(status).title().replace(" ", "")


def problem_response(status: int) -> dict[str, Any]:
    """OpenAPI's Response Object of a problem."""
    when, headers, field, detail = PROBLEMS[status]
    example = models.Problem("about:blank", models.title_of(status), status, detail, field)
    return {
        "description": when,
        "headers": {name: ref("headers", name) for name in headers},
        "content": {
            "application/problem+json": {
                "schema": ref("schemas", "Problem"),
                "example": msgspec.to_builtins(example),
            }
        },
    }
