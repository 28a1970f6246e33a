"""The steps of one heartbeat, from a request's parts to the store and back.

Two doors lead to them: `server.fast_path`, which answers most heartbeats without an ASGI scope, and
the ASGI endpoint in `api.heartbeat`.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog
from starlette.types import Receive, Scope, Send

from service.api.address_limits import limited
from service.api.answers import problem, unexpected
from service.api.context import Context
from service.api.cors import EXPOSED, RawHeaders, exposed_to, telling_user
from service.api.devices import device_of
from service.api.geo import NOWHERE, place_of
from service.api.heartbeat_bodies import to_beat
from service.api.heartbeat_path import TEMPLATE
from service.api.identified_heartbeats import IdentifiedHeartbeats
from service.api.request_head import check_host, is_host
from service.api.requests.fields import check_site
from service.api.requests.heartbeats import decode_heartbeat
from service.api.source_names import names_of
from service.api.user_tokens import NOBODY
from service.errors import PresenceError, RequestError
from service.sites import Site
from service.store.waiters import Waiter
from service.store.writer import OUTCOMES, Heartbeat

log = structlog.get_logger(__name__)

CROWD = 256  # heartbeats waiting at once; at a steady load they are as many as connections
SPREAD = 32  # times they are then told in turn


def _headers_by_outcome(interval_s: float) -> dict[str, RawHeaders]:
    interval = b"presence-interval", f"{interval_s:g}".encode()
    return {
        outcome: ((b"presence-status", outcome.encode()), interval)
        for outcome in (*sorted(OUTCOMES), "dropped")
    }


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
        self._identified = IdentifiedHeartbeats(context.user_tokens)
        self._geo_headers = context.settings.geo_headers
        self.public_path = context.settings.public_path
        self.count_buffered = context.metrics.count_buffered
        self._spread_s = max(1, int(context.settings.heartbeat_interval))
        self.batcher = context.store.batcher
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
        if self.batcher.waiting < CROWD:
            return self.headers_by_outcome[outcome]
        return next(self._staggered_headers)[outcome]

    def resolve_site(self, name: str, headers: Mapping[bytes, bytes]) -> tuple[Site, RawHeaders]:
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
        known = self._identified.get(name, body) if site.user_secrets else None
        if known is not None:
            heartbeat, verdict = known
        else:
            heartbeat, verdict = decode_heartbeat(body), NOBODY
            if heartbeat.userToken is not None:
                verdict = self.context.user_tokens.verify(name, site, heartbeat.userToken)
                self._identified.add(name, body, heartbeat, verdict)
        place = NOWHERE if self._geo_headers == "none" else place_of(headers, self._geo_headers)
        sources = ""
        if heartbeat.source is not None:
            sources = names_of(heartbeat, device_of(headers), headers, site)
        if verdict is not NOBODY:
            cors = telling_user(cors, verdict.word)
        return to_beat(heartbeat, client, place, verdict, sources), cors

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
            # A header that is there twice, no Host or a bad one: seldom, and then it is looked at.
            if len(headers) < len(raw_headers) or not is_host(headers.get(b"host", b" ")):
                check_host(raw_headers, needs_host=True)
            site, cors = self.resolve_site(name, headers)
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
