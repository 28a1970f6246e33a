"""`GET /v1/sites/{site}/live`: a stream of events, by the HTML standard's server-sent events."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.answers import STREAMED
from service.api.context import Context, Reader, context_of
from service.api.query import path_parameter
from service.api.requests.fields import check_site
from service.api.share_tokens import ShareLease
from service.api.user_access import check_users_reader
from service.errors import FieldError, StoreError
from service.live.hub import Hub
from service.live.messages import SubscribeOptions, Subscriber

COMMENT_S = 15.0  # so that proxies, and we, notice who has gone
RECONNECT_MS = (1000, 4000)  # after a restart not all come back in the same moment
_MEDIA_TYPE = "text/event-stream"


class Live:
    """The stream as an ASGI app: whatever way it ends, its slot comes back."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        context = context_of(request)
        reader, options, expires = await _admit(request, context)
        name = reader.site
        if request.method == "HEAD":
            head = Response(headers=STREAMED, media_type=_MEDIA_TYPE)
            del head.headers["content-length"]
            await head(scope, receive, send)
            return
        with (
            context.streams.taken(context.security.addresses.of_request(scope)),
            context.hub.subscribed(name, options) as subscriber,
        ):
            await context.hub.catch_up(name, subscriber, _known_positions(request, context, name))
            # A stream lasts for hours, and the head of its request may have 64 KB.
            del request
            scope["headers"], scope["query_string"] = [], b""
            context.metrics.streams.inc()
            try:
                response = _EventStream(
                    _events(context.hub, name, subscriber, expires, reader.share),
                    media_type=_MEDIA_TYPE,
                    headers=STREAMED,
                )
                await response(scope, receive, send)
            finally:
                context.metrics.streams.dec()


async def _admit(request: Request, context: Context) -> tuple[Reader, SubscribeOptions, float]:
    """Who asks, for what, and until when they may be told, s since the epoch. A HEAD may ask for
    what is not a page."""
    query = request.query_params
    wants_feed = query.get("feed") == "1"
    if query.get("users") != "1":
        reader = await context.check_reader(request)
        is_head = request.method == "HEAD"
        options = SubscribeOptions(wants_feed, None if is_head else path_parameter(request))
        return reader, options, math.inf
    name, path = check_site(request.path_params["site"]), path_parameter(request)
    verdict = check_users_reader(context, request, name, path)
    expires = verdict.expires if verdict else math.inf
    # The numbers of a private site are for its token and the operator's, as those of `stats` are.
    numbers = verdict is None or context.security.site_or_unknown(name).public
    return Reader(name), SubscribeOptions(wants_feed, path, users=True, numbers=numbers), expires


class _EventStream(StreamingResponse):
    """Holds no event while it waits for the next one: a snapshot of its own for each stream that
    asks for a page of its own would be most of what a stream takes."""

    async def stream_response(self, send: Send) -> None:
        """Sends what comes."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        async for chunk in self.body_iterator:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            del chunk
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _known_positions(request: Request, context: Context, site: str) -> list[str] | None:
    """Where the client's last stream stopped; None: it has not said so, or nothing of ours."""
    last = request.headers.get("last-event-id", "")
    try:
        return context.store.known_positions(site, last) if last else None
    except FieldError:
        return None


async def _events(
    hub: Hub,
    site: str,
    subscriber: Subscriber,
    expires: float,
    share: ShareLease | None = None,
) -> AsyncIterator[bytes]:
    """What is sent until the service stops, or the token that let the client in expires or is
    revoked."""
    patience_s = min(COMMENT_S, share.every_s) if share else COMMENT_S
    yield b"retry: %d\n\n" % random.randint(*RECONNECT_MS)  # noqa: S311  # no secret
    while (left_s := expires - time.time()) > 0:
        try:
            async with asyncio.timeout(min(patience_s, left_s)):
                event = await subscriber.take()
        except TimeoutError:
            event = b":\n\n"
        if event is None:
            return
        if share and not await share.holds():
            return
        if event:
            yield event
            del event  # as in _EventStream
            continue
        # More has changed while the client was slow than is worth remembering.
        try:
            await hub.catch_up(site, subscriber, None)
        except StoreError:
            return
