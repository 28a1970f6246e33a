"""The steps of one heartbeat, from a request's parts to the store and back.

Two doors lead to them: `server.fast_path`, which answers most heartbeats without an ASGI scope, and
the ASGI endpoint in `api.heartbeat`.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import structlog
from starlette.types import Receive, Scope, Send

from service.api.address_limits import limited
from service.api.answers import problem, unexpected
from service.api.context import Context
from service.api.cors import EXPOSED, RawHeaders, exposed_to, telling_user
from service.api.devices import device_of
from service.api.geo import NOWHERE, Place, place_of
from service.api.heartbeat_bodies import to_beat
from service.api.heartbeat_path import TEMPLATE
from service.api.identified_heartbeats import IdentifiedHeartbeats
from service.api.request_head import Headers
from service.api.requests.fields import check_site
from service.api.requests.heartbeats import decode_heartbeat
from service.api.security import may_write
from service.api.source_names import names_of
from service.api.user_tokens import NOBODY
from service.errors import PresenceError, RequestError
from service.sites import Site
from service.store.batching.waiters import Waiter
from service.store.writer import OUTCOMES, Heartbeat

log = structlog.get_logger(__name__)

CROWD = 256  # heartbeats waiting at once; at a steady load they are as many as connections
SPREAD = 32  # times they are then told in turn
LONGEST_KNOWN = 256  # bytes of an origin of which is remembered what it may do


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


@dataclass(slots=True)
class Sender:
    """Who sends a request, as its head says, whatever the site. `address`: what limits go by;
    `client`: its keyed hash; `is_welcome`: known not to be one whose heartbeats are not counted."""

    headers: Headers
    address: str
    client: str
    origin: bytes
    place: Place
    is_welcome: bool = False


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
        self._store = context.store
        self._known_site = lru_cache(maxsize=8192)(self.resolve_site)
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

    def resolve_site(self, name: str, origin: bytes) -> tuple[Site, RawHeaders, bool]:
        """What is configured of a site, the headers that let the caller's page read any answer
        about it, and whether pages of this origin may write. An unknown site is refused by
        `check_sender`, as a private one is. Raises RequestError, 422."""
        site = self._security.site_or_unknown(check_site(name))
        is_allowed = may_write(site, origin)
        if not site.origins or not site.public:
            return site, EXPOSED, is_allowed
        return site, exposed_to(origin) if is_allowed else (), is_allowed

    def sender_of(
        self, peer: str, raw_headers: Sequence[tuple[bytes, bytes]], headers: Headers
    ) -> Sender:
        """Who sends a request with that head. Raises nothing."""
        addresses = self._security.addresses
        address = addresses.of(peer, raw_headers)
        place = NOWHERE if self._geo_headers == "none" else place_of(headers, self._geo_headers)
        origin = headers.get(b"origin", b"")
        return Sender(headers, address, addresses.hash(address), origin, place)

    def check_sender(self, name: str, site: Site, sender: Sender, is_allowed: bool) -> None:
        """Counts the request against the limit of the sender's address; `is_allowed`: its origin
        is one of the site's. Raises RequestError, 429, 403 or 404."""
        self._security.limits.count(sender.address)
        if not is_allowed:
            self._security.check_origin(name, site, sender.headers)

    def dropped(self, sender: Sender, cors: RawHeaders) -> Reply | None:
        """The answer to a heartbeat that is not counted, such as a crawler's; None: it is."""
        reason = self._security.drop_reason(sender.headers)
        if reason is None:
            sender.is_welcome = True
            return None
        self.context.metrics.dropped.labels(reason).inc()
        self.count_buffered("dropped")
        return Reply(
            204,
            (*self.headers_by_outcome["dropped"], (b"presence-dropped", reason.encode()), *cors),
        )

    def beat(
        self, name: str, site: Site, sender: Sender, body: bytes, cors: RawHeaders
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
        sources = ""
        if heartbeat.source is not None:
            headers = sender.headers
            sources = names_of(heartbeat, device_of(headers), headers, site)
        if verdict is not NOBODY:
            cors = telling_user(cors, verdict.word)
        return to_beat(heartbeat, sender.client, sender.place, verdict, sources), cors

    def begin(
        self, name: str, sender: Sender, body: bytes, waiter: Waiter[str]
    ) -> tuple[Heartbeat | Reply, RawHeaders]:
        """All steps in one for a request that is here as a whole: the answer, or the heartbeat,
        whose outcome the waiter is told."""
        cors = EXPOSED  # any page may read what is wrong with a site's id
        try:
            find = self._known_site if len(sender.origin) <= LONGEST_KNOWN else self.resolve_site
            site, cors, is_allowed = find(name, sender.origin)
            self.check_sender(name, site, sender, is_allowed)
            if not sender.is_welcome and (reply := self.dropped(sender, cors)):
                return reply, cors
            beat, cors = self.beat(name, site, sender, body, cors)
            self._store.submit(name, beat, waiter)
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
