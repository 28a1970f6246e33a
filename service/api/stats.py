"""`GET /v1/sites/{site}/stats`, `…/active` and `…/history`."""

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import is_known, json_response
from service.api.context import context_of
from service.api.query import integer, path_parameter
from service.errors import FieldError
from service.store.history import COMPARISONS
from service.store.merge import TOP_LIMIT

MOST_DAYS = 31  # of sources: a table for each, of each shard
LONGEST = {"minutes": 2_880, "hours": 9_600, "days": 400}


async def stats(request: Request) -> Response:
    """All numbers of a site."""
    context = context_of(request)
    name = (await context.check_reader(request)).site
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
    name = (await context.check_reader(request)).site
    return json_response(await context.store.active(name, path_parameter(request)))


async def history(request: Request) -> Response:
    """The last minutes, hours or days."""
    context = context_of(request)
    name = (await context.check_reader(request)).site
    asked = [unit for unit in LONGEST if unit in request.query_params] or ["minutes"]
    if len(asked) > 1:
        raise FieldError(asked[1], f"ask for {asked[0]} or for {asked[1]}, not for both")
    (unit,) = asked
    length = integer(request, unit, 30, 1, LONGEST[unit])
    every = integer(request, "every", 1, 1, 2880)
    compare = request.query_params.get("compare")
    if compare is not None and compare not in COMPARISONS:
        raise FieldError("compare", f"compare is one of {', '.join(COMPARISONS)}")
    if unit == "minutes" and compare not in (None, "day"):
        raise FieldError("compare", "minutes are kept for two days; compare hours or days")
    # Else each point before would be a union of its own: five times as much for Redis to merge.
    if unit == "days" and compare and any(days % every for days in COMPARISONS[compare]):
        aligned = "1" if compare == "day" else "1 or 7"
        raise FieldError("every", f"with compare={compare}, every must be {aligned} for days")
    return json_response(await context.store.history(name, unit, length, every, compare))


async def sources(request: Request) -> Response:
    """How the sessions of the last days came."""
    context = context_of(request)
    name = (await context.check_reader(request)).site
    days = integer(request, "days", 1, 1, MOST_DAYS)
    return json_response(await context.store.arrivals(name, days))
