"""`POST /v1/sites/{site}/leave`."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.bodies import read_body
from service.api.context import context_of
from service.api.requests.leaves import decode_leave
from service.api.requests.sizes import MAX_BODY_BYTES


async def leave(request: Request) -> Response:
    """A goodbye."""
    context = context_of(request)
    name, site, headers = context.check_caller(request)
    context.security.check_origin(name, site, headers)
    goodbye = decode_leave(await read_body(request.receive, headers, MAX_BODY_BYTES))
    outcome = await context.store.leave(name, goodbye.sessionId, goodbye.path)
    return Response(status_code=204, headers={"Presence-Status": outcome})
