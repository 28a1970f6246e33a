"""For operators: `/v1/sites`, `/v1/sites/{site}/sessions` and one session of them."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import json_response
from service.api.context import context_of
from service.api.query import integer, path_parameter
from service.api.request_head import headers_of
from service.api.requests.fields import check_session_id
from service.errors import FieldError, RequestError
from service.sites import is_site_id


async def sites(request: Request) -> Response:
    """The configured sites, or, where none are, those heard of, page by page; with how many are on
    each."""
    context = context_of(request)
    context.check_guesses(request)
    context.security.check_operator(headers_of(request.scope))
    limit = integer(request, "limit", 1000, 1, 1000)
    cursor = request.query_params.get("cursor")
    if cursor is not None and not is_site_id(cursor):
        raise FieldError("cursor", "cursor must be what an earlier answer gave as nextCursor")
    after = cursor or ""
    if configured := context.settings.sites.by_id:
        names = [name for name in sorted(configured) if name > after][: limit + 1]
    else:
        names = await context.store.site_names(after, limit + 1)
    page = await context.store.sites(names[:limit])
    if len(names) > limit:
        page = msgspec.structs.replace(page, nextCursor=names[limit - 1])
    return json_response(page)


async def sessions(request: Request) -> Response:
    """Active sessions, page by page."""
    context = context_of(request)
    name = context.check_operator(request)
    page = await context.store.sessions(
        name,
        limit=integer(request, "limit", 100, 1, 1000),
        cursor=request.query_params.get("cursor") or None,
        path=path_parameter(request),
    )
    return json_response(page)


async def session(request: Request) -> Response:
    """One active session; DELETE ends it at once, and with `erase=1` erases all of it."""
    context = context_of(request)
    name = context.check_operator(request)
    session_id = check_session_id(request.path_params["session_id"])
    if request.method == "DELETE":
        if integer(request, "erase", 0, 0, 1):  # another value may be meant as a yes, too
            return json_response(await context.store.erase_session(name, session_id))
        if not await context.store.end(name, session_id):
            raise _unknown(session_id)
        return Response(status_code=204)
    found = await context.store.session(name, session_id)
    if found is None:
        raise _unknown(session_id)
    return json_response(found)


def _unknown(session_id: str) -> RequestError:
    return RequestError(404, f"there is no active session {session_id}")
