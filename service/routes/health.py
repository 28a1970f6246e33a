"""`/livez`, `/readyz` and `/metrics`."""

import contextlib

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.errors import StoreBusy, StoreError
from service.metrics import CONTENT_TYPE
from service.models import Ready
from service.routes.context import context_of, json_response
from service.security import headers_of

SITES_AT_ONCE = 1000


async def livez(request: Request) -> Response:
    """The process is up; says nothing of Redis, so that nobody restarts it for Redis's sake."""
    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


async def readyz(request: Request) -> Response:
    """A real write has reached Redis; 503 otherwise, as a problem, and while the service stops."""
    context = context_of(request)
    if context.draining.is_on:
        raise StoreBusy("the service is stopping")
    await context.store.probe()
    return json_response(Ready("ready"))


async def metrics(request: Request) -> Response:
    """Everything measured, for Prometheus."""
    context = context_of(request)
    context.security.check_metrics(headers_of(request.scope))
    names = list(context.settings.sites.by_id)
    with contextlib.suppress(StoreError):  # a scrape is worth most while Redis is down
        # Chunk by chunk: a call for each of thousands of sites would take all connections.
        async with context.store.deadline():
            for begin in range(0, len(names), SITES_AT_ONCE):
                counted = await context.store.sites(names[begin : begin + SITES_AT_ONCE])
                for row in counted.sites:
                    context.metrics.active.labels(row.site).set(row.activeVisitors)
    return Response(context.metrics.render(), headers={"Content-Type": CONTENT_TYPE})
