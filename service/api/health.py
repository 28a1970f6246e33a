"""`/livez`, `/readyz` and `/metrics`."""

import contextlib
import math

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.api.answers import json_response
from service.api.context import context_of
from service.api.request_head import headers_of
from service.errors import StoreBusy, StoreError
from service.models import Ready
from service.ops.metrics import CONTENT_TYPE


async def livez(request: Request) -> Response:
    """The process is up; says nothing of Redis, so that nobody restarts it for Redis's sake."""
    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


async def readyz(request: Request) -> Response:
    """A real write has reached Redis; 503 otherwise, as a problem, and while the service stops."""
    context = context_of(request)
    if context.is_draining():
        raise StoreBusy("the service is stopping")
    await context.store.probe()
    return json_response(Ready("ready"))


async def metrics(request: Request) -> Response:
    """Everything measured, for Prometheus. What Redis cannot say now is left out, for it
    is not what it was."""
    context = context_of(request)
    context.check_guesses(request)
    context.security.check_metrics(headers_of(request.scope))
    names = context.settings.site_labels
    counts: dict[str, int | None] = dict.fromkeys(names)
    with contextlib.suppress(StoreError):  # a scrape is worth most while Redis is down
        counts = {row.site: row.activeVisitors for row in (await context.store.sites(names)).sites}
    for name, count in counts.items():
        context.metrics.active.labels(name).set(math.nan if count is None else count)
    return Response(context.metrics.render(), headers={"Content-Type": CONTENT_TYPE})
