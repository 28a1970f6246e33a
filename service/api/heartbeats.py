"""`POST /v1/sites/{site}/heartbeat`, `…/heartbeats` and `…/leave`.

`Intake` has the steps of one heartbeat, from a request's parts to the store and back. Two doors
lead to it: `server.fast_path`, which answers most heartbeats without an ASGI scope, and the ASGI
route here.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.context import Context, context_of, json_response, problem, read_body, unexpected
from service.api.cors import EXPOSED, RawHeaders, exposed_to, telling_user
from service.api.geo import NOWHERE, Place, place_of
from service.api.request_head import NEEDS_HOST, check_host, headers_of, peer_of
from service.api.requests.batches import decode_batch
from service.api.requests.fields import check_site
from service.api.requests.heartbeats import BatchHeartbeat, HeartbeatBody, decode_heartbeat, is_bare
from service.api.requests.leaves import decode_leave
from service.api.requests.locations import NO_COUNTRY
from service.api.requests.sizes import MAX_BATCH_BODY_BYTES, MAX_BODY_BYTES, MAX_TOKEN_BODY_BYTES
from service.api.user_tokens import NOBODY, User, Verdict
from service.errors import FieldError, PresenceError, RequestError
from service.models import BatchResult, Counts, ItemError, Limited
from service.sites import Site
from service.store.waiters import Waiter
from service.store.writer import OUTCOMES, Heartbeat

log = structlog.get_logger(__name__)

TEMPLATE = "/v1/sites/{site}/heartbeat"
_PREFIX, _SUFFIX = "/v1/sites/", "/heartbeat"
_LIMITED = "this address has opened too many sessions in this minute"
_TOO_FAST = "this address sends more heartbeats than it may; a backend shows a token"
NO_USERS = "this site has no users: give it user_secrets in PRESENCE_SITES_FILE"
_TOO_FAST_S = 2  # in which an address may send as many again as at once
_LIMITED_S = 60  # from then on it may open more, whenever in its minute it was refused


CROWD = 256  # heartbeats waiting at once; at a steady load they are as many as connections
SPREAD = 32  # times they are then told in turn


def _headers_by_outcome(interval_s: float) -> dict[str, RawHeaders]:
    interval = b"presence-interval", f"{interval_s:g}".encode()
    return {
        outcome: ((b"presence-status", outcome.encode()), interval)
        for outcome in (*sorted(OUTCOMES), "dropped")
    }


def limited() -> RequestError:
    """What is said to an address that opens too many sessions."""
    return RequestError(429, _LIMITED, headers={"Retry-After": str(_LIMITED_S)})


def site_in(path: str) -> str | None:
    """What stands for the site in the path of a heartbeat; None: it is another path."""
    if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)):
        return None
    name = path[len(_PREFIX) : -len(_SUFFIX)]
    return None if "/" in name else name


def to_beat(
    heartbeat: HeartbeatBody, client: str, place: Place, verdict: Verdict = NOBODY
) -> Heartbeat:
    """A heartbeat as the script takes it; what its body says of the place wins over headers."""
    user = verdict.user
    user_id = user.id if user else ""
    if place is NOWHERE and is_bare(heartbeat):
        session_id, path = heartbeat.sessionId, heartbeat.currentPath
        return Heartbeat(session_id, path, "", client, verdict.details, user_id)
    country = heartbeat.country.upper() if heartbeat.country else ""
    if not country or country in NO_COUNTRY:
        country = place.country or ""
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
    if verdict.details:
        details |= msgspec.json.decode(verdict.details)
    return Heartbeat(
        heartbeat.sessionId,
        heartbeat.currentPath,
        country,
        client,
        msgspec.json.encode(details).decode() if details else "",
        user_id,
    )


def _tenths(degrees: float) -> str:
    text = f"{degrees:.1f}"
    return "0.0" if text == "-0.0" else text


class Reply(NamedTuple):
    """An answer that is complete. `headers` without Content-Length, in lower case."""

    status: int
    headers: RawHeaders
    body: bytes = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer as an ASGI app. One with a status of 204 has headers only."""
        headers = [*self.headers]
        if self.status != 204:
            headers.append((b"content-length", str(len(self.body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Intake:
    """Takes heartbeats in. Each step raises a PresenceError where the heartbeat ends there."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._security = context.security
        self._geo_headers = context.settings.geo_headers
        self.count_buffered = context.metrics.count_buffered
        self._spread_s = max(1, int(context.settings.heartbeat_interval))
        self.queue = context.store.queue
        settings = context.settings
        interval_s = settings.heartbeat_interval
        # What an answer says of each outcome, and when the next heartbeat is wanted.
        self.headers_by_outcome = _headers_by_outcome(interval_s)
        earliest_s = max(interval_s / 2, settings.heartbeat_dedup)
        step_s = (interval_s - earliest_s) / SPREAD
        self._staggered_headers = itertools.cycle(
            [_headers_by_outcome(round(interval_s - n * step_s, 2)) for n in range(SPREAD)]
        )

    def outcome_headers(self, outcome: str) -> RawHeaders:
        """The headers that tell an outcome. While many wait at once they will all be back at once:
        each is told another time, from half the interval on, and the next time they are spread."""
        if self.queue.waiting < CROWD:
            return self.headers_by_outcome[outcome]
        return next(self._staggered_headers)[outcome]

    def find_site(self, name: str, headers: Mapping[bytes, bytes]) -> tuple[Site, RawHeaders]:
        """What is configured of a site, and the headers that let the caller's page read any
        answer about it. An unknown site is refused by `check_client`, as a private one is. Raises
        RequestError, 422."""
        site = self._security.site_or_unknown(check_site(name))
        if not site.origins or not site.public:
            return site, EXPOSED
        origin = self._security.allowed_origin(site, headers)
        return site, exposed_to(origin) if origin else ()

    def check_client(
        self,
        name: str,
        site: Site,
        headers: Mapping[bytes, bytes],
        peer: str,
        raw_headers: Sequence[tuple[bytes, bytes]],
    ) -> str:
        """The keyed hash of the client's address, counted against its limit. Raises RequestError,
        429, 403 or 404."""
        address = self._security.addresses.of(peer, raw_headers)
        self._security.limits.count(address)
        self._security.check_origin(name, site, headers)
        return self._security.addresses.hash(address)

    def dropped(self, headers: Mapping[bytes, bytes], cors: RawHeaders) -> Reply | None:
        """The answer to a heartbeat that is not counted, such as a crawler's; None: it is."""
        reason = self._security.drop_reason(headers)
        if reason is None:
            return None
        self.context.metrics.dropped.labels(reason).inc()
        self.count_buffered("dropped")
        return Reply(
            204,
            (*self.headers_by_outcome["dropped"], (b"presence-dropped", reason.encode()), *cors),
        )

    def beat(
        self,
        name: str,
        site: Site,
        headers: Mapping[bytes, bytes],
        body: bytes,
        client: str,
        cors: RawHeaders,
    ) -> tuple[Heartbeat, RawHeaders]:
        """The heartbeat in a body, and the headers of its answer. A user's token that does not
        hold makes it one of nobody. Raises RequestError, 400 or 422."""
        heartbeat = decode_heartbeat(body)
        place = NOWHERE if self._geo_headers == "none" else place_of(headers, self._geo_headers)
        if heartbeat.userToken is None:
            return to_beat(heartbeat, client, place), cors
        verdict = self.context.user_tokens.verify(name, site, heartbeat.userToken)
        return to_beat(heartbeat, client, place, verdict), telling_user(cors, verdict.word)

    def begin(
        self,
        name: str,
        peer: str,
        raw_headers: Sequence[tuple[bytes, bytes]],
        headers: Mapping[bytes, bytes],
        body: bytes,
        waiter: Waiter[str],
    ) -> tuple[Heartbeat | Reply, RawHeaders]:
        """All steps in one for a request that is here as a whole: the answer, or the heartbeat,
        whose outcome the waiter is told."""
        cors = EXPOSED  # any page may read what is wrong with a site's id
        try:
            # A header that is there twice, or no Host: seldom, and then it is looked at.
            if len(headers) < len(raw_headers) or b"host" not in headers:
                check_host(raw_headers, needs_host=True)
            site, cors = self.find_site(name, headers)
            client = self.check_client(name, site, headers, peer, raw_headers)
            if reply := self.dropped(headers, cors):
                return reply, cors
            beat, cors = self.beat(name, site, headers, body, client, cors)
            self.context.store.submit(name, beat, waiter)
        except Exception as error:
            return self.refused(error, cors), cors
        return beat, cors

    def outcome_reply(self, outcome: str, cors: RawHeaders) -> Reply:
        """The answer that tells an outcome."""
        try:
            self.check_outcome(outcome)
        except RequestError as error:
            return self.refused(error, cors)
        self.count_buffered(outcome)
        return Reply(204, (*self.outcome_headers(outcome), *cors))

    def check_outcome(self, outcome: str) -> None:
        """Raises RequestError, 429, where the script refused to open a session."""
        if outcome == "limited":
            self.context.metrics.count_outcomes([outcome])
            raise limited()

    def refused(self, error: Exception, cors: RawHeaders) -> Reply:
        """The answer to a heartbeat that ended with an error, which is counted."""
        if not isinstance(error, PresenceError):
            log.error("unexpected_error", kind=type(error).__name__, exc_info=error)
            error = unexpected()
        status, headers, body = problem(error)
        if status == 503:
            # All clients of a site fail in the same moment; they are not to come back in one.
            headers["Retry-After"] = str(random.randint(1, self._spread_s))  # noqa: S311
        raw = tuple((key.lower().encode(), value.encode()) for key, value in headers.items())
        self.context.metrics.requests.labels("POST", TEMPLATE, str(status)).inc()
        return Reply(status, raw + cors, body)


def is_heartbeat(scope: Scope) -> bool:
    """Whether `HeartbeatEndpoint` answers this request. Middleware leaves it alone: its answers
    carry their own headers and are counted there, as on the fast path."""
    return bool(
        scope["type"] == "http" and scope["method"] == "POST" and site_in(scope["path"]) is not None
    )


class HeartbeatEndpoint:
    """The ASGI door, for requests that the fast path leaves to it. It answers with headers only:
    uvicorn writes headers and body as two system calls."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        intake: Intake = scope["app"].state.intake
        await answer(intake, scope["path_params"]["site"], scope, receive, send)


async def answer(intake: Intake, name: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one heartbeat."""
    headers = headers_of(scope)
    cors = EXPOSED  # any page may read what is wrong with a site's id
    try:
        check_host(scope["headers"], needs_host=NEEDS_HOST in scope)
        site, cors = intake.find_site(name, headers)
        client = intake.check_client(name, site, headers, peer_of(scope), scope["headers"])
        reply = intake.dropped(headers, cors)
        if reply is None:
            most = MAX_TOKEN_BODY_BYTES if site.user_secrets else MAX_BODY_BYTES
            body = await read_body(receive, headers, most)
            beat, cors = intake.beat(name, site, headers, body, client, cors)
            with_counts = b"counts=1" in scope["query_string"].split(b"&")
            reply = await (_counted if with_counts else _written)(intake, name, beat, cors)
    except ClientDisconnect:
        return
    except Exception as error:
        reply = intake.refused(error, cors)
    await reply(scope, receive, send)


async def _written(intake: Intake, name: str, beat: Heartbeat, cors: RawHeaders) -> Reply:
    return intake.outcome_reply(await intake.context.store.heartbeat(name, beat), cors)


async def _counted(intake: Intake, name: str, beat: Heartbeat, cors: RawHeaders) -> Reply:
    """The outcome in a body, with how many are here and on the same page."""
    context = intake.context
    outcome, (active, on_path, as_of) = await context.store.heartbeat_and_count(name, beat)
    intake.check_outcome(outcome)
    intake.count_buffered(outcome, status="200")
    next_ms = round(context.settings.heartbeat_interval * 1000)
    counts = Counts(outcome, active, on_path, next_ms, as_of)
    return Reply(
        200, (*intake.outcome_headers(outcome), *cors, *_JSON), msgspec.json.encode(counts)
    )


_JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


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
    batch = decode_batch(await read_body(request.receive, headers, MAX_BATCH_BODY_BYTES))
    beats: list[Heartbeat] = []
    errors: list[ItemError] = []
    for index, item in enumerate(batch):
        try:
            if isinstance(item, RequestError):
                raise item
            verdict = _verdict_on(context, name, site, item, has_token=has_token)
            beats.append(to_beat(item, client, NOWHERE, verdict))
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
    why, seconds = (_LIMITED, _LIMITED_S) if most == len(beats) else (_TOO_FAST, _TOO_FAST_S)
    limited = Limited(why, seconds * 1000)
    return json_response(BatchResult(results, errors, limited), {"Retry-After": str(seconds)})


async def leave(request: Request) -> Response:
    """A goodbye."""
    context = context_of(request)
    name, site, headers = context.check_caller(request)
    context.security.check_origin(name, site, headers)
    goodbye = decode_leave(await read_body(request.receive, headers, MAX_BODY_BYTES))
    outcome = await context.store.leave(name, goodbye.sessionId, goodbye.path)
    return Response(status_code=204, headers={"Presence-Status": outcome})


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
    if not has_token:
        raise FieldError("userId", "only a backend that shows the site's token may give a userId")
    if not site.user_secrets:
        raise FieldError("userId", NO_USERS)
    # What a backend does not say stays as it is.
    told = {name: text for name in ("name", "avatar") if (text := getattr(item, name)) is not None}
    user = User(item.userId, item.name or "", item.avatar or "")
    return Verdict("ok", user, msgspec.json.encode(told).decode() if told else "")
