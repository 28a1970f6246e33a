"""What every handler is given, and how it reads and answers."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from service.api.bearer_tokens import bearer
from service.api.body_budget import BodyBudget
from service.api.openapi.samples import BASE_URL
from service.api.rate_limits import Slots
from service.api.request_head import headers_of
from service.api.requests.fields import check_site
from service.api.security import Security
from service.api.share_tokens import ShareLease, ShareTokens, digest_of
from service.api.user_tokens import UserTokens
from service.errors import FieldError, PresenceError, RequestError, StoreError
from service.live.coalescer import Coalescer
from service.live.hub import Hub
from service.models import Problem, Stats, title_of
from service.ops.metrics import Metrics
from service.settings import Settings
from service.sites import Site
from service.store.store import PresenceStore

READ_TIMEOUT_S = 8.0  # for a whole body: it is at most some MiB
# Of answers that come bit by bit. A proxy that compresses holds back what fills no block, for as
# long as the stream lasts, unless it may not transform (RFC 9111, 5.2.2.6); nginx collects what is
# not to be buffered unless it is told so in a header of its own.
STREAMED = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
RETRY_AFTER_S = "1"  # a Redis that fails over is back within seconds; clients add their own jitter


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads the numbers of a site. `share` is there where a share token lets them."""

    site: str
    share: ShareLease | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one app."""

    settings: Settings
    store: PresenceStore
    security: Security
    metrics: Metrics
    hub: Hub
    stats: Coalescer[tuple[str, int], Stats]
    streams: Slots
    is_draining: Callable[[], bool]
    user_tokens: UserTokens
    share_tokens: ShareTokens
    # Of batches that show a token, and of all others, which cannot keep those out.
    backend_bodies: BodyBudget
    open_bodies: BodyBudget

    def check_caller(self, request: Request) -> tuple[str, Site, dict[bytes, bytes]]:
        """The site id, what is configured of it, and the headers of a public request that was
        counted against its address's limit. An unknown site is refused by `check_origin` or
        `check_reader`, as a private one is.

        Raises:
            RequestError: 422 no site id, 429.
        """
        headers = headers_of(request.scope)
        name = check_site(request.path_params["site"])
        site = self.security.site_or_unknown(name)
        self.security.limits.count(self.security.addresses.of_request(request.scope))
        return name, site, headers

    async def check_reader(self, request: Request) -> Reader:
        """Who asks for numbers, counted as by `check_caller`. The only place where a share token
        counts: it opens what asks here and nothing else.

        Raises:
            RequestError: 401, 403, 404, 422 or 429.
            StoreError: Redis cannot say whether a share token holds.
        """
        name, site, headers = self.check_caller(request)
        digest = None if site.public else digest_of(bearer(headers) or b"")
        if digest is not None:
            is_held = await self.share_tokens.holds(name, digest)
            # Tokens of a site that is not there any more are still kept.
            if is_held and self.security.find_site(name) is not None:
                return Reader(name, self.share_tokens.lease(name, digest))
        self.security.check_reader(name, site, headers)
        return Reader(name)

    def check_guesses(self, request: Request) -> None:
        """Raises RequestError, 429, where the address has shown too many wrong tokens."""
        self.security.limits.check_guesses(self.security.addresses.of_request(request.scope))

    def check_operator(self, request: Request) -> str:
        """The site id of an operator's request. Raises RequestError."""
        self.check_guesses(request)
        self.security.check_operator(headers_of(request.scope))
        name = check_site(request.path_params["site"])
        self.security.require_site(name)
        return name

    def check_owner(self, request: Request) -> str:
        """The site id of a request of the operator or of the site's own backend. Raises
        RequestError."""
        self.check_guesses(request)
        name = check_site(request.path_params["site"])
        site = self.security.site_or_unknown(name)
        self.security.check_owner(name, site, headers_of(request.scope))
        return name


def context_of(request: Request) -> Context:
    """The context of the app that serves a request."""
    context: Context = request.app.state.context
    return context


async def read_body(
    receive: Receive,
    headers: dict[bytes, bytes],
    most: int,
    take: Callable[[int], None] | None = None,
) -> bytes:
    """The whole body, counted while it streams in; `take` is told how long each piece is.

    Raises:
        RequestError: 413, it is longer than `most` bytes; 408, it takes too long.
        ClientDisconnect: nobody waits for an answer any more.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            message = await receive()
            body: bytes = message.get("body", b"")
            if take is not None:
                take(len(body))
            if message.get("more_body", False):
                parts = bytearray(body)
                while message.get("more_body", False) and len(parts) <= most:
                    message = await receive()
                    piece = message.get("body", b"")
                    if take is not None:
                        take(len(piece))
                    parts += piece
                body = bytes(parts)
    except TimeoutError:
        raise RequestError(
            408, "the body takes too long", headers={"Connection": "close"}
        ) from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if len(body) > most:
        raise _too_large(most)
    return body


def _too_large(most: int) -> RequestError:
    return RequestError(
        413, f"the body is longer than {most} bytes", headers={"Connection": "close"}
    )


def problem(error: PresenceError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error, by RFC 9457."""
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if isinstance(error, RequestError):
        status, detail, field = error.status, error.detail, error.field
        headers |= error.headers
    else:
        assert isinstance(error, StoreError)
        status, detail, field = 503, error.detail, None
        headers["Retry-After"] = RETRY_AFTER_S
    return (
        status,
        headers,
        msgspec.json.encode(Problem("about:blank", title_of(status), status, detail, field)),
    )


def unexpected() -> RequestError:
    """What is said when the fault is ours."""
    return RequestError(500, "an error of ours; it has been logged")


def problem_response(error: PresenceError) -> Response:
    """The error as a response."""
    status, headers, body = problem(error)
    return Response(body, status, headers)


def json_response(
    value: Any, headers: dict[str, str] | None = None, *, status: int = 200
) -> Response:
    """A struct as JSON. Live numbers are never to be cached unless a header says otherwise."""
    return Response(
        msgspec.json.encode(value),
        status,
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"} | (headers or {}),
    )


def integer(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query string.

    Raises:
        FieldError: 422, it is not a whole number, or out of bounds.
    """
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if raw.isascii() and raw.isdigit() and len(raw) < 12 and low <= int(raw) <= high:
        return int(raw)
    raise FieldError(name, f"{name} must be a whole number from {low} to {high}")


_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?\Z|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?\Z")


def base_url(request: Request) -> str:
    """Scheme and host as the client named them. Examples that hold a forged Host would do harm in
    a shell, so anything but a plain one is left out."""
    host = request.headers.get("host", "")
    if not _HOST.match(host):
        return BASE_URL
    return f"{request.scope['scheme']}://{host}"


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether a client has this very answer: by weak comparison, RFC 9110, 13.1.2."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag.removeprefix("W/") in tags or tags == {"*"}
