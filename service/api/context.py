"""What every handler is given, and who it serves."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from service.api.bearer_tokens import bearer
from service.api.body_budget import BodyBudget
from service.api.coalescer import Coalescer
from service.api.rate_limits import Slots
from service.api.request_head import headers_of
from service.api.requests.fields import check_site
from service.api.security import Security
from service.api.share_tokens import ShareLease, ShareTokens, digest_of
from service.api.user_tokens import UserTokens
from service.live.hub import Hub
from service.models import Stats
from service.ops.metrics import Metrics
from service.settings import Settings
from service.sites import Site
from service.store.store import PresenceStore


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
