"""`/v1/sites/{site}/webhooks`: how sending goes, and tests. For the site's token or the
operator's."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import json_response
from service.api.context import Context, context_of
from service.errors import RequestError
from service.webhook_config import Webhook
from service.webhooks.status import read_statuses
from service.webhooks.trial import send_test


async def webhooks(request: Request) -> Response:
    """Each webhook of a site, without its secrets and what is secret of its address."""
    context = context_of(request)
    site = context.check_owner(request)
    return json_response(await read_statuses(context.store, site, _webhooks_of(context, site)))


async def test(request: Request) -> Response:
    """Sends a test to one of them, and tells what came of it."""
    context = context_of(request)
    site = context.check_owner(request)
    name = request.path_params["name"]
    for webhook in _webhooks_of(context, site):
        if webhook.name == name:
            return json_response(await send_test(context.store, site, webhook))
    raise RequestError(404, f"this site has no webhook {name!r}")


def _webhooks_of(context: Context, site: str) -> tuple[Webhook, ...]:
    known = context.settings.sites.find(site)
    return known.webhooks if known is not None else ()
