"""Cross-origin answers: any page may call the public endpoints of a site without origins, only
its own pages those of a site with some. Operator endpoints are for no page at all."""

import re
from functools import lru_cache

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.request_head import headers_of
from service.api.security import Security
from service.sites import ANY_SITE, Site

RawHeaders = tuple[tuple[bytes, bytes], ...]
EXPOSED: RawHeaders = (
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"Presence-Status, Presence-Dropped, Presence-Interval, Retry-After, ETag",
    ),
)


@lru_cache(maxsize=1024)
def exposed_to(origin: bytes) -> RawHeaders:
    """The headers of an answer that only one origin, which is one of a site's, may read."""
    return ((b"access-control-allow-origin", origin), EXPOSED[1], (b"vary", b"Origin"))


_EXPOSED_WITH_USER = (EXPOSED[1][0], EXPOSED[1][1] + b", Presence-User")


_telling_user: dict[tuple[int, str], tuple[RawHeaders, RawHeaders]] = {}


def telling_user(cors: RawHeaders, word: str) -> RawHeaders:
    """The headers of an answer that also tells what came of a user's token. Each is made once, for
    answers are known by the identity of their headers, and so are those that it adds to."""
    kept = _telling_user.get((id(cors), word))
    if kept is not None and kept[0] is cors:
        return kept[1]
    if len(_telling_user) >= 4096:
        _telling_user.clear()
    told = _with_user(cors, word)
    _telling_user[id(cors), word] = cors, told
    return told


def _with_user(cors: RawHeaders, word: str) -> RawHeaders:
    told = tuple(_EXPOSED_WITH_USER if header == EXPOSED[1] else header for header in cors)
    return (*told, (b"presence-user", word.encode()))


_WRITES = re.compile(r"/v1/sites/([^/]+)/(?:heartbeat|heartbeats|leave|views|users/status)\Z")
_READS = re.compile(
    r"/v1/sites/([^/]+)/(?:stats|active|history|sources|live|badge\.svg|users(?:/[^/]+)?)\Z"
)
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    # Pages add tracing headers of their own. `*` covers any but Authorization; no credentials are
    # used (Fetch, 3.3.5). The rest is for browsers that do not know `*`.
    "Access-Control-Allow-Headers": (
        "*, Authorization, Content-Type, Last-Event-ID, If-None-Match, traceparent, tracestate, "
        "baggage, x-datadog-trace-id, x-datadog-parent-id, x-datadog-origin, "
        "x-datadog-sampling-priority, request-id, newrelic, sentry-trace"
    ),
    "Access-Control-Max-Age": "86400",
}


class PublicCors:
    """Middleware that adds the headers of CORS to public endpoints and answers preflights."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app = app
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        site = self._public_site(scope)
        if site is None:
            await self._app(scope, receive, send)
            return
        allowed = self._security.allowed_origin(site, headers_of(scope))
        origin = allowed.decode("latin-1") if allowed else None
        is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(
            scope=scope
        )
        if origin and is_preflight:
            response = Response(status_code=204, headers=_PREFLIGHT)
            _mark(response.headers, site, origin)
            await response(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                _mark(MutableHeaders(scope=message), site, origin)
            await send(message)

        await self._app(scope, receive, send_marked)

    def _public_site(self, scope: Scope) -> Site | None:
        """The site whose public endpoint this is, or None if it is not one. What is said of one
        that is private or not there, any page may read."""
        method = scope["method"]
        match = _READS.match(scope["path"]) if method in ("GET", "HEAD", "OPTIONS") else None
        if match is None and method in ("POST", "OPTIONS"):
            match = _WRITES.match(scope["path"])
            if match and method == "POST" and scope["path"].endswith("/heartbeat"):
                return None  # a heartbeat's answer has its headers already
        return (self._security.find_site(match[1]) or ANY_SITE) if match else None


def _mark(headers: MutableHeaders, site: Site, origin: str | None) -> None:
    if origin:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = EXPOSED[1][1].decode()
    if site.origins and site.public:  # a cache must not give one origin's answer to another
        headers.add_vary_header("Origin")
