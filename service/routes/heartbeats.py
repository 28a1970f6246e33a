"""`POST /v1/sites/{site}/heartbeat`, `…/heartbeats` and `…/leave`.

`Heartbeats.one` is the hot way: it is reached before routing and middleware, and answers with
headers only, because uvicorn writes headers and body as two system calls.
"""

from typing import Any

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import RequestError, StoreError
from service.geo import Place, place_of
from service.models import (
    MAX_BATCH_BODY_BYTES,
    MAX_BODY_BYTES,
    BatchResult,
    Counts,
    Heartbeat,
    check_site,
    decode_batch,
    decode_heartbeat,
    decode_leave,
)
from service.routes.context import (
    Context,
    context_of,
    json_response,
    problem,
    read_body,
    unexpected,
)
from service.routes.cors import EXPOSED, exposed_to
from service.security import headers_of
from service.store import Beat

log = structlog.get_logger(__name__)

_PREFIX, _SUFFIX = "/v1/sites/", "/heartbeat"
_LIMITED = "this address has opened too many sessions in this minute"


def limited() -> RequestError:
    """What is said to an address that opens too many sessions."""
    return RequestError(429, _LIMITED, headers={"Retry-After": "60"})


def to_beat(heartbeat: Heartbeat, client: str, place: Place) -> Beat:
    """A heartbeat as the script takes it; what its body says of the place wins over headers."""
    country = heartbeat.country or place.country
    details: dict[str, str] = {}
    if heartbeat.pageType:
        details["type"] = heartbeat.pageType
    if heartbeat.referrer:
        details["referrer"] = str(heartbeat.referrer)
    if city := heartbeat.city or place.city:
        details["city"] = str(city)
    latitude, longitude = heartbeat.latitude, heartbeat.longitude
    if latitude is None or longitude is None:
        latitude, longitude = place.latitude, place.longitude
    if latitude is not None and longitude is not None:
        details["latitude"] = _tenths(latitude)
        details["longitude"] = _tenths(longitude)
    return Beat(
        heartbeat.sessionId,
        heartbeat.currentPath,
        country.upper() if country else "",
        client,
        msgspec.json.encode(details).decode() if details else "",
    )


def _tenths(degrees: float) -> str:
    text = f"{degrees:.1f}"
    return "0.0" if text == "-0.0" else text


class HotHeartbeat:
    """An ASGI app that answers `POST /v1/sites/{site}/heartbeat` and hands all else on."""

    def __init__(self, rest: Any) -> None:
        self.rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"].endswith(_SUFFIX)
            and scope["path"].startswith(_PREFIX)
        ):
            site = scope["path"][len(_PREFIX) : -len(_SUFFIX)]
            if "/" not in site:
                await answer(self.rest.state.context, site, scope, receive, send)
                return
        await self.rest(scope, receive, send)


async def answer(context: Context, name: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one heartbeat."""
    headers = headers_of(scope)
    cors: list[tuple[bytes, bytes]] = []
    try:
        security = context.security
        site = security.site(check_site(name))
        if origin := security.allowed_origin(site, headers):
            cors = EXPOSED if origin == b"*" else exposed_to(origin)
        address = security.client_address(scope)
        security.admit(address)
        security.check_origin(site, headers)
        if reason := security.drop_reason(headers):
            context.metrics.dropped.labels(reason).inc()
            outcome = "dropped"
            extra = [_STATUS["dropped"], (b"presence-dropped", reason.encode())]
        else:
            heartbeat = decode_heartbeat(await read_body(receive, headers, MAX_BODY_BYTES))
            place = place_of(headers, context.settings.geo_headers)
            beat = to_beat(heartbeat, security.hash_address(address), place)
            wants_counts = _wants_counts(scope["query_string"])
            if wants_counts:
                outcome, counted = await context.store.heartbeat_and_count(name, beat)
            else:
                outcome = await context.store.heartbeat(name, beat)
            if outcome == "limited":
                context.metrics.count_outcome(outcome)
                raise limited()
            extra = [_STATUS[outcome]]
        context.metrics.count_outcome(outcome)
        if outcome != "dropped" and wants_counts:
            active, on_path, as_of = counted
            counts = Counts(
                outcome,
                active,
                on_path,
                round(context.settings.heartbeat_interval * 1000),
                as_of,
            )
            body = msgspec.json.encode(counts)
            await _send(
                send, 200, [*extra, *cors, (b"content-type", b"application/json"), _NO_STORE], body
            )
            context.metrics.requests.labels("POST", _TEMPLATE, "200").inc()
            return
        await send({"type": "http.response.start", "status": 204, "headers": extra + cors})
        await send({"type": "http.response.body"})
        context.metrics.count_hot_204()
    except (RequestError, StoreError) as error:
        status, problem_headers, body = problem(error)
        raw = [(key.lower().encode(), value.encode()) for key, value in problem_headers.items()]
        await _send(send, status, raw + cors, body)
        context.metrics.requests.labels("POST", _TEMPLATE, str(status)).inc()
    except ClientDisconnect:
        return
    except Exception as error:
        log.error("unexpected_error", kind=type(error).__name__, exc_info=error)
        status, problem_headers, body = problem(unexpected())
        raw = [(key.lower().encode(), value.encode()) for key, value in problem_headers.items()]
        await _send(send, status, raw + cors, body)


_TEMPLATE = "/v1/sites/{site}/heartbeat"
_NO_STORE = (b"cache-control", b"no-store")
_STATUS = {
    outcome: (b"presence-status", outcome.encode())
    for outcome in ("created", "moved", "refreshed", "duplicate", "dropped")
}


def _wants_counts(query: bytes) -> bool:
    return b"counts=1" in query.split(b"&")


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def heartbeats(request: Request) -> Response:
    """Many at once, for backends. With a token, no limit per address applies."""
    context = context_of(request)
    name = check_site(request.path_params["site"])
    headers = headers_of(request.scope)
    site = context.security.site(name)
    client = ""
    if not context.security.check_backend(site, headers):
        address = context.security.client_address(request.scope)
        context.security.admit(address)
        context.security.check_origin(site, headers)
        client = context.security.hash_address(address)
    batch = decode_batch(await read_body(request.receive, headers, MAX_BATCH_BODY_BYTES))
    beats = [to_beat(heartbeat, client, Place()) for heartbeat in batch.heartbeats]
    results = await context.store.heartbeats(name, beats)
    for outcome in results:
        context.metrics.count_outcome(outcome)
    return json_response(BatchResult(results))


async def leave(request: Request) -> Response:
    """A goodbye."""
    context = context_of(request)
    name, site, headers = context.admit(request)
    context.security.check_origin(site, headers)
    goodbye = decode_leave(await read_body(request.receive, headers, MAX_BODY_BYTES))
    outcome = await context.store.leave(name, goodbye.sessionId)
    return Response(status_code=204, headers={"Presence-Status": outcome})
