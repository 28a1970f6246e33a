"""`/v1/sites/{site}/shares`: tokens that only read, for screens and frames. For the site's token or
the operator's."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import json_response
from service.api.context import context_of
from service.api.requests.fields import check_share_name
from service.api.share_tokens import digest_of, make_share_token
from service.errors import RequestError
from service.models import NewShare
from service.store.shares import MOST_SHARES


async def shares(request: Request) -> Response:
    """The shares of a site, without their tokens, which nobody has kept."""
    context = context_of(request)
    return json_response(await context.store.shares(context.check_owner(request)))


async def share(request: Request) -> Response:
    """POST makes a share of that name, and tells its token this once; DELETE revokes it."""
    context = context_of(request)
    site = context.check_owner(request)
    name = check_share_name(request.path_params["name"])
    if request.method == "DELETE":
        try:
            is_removed = await context.store.remove_share(site, name)
        finally:
            context.share_tokens.forget(site)
        if not is_removed:
            raise RequestError(404, f"there is no share {name!r} of this site")
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    token = make_share_token()
    digest = digest_of(token.encode())
    assert digest is not None
    made = await context.store.add_share(site, name, digest)
    if made is None:
        raise RequestError(
            409, f"there is a share {name!r} already, or {MOST_SHARES} of this site: revoke one"
        )
    context.share_tokens.forget(site)
    return json_response(NewShare(made.name, made.madeAt, token), status=201)
