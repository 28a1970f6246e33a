"""`GET /v1/sites/{site}/stats`, `…/active` and `…/history`."""

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.context import context_of, integer, is_known, json_response
from service.api.requests.paths import clean_path
from service.errors import FieldError
from service.store.merge import TOP_LIMIT

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


async def stats(request: Request) -> Response:
    """All numbers of a site."""
    context = context_of(request)
    name = context.check_reader(request)
    limit = integer(request, "limit", TOP_LIMIT, 1, 1000)
    async with context.store.deadline():
        numbers = await context.stats.get((name, limit))
    # The same numbers a moment later are the same answer: asOf is not part of the tag.
    content = msgspec.json.encode(msgspec.structs.replace(numbers, asOf=0))
    etag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if is_known(etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return json_response(numbers, headers)


async def active(request: Request) -> Response:
    """How many are here, or on one page."""
    context = context_of(request)
    name = context.check_reader(request)
    return json_response(await context.store.active(name, path_parameter(request)))


async def history(request: Request) -> Response:
    """The last minutes or hours."""
    context = context_of(request)
    name = context.check_reader(request)
    if "hours" in request.query_params:
        if "minutes" in request.query_params:
            raise FieldError("hours", "ask for minutes or for hours, not for both")
        resolution_ms, length = HOUR_MS, integer(request, "hours", 24, 1, 2160)
    else:
        resolution_ms, length = MINUTE_MS, integer(request, "minutes", 30, 1, 2880)
    every = integer(request, "every", 1, 1, 2880)
    return json_response(await context.store.history(name, resolution_ms, length, every))


def path_parameter(request: Request) -> str | None:
    """The path of the query string, cleaned as those of heartbeats are, or None.

    Raises:
        FieldError: 422, it is not a path.
    """
    raw = request.query_params.get("path")
    if raw is None:
        return None
    try:
        return clean_path(raw)
    except ValueError as error:
        raise FieldError("path", f"path {error}") from None
