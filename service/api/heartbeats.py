"""`POST /v1/sites/{site}/heartbeat`, `…/heartbeats` and `…/leave`.

`HotHeartbeat` is reached before routing and middleware, and answers with headers only, because
uvicorn writes headers and body as two system calls. `service.server.fast_path` is faster still,
and takes most heartbeats before they come here.
"""

from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.context import context_of, json_response, read_body
from service.api.cors import EXPOSED, RawHeaders
from service.api.geo import NOWHERE
from service.api.intake import Intake, Reply, site_in, to_beat
from service.api.security import headers_of, peer_of
from service.models import (
    MAX_BATCH_BODY_BYTES,
    MAX_BODY_BYTES,
    BatchResult,
    Counts,
    check_site,
    decode_batch,
    decode_leave,
)
from service.store.store import Heartbeat


class HotHeartbeat:
    """An ASGI app that answers `POST /v1/sites/{site}/heartbeat` and hands all else on."""

    def __init__(self, rest: Any, intake: Intake) -> None:
        self.rest = rest
        self.intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            name = site_in(scope["path"])
            if name is not None:
                await answer(self.intake, name, scope, receive, send)
                return
        await self.rest(scope, receive, send)


async def answer(intake: Intake, name: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one heartbeat."""
    headers = headers_of(scope)
    cors = EXPOSED  # what is wrong with a site's id, any page may know
    try:
        site, cors = intake.find(name, headers)
        client = intake.admit(site, headers, peer_of(scope), scope["headers"])
        reply = intake.dropped(headers, cors)
        if reply is None:
            body = await read_body(receive, headers, MAX_BODY_BYTES)
            beat = intake.beat(body, headers, client)
            with_counts = b"counts=1" in scope["query_string"].split(b"&")
            reply = await (_counted if with_counts else _written)(intake, name, beat, cors)
    except ClientDisconnect:
        return
    except Exception as error:
        reply = intake.refused(error, cors)
    await reply(scope, receive, send)


async def _written(intake: Intake, name: str, beat: Heartbeat, cors: RawHeaders) -> Reply:
    outcome = await intake.context.store.heartbeat(name, beat)
    intake.check_outcome(outcome)
    return intake.written(outcome, cors)


async def _counted(intake: Intake, name: str, beat: Heartbeat, cors: RawHeaders) -> Reply:
    """The outcome in a body, with how many are here and on the same page."""
    context = intake.context
    outcome, (active, on_path, as_of) = await context.store.heartbeat_and_count(name, beat)
    intake.check_outcome(outcome)
    intake.count_hot(outcome, status="200")
    next_ms = round(context.settings.heartbeat_interval * 1000)
    counts = Counts(outcome, active, on_path, next_ms, as_of)
    return Reply(200, (*intake.told_of(outcome), *cors, *_JSON), msgspec.json.encode(counts))


_JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


async def heartbeats(request: Request) -> Response:
    """Many at once, for backends. With a token, no limit per address applies."""
    context = context_of(request)
    name = check_site(request.path_params["site"])
    headers = headers_of(request.scope)
    site = context.security.site(name)
    client = ""
    context.check_guesses(request)
    if not context.security.check_backend(site, headers):
        address = context.security.client_address(request.scope)
        context.security.admit(address)
        context.security.check_origin(site, headers)
        client = context.security.hash_address(address)
    batch = decode_batch(await read_body(request.receive, headers, MAX_BATCH_BODY_BYTES))
    beats = [to_beat(heartbeat, client, NOWHERE) for heartbeat in batch.heartbeats]
    results = await context.store.heartbeats(name, beats)
    context.metrics.count_outcomes(results)
    return json_response(BatchResult(results))


async def leave(request: Request) -> Response:
    """A goodbye."""
    context = context_of(request)
    name, site, headers = context.admit(request)
    context.security.check_origin(site, headers)
    goodbye = decode_leave(await read_body(request.receive, headers, MAX_BODY_BYTES))
    outcome = await context.store.leave(name, goodbye.sessionId, goodbye.path)
    return Response(status_code=204, headers={"Presence-Status": outcome})
