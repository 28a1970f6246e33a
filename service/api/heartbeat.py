"""`POST /v1/sites/{site}/heartbeat` by ASGI, for requests that the fast path leaves to it."""

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from service.api.bodies import read_body
from service.api.cors import EXPOSED, RawHeaders
from service.api.intake import Intake, Reply
from service.api.request_head import COUNTED, check_host_in, headers_of, peer_of
from service.api.requests.sizes import MAX_BODY_BYTES, MAX_TOKEN_BODY_BYTES
from service.models import Counts
from service.store.writer import Heartbeat

_JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class HeartbeatEndpoint:
    """The ASGI door, for requests that the fast path leaves to it. Where numbers are not
    asked for it answers with headers only: uvicorn writes headers and body as two system calls."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        intake: Intake = scope["app"].state.intake
        await answer(intake, scope["path_params"]["site"], scope, receive, send)


async def answer(intake: Intake, name: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one heartbeat."""
    headers = headers_of(scope)
    cors = EXPOSED  # any page may read what is wrong with a site's id
    try:
        check_host_in(scope)
        sender = intake.sender_of(peer_of(scope), scope["headers"], headers)
        site, cors, is_allowed = intake.resolve_site(name, sender.origin)
        intake.check_sender(name, site, sender, is_allowed)
        reply = intake.dropped(sender, cors)
        if reply is None:
            most = MAX_TOKEN_BODY_BYTES if site.user_secrets else MAX_BODY_BYTES
            body = await read_body(receive, headers, most)
            beat, cors = intake.beat(name, site, sender, body, cors)
            with_counts = b"counts=1" in scope["query_string"].split(b"&")
            reply = await (_counted if with_counts else _written)(intake, name, beat, cors, scope)
    except ClientDisconnect:
        return
    except Exception as error:
        if COUNTED in scope:
            return
        reply = intake.refused(error, cors)
    scope[COUNTED] = True
    await reply(scope, receive, send)


async def _written(
    intake: Intake, name: str, beat: Heartbeat, cors: RawHeaders, scope: Scope
) -> Reply:
    outcome = await intake.context.store.heartbeat(name, beat)
    _check_waits(scope)
    return intake.outcome_reply(outcome, cors)


def _check_waits(scope: Scope) -> None:
    """Raises ClientDisconnect where the server has given up the request, and counted that."""
    if COUNTED in scope:
        raise ClientDisconnect


async def _counted(
    intake: Intake, name: str, beat: Heartbeat, cors: RawHeaders, scope: Scope
) -> Reply:
    """The outcome in a body, with how many are here and on the same page."""
    context = intake.context
    outcome, (active, on_path, as_of) = await context.store.heartbeat_and_count(name, beat)
    _check_waits(scope)
    intake.check_outcome(outcome)
    intake.count_buffered(outcome, status="200")
    next_ms = round(context.settings.heartbeat_interval * 1000)
    counts = Counts(outcome, active, on_path, next_ms, as_of)
    return Reply(
        200, (*intake.outcome_headers(outcome), *cors, *_JSON), msgspec.json.encode(counts)
    )
