"""What is answered: JSON, a problem, or that a client has the answer already."""

from typing import Any

import msgspec
from starlette.responses import Response

from service.errors import PresenceError, RequestError, StoreError
from service.models import Problem, title_of

# Of answers that come bit by bit. A proxy that compresses holds back what fills no block, for as
# long as the stream lasts, unless it may not transform (RFC 9111, 5.2.2.6); nginx collects what is
# not to be buffered unless it is told so in a header of its own.
STREAMED = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
RETRY_AFTER_S = "1"  # a Redis that fails over is back within seconds; clients add their own jitter


def problem(error: PresenceError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error, by RFC 9457."""
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if isinstance(error, RequestError):
        status, detail, field = error.status, error.detail, error.field
        headers |= error.headers
    else:
        assert isinstance(error, StoreError)
        status, detail, field = 503, error.detail, None
        headers["Retry-After"] = RETRY_AFTER_S
    return (
        status,
        headers,
        msgspec.json.encode(Problem("about:blank", title_of(status), status, detail, field)),
    )


def unexpected() -> RequestError:
    """What is said when the fault is ours."""
    return RequestError(500, "an error of ours; it has been logged")


def problem_response(error: PresenceError) -> Response:
    """The error as a response."""
    status, headers, body = problem(error)
    return Response(body, status, headers)


def json_response(
    value: Any, headers: dict[str, str] | None = None, *, status: int = 200
) -> Response:
    """A struct as JSON. Live numbers are never to be cached unless a header says otherwise."""
    return Response(
        msgspec.json.encode(value),
        status,
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"} | (headers or {}),
    )


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether a client has this very answer: by weak comparison, RFC 9110, 13.1.2."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag.removeprefix("W/") in tags or tags == {"*"}
