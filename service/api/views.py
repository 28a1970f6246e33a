"""`POST /v1/sites/{site}/views` for browsers and backends, `GET` the same for operators."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.api.address_limits import limited
from service.api.answers import STREAMED, json_response
from service.api.bodies import read_body
from service.api.context import context_of
from service.api.export import CSV_HEADER, csv_row, ndjson_row
from service.api.query import integer
from service.api.requests.page_views import decode_view
from service.api.requests.sizes import MAX_BODY_BYTES
from service.errors import FieldError
from service.models import ViewPage
from service.store.store import PresenceStore
from service.store.writer import PageView

_FORMATS = {
    "csv": ("text/csv; charset=utf-8", CSV_HEADER, csv_row),
    "ndjson": ("application/x-ndjson", "", ndjson_row),
}


async def _record(request: Request) -> Response:
    """Records a page view."""
    context = context_of(request)
    name, site, headers = context.check_caller(request)
    context.security.check_origin(name, site, headers)
    if reason := context.security.drop_reason(headers):
        context.metrics.dropped.labels(reason).inc()
        dropped = {"Presence-Status": "dropped", "Presence-Dropped": reason}
        return Response(status_code=204, headers=dropped)
    view = decode_view(await read_body(request.receive, headers, MAX_BODY_BYTES))
    address = context.security.addresses.of_request(request.scope)
    page_view = PageView(view.sessionId, view.path, view.pageType or "", str(view.referrer or ""))
    outcome = await context.store.view(
        name, page_view, client=context.security.addresses.hash(address)
    )
    if outcome == "limited":
        raise limited()
    return Response(status_code=204, headers={"Presence-Status": outcome})


async def views(request: Request) -> Response:
    """One resource, two methods."""
    return await (_record if request.method == "POST" else _list)(request)


async def _list(request: Request) -> Response:
    """Page views in order: a page of them, or, as CSV or NDJSON, all of them."""
    context = context_of(request)
    name = context.check_operator(request)
    after = request.query_params.get("after", "")
    limit = integer(request, "limit", 1000, 1, 10_000)
    wanted = request.query_params.get("format", "json")
    if wanted != "json" and wanted not in _FORMATS:
        raise FieldError("format", "format must be json, csv or ndjson")
    first = await context.store.views(name, after=after, limit=limit)
    if wanted == "json":
        return json_response(first)
    media_type, header, row = _FORMATS[wanted]

    async def lines() -> AsyncIterator[str]:
        yield header
        async for page in _pages(context.store, name, first, limit):
            yield "".join(row(view) for view in page.views)

    disposition = f'attachment; filename="{name}-views.{wanted}"'
    return StreamingResponse(
        lines(), media_type=media_type, headers=STREAMED | {"Content-Disposition": disposition}
    )


async def _pages(
    store: PresenceStore, name: str, first: ViewPage, limit: int
) -> AsyncIterator[ViewPage]:
    page = first
    while page.views:
        yield page
        page = await store.views(name, after=page.next, limit=limit)
