"""`GET /v1/sites/{site}/events`: what sessions did, for operators and the site's own backend."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.api.answers import STREAMED, json_response
from service.api.context import context_of
from service.api.export import event_lines
from service.api.query import integer
from service.errors import FieldError
from service.models import EventPage
from service.store.events import MOST_EVENTS
from service.store.store import PresenceStore


async def events(request: Request) -> Response:
    """Events in the order of the log: a page of them, or, as NDJSON, all of them."""
    context = context_of(request)
    name = context.check_owner(request)
    after = request.query_params.get("after", "")
    limit = integer(request, "limit", MOST_EVENTS, 1, MOST_EVENTS)
    wanted = request.query_params.get("format", "json")
    if wanted not in ("json", "ndjson"):
        raise FieldError("format", "format must be json or ndjson")
    first = await context.store.events(name, after=after, limit=limit)
    if wanted == "json":
        return json_response(first)
    return StreamingResponse(
        _lines(context.store, name, first, limit),
        media_type="application/x-ndjson",
        headers=STREAMED,
    )


async def _lines(
    store: PresenceStore, name: str, first: EventPage, limit: int
) -> AsyncIterator[str]:
    """All pages to the end of the log as it is then: on a busy site it never stands still."""
    page = first
    while page.events:
        yield event_lines(page)
        if not page.more:
            break
        page = await store.events(name, after=page.next, limit=limit)
