"""`POST /v1/sites/{site}/heartbeats`."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.address_limits import LIMITED, LIMITED_S
from service.api.answers import json_response
from service.api.bodies import read_body
from service.api.context import Context, context_of
from service.api.geo import NOWHERE
from service.api.heartbeat_bodies import to_beat
from service.api.request_head import headers_of
from service.api.requests.batches import MAX_BATCH_BODY_BYTES, decode_batch
from service.api.requests.fields import check_site
from service.api.requests.heartbeats import BatchHeartbeat
from service.api.source_names import names_of
from service.api.user_access import NO_USERS
from service.api.user_tokens import NOBODY, User, Verdict
from service.errors import FieldError, RequestError
from service.models import BatchResult, ItemError, Limited
from service.sites import Site
from service.store.writer import Heartbeat

_TOO_FAST = "this address sends more heartbeats than it may; a backend shows a token"
_TOO_FAST_S = 2  # in which an address may send as many again as at once


async def heartbeats(request: Request) -> Response:
    """Many at once, for backends. With a token, no limit per address applies. Those that are not
    heartbeats keep nobody else from being counted."""
    context = context_of(request)
    name = check_site(request.path_params["site"])
    headers = headers_of(request.scope)
    site = context.security.site_or_unknown(name)
    address, client = context.security.addresses.of_request(request.scope), ""
    context.check_guesses(request)
    has_token = context.security.check_backend(name, site, headers)
    if not has_token:
        context.security.limits.count(address)
        context.security.check_origin(name, site, headers)
        client = context.security.addresses.hash(address)
    budget = context.backend_bodies if has_token else context.open_bodies
    with budget.counted() as take:
        body = await read_body(request.receive, headers, MAX_BATCH_BODY_BYTES, take)
        batch = await decode_batch(body)
        del body
    beats: list[Heartbeat] = []
    errors: list[ItemError] = []
    for index, item in enumerate(batch):
        try:
            if isinstance(item, RequestError):
                raise item
            verdict = _verdict_on(context, name, site, item, has_token=has_token)
            sources = ""
            if item.source is not None:
                sources = names_of(item, item.device or "--", {}, site)
            beats.append(to_beat(item, client, NOWHERE, verdict, sources))
        except RequestError as error:
            errors.append(ItemError(index, error.field or "heartbeats", error.detail))
    # Each counts as a request of its own would: the batch itself has counted for the first.
    limits = context.security.limits
    most = len(beats) if has_token else 1 + limits.count_more(address, len(beats) - 1)
    results = await context.store.heartbeats(name, beats[:most]) if beats else []
    results += ["limited"] * (len(beats) - most)
    for wrong in errors:
        results.insert(wrong.index, "invalid")
    context.metrics.count_outcomes(results)
    if "limited" not in results:
        return json_response(BatchResult(results, errors))
    why, seconds = (LIMITED, LIMITED_S) if most == len(beats) else (_TOO_FAST, _TOO_FAST_S)
    limited = Limited(why, seconds * 1000)
    return json_response(BatchResult(results, errors, limited), {"Retry-After": str(seconds)})


def _verdict_on(
    context: Context, name: str, site: Site, item: BatchHeartbeat, *, has_token: bool
) -> Verdict:
    """Who somebody is, by a backend's word or a token of theirs.

    Raises:
        FieldError: 422, this is not for the sender to say, or the site has no users.
    """
    if item.userId is None:
        if item.userToken is None:
            return NOBODY
        return context.user_tokens.verify(name, site, item.userToken)
    if not site.user_secrets:
        raise FieldError("userId", NO_USERS)
    if not has_token:
        raise FieldError("userId", "only a backend that shows the site's token may give a userId")
    # What a backend does not say stays as it is.
    said = {"name": item.name, "avatar": item.avatar}
    told = {field: str(text) for field, text in said.items() if text is not None}
    user = User(item.userId, told.get("name", ""), told.get("avatar", ""))
    return Verdict("ok", user, msgspec.json.encode(told).decode() if told else "")
