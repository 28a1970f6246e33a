"""`/v1/sites/{site}/users`: who is here, not only how many."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import json_response
from service.api.bodies import read_body
from service.api.context import context_of
from service.api.query import integer, path_parameter
from service.api.request_head import headers_of
from service.api.requests.fields import check_site, check_user_id
from service.api.requests.user_statuses import MAX_STATUSES_BODY_BYTES, decode_status_query
from service.api.user_access import check_users_eraser, check_users_reader
from service.api.user_tokens import User
from service.errors import RequestError
from service.models import UserRow
from service.webhooks.status import forget_user


async def users(request: Request) -> Response:
    """Users who are here, or on a page, page by page."""
    context = context_of(request)
    name, path = check_site(request.path_params["site"]), path_parameter(request)
    reader = check_users_reader(context, request, name, path)
    page = await context.store.users(
        name,
        limit=integer(request, "limit", 100, 1, 1000),
        cursor=request.query_params.get("cursor") or None,
        path=path,
    )
    if reader and reader.user:
        seen = [_seen_by(reader.user, row) for row in page.users]
        page = msgspec.structs.replace(page, users=seen)
    return json_response(page)


def _seen_by(reader: User, row: UserRow) -> UserRow:
    """A row with the pages only that its reader may see."""
    return msgspec.structs.replace(row, paths=list(filter(reader.may_see, row.paths)))


async def statuses(request: Request) -> Response:
    """Whether users are here, and when they last were."""
    context = context_of(request)
    name = check_site(request.path_params["site"])
    check_users_reader(context, request, name, None)
    body = await read_body(request.receive, headers_of(request.scope), MAX_STATUSES_BODY_BYTES)
    return json_response(await context.store.user_statuses(name, decode_status_query(body)))


async def user(request: Request) -> Response:
    """What is known of one user; DELETE erases it."""
    context = context_of(request)
    name = check_site(request.path_params["site"])
    if request.method == "DELETE":
        check_users_eraser(context, request, name)
        user_id = check_user_id(request.path_params["user_id"])
        await context.store.erase_user(name, user_id)
        await forget_user(context.store, context.settings.sites, name, user_id)
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    check_users_reader(context, request, name, None)
    user_id = check_user_id(request.path_params["user_id"])
    if (found := await context.store.user(name, user_id)) is None:
        raise RequestError(404, f"nothing is known of a user {user_id}")
    return json_response(found)
