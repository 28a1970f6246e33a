"""Who may do what on a site: origins, tokens, and what is not counted."""

import secrets

from service.api.address_limits import AddressLimits
from service.api.bearer_tokens import matches, require
from service.api.client_addresses import ClientAddresses
from service.api.request_head import Headers
from service.api.robots import is_bot
from service.errors import RequestError
from service.settings import Settings
from service.sites import Site

# Stands for every site that is not there, and takes the way of a private one, so that nobody can
# tell one from the other. No Origin is the empty text, and nobody knows the token.
UNKNOWN_SITE = Site(frozenset({""}), public=False, token=secrets.token_urlsafe(32))


def may_write(site: Site, origin: bytes) -> bool:
    """Whether pages of this origin may write to a site; none is the empty one."""
    return not site.origins or (bool(origin) and site.allows(origin.decode("latin-1")))


class Security:
    """The rules of one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._sites = settings.sites
        self._admin_token = settings.admin_token.encode()
        self._metrics_token = settings.metrics_token.encode()
        self._respects_dnt = settings.respect_dnt
        # One that nobody has chosen opens what asks for a token, and closes nothing else.
        self._is_token_kept = settings.is_token_kept
        self.addresses = ClientAddresses(settings)
        self.limits = AddressLimits(settings.requests_per_second)

    # Sites and origins

    def find_site(self, site: str) -> Site | None:
        """What is configured of a site, or None where it is unknown."""
        return self._sites.find(site)

    def require_site(self, site: str) -> Site:
        """What is configured of a site.

        Raises:
            RequestError: 404, sites are configured and this one is not.
        """
        found = self._sites.find(site)
        if found is None:
            raise _no_site(site)
        return found

    def site_or_unknown(self, site: str) -> Site:
        """What is configured of a site, or UNKNOWN_SITE where it is unknown, which the next check
        refuses."""
        return self._sites.find(site) or UNKNOWN_SITE

    def check_origin(self, name: str, site: Site, headers: Headers) -> None:
        """Only pages of the site's origins may write, and whoever has its token.

        CORS would not do: it keeps a foreign page from reading the answer, not from writing.

        Raises:
            RequestError: 403, or, as for an unknown site, 404 where the site is private.
        """
        raw_origin = headers.get(b"origin", b"")
        if may_write(site, raw_origin):
            return
        origin = raw_origin.decode("latin-1")
        if b"authorization" in headers and self._has_site_token(site, headers):
            self.require_site(name)
            return
        if not site.public:
            raise _no_site(name)
        shown = f"the Origin {origin[:100]!r} is" if origin else "a request without an Origin is"
        raise RequestError(
            403, f"{shown} not allowed for this site; its origins are in PRESENCE_SITES_FILE"
        )

    def allowed_origin(self, site: Site, headers: Headers) -> bytes | None:
        """The value of Access-Control-Allow-Origin, or None. Of a private site any page may read
        the answers that it gets: the token keeps its numbers, and its origins are not told."""
        if not site.origins or not site.public:
            return b"*"
        origin = headers.get(b"origin", b"")
        return origin if may_write(site, origin) else None

    # Tokens

    def _tokens_of(self, site: Site) -> list[bytes]:
        return [token for token in (site.token.encode(), self._admin_token) if token]

    def _has_site_token(self, site: Site, headers: Headers) -> bool:
        return matches(headers, self._tokens_of(site))

    def check_backend(self, name: str, site: Site, headers: Headers) -> bool:
        """Whether a backend has shown a token; True lifts the per-address limits.

        Raises:
            RequestError: 401 or 403, a token is set and this is not it; 404, to an operator, for an
                unknown site.
        """
        tokens = self._tokens_of(site)
        if not tokens or (self._is_token_kept and not site.token):
            return matches(headers, tokens)
        require(headers, tokens)
        self.require_site(name)
        return True

    def check_reader(self, name: str, site: Site, headers: Headers) -> None:
        """Anyone may read a public site; a private one needs its token or the operator's, and so
        does one that is not there.

        Raises:
            RequestError: 401 or 403; 404, to an operator, for an unknown site.
        """
        if not site.public:
            self.check_owner(name, site, headers)

    def check_owner(self, name: str, site: Site, headers: Headers) -> None:
        """Only whoever shows the site's token or the operator's.

        Raises:
            RequestError: 401 or 403; 404, to an operator, for an unknown site.
        """
        tokens = self._tokens_of(site)
        if not tokens and site.public:
            raise RequestError(
                403,
                "this endpoint is off: set PRESENCE_ADMIN_TOKEN, or a token of the site in "
                "PRESENCE_SITES_FILE, and send it as Bearer",
            )
        require(headers, tokens, self._where_token_is)
        self.require_site(name)

    def check_operator(self, headers: Headers) -> None:
        """Only operators, who show a token, wherever they are: what a proxy, a browser under a
        rebound name or a forged header says of the way of a request opens nothing.

        Raises:
            RequestError: 401 or 403.
        """
        if not self._admin_token:
            raise RequestError(
                403, "operator endpoints are off: set PRESENCE_ADMIN_TOKEN and send it as Bearer"
            )
        require(headers, [self._admin_token], self._where_token_is)

    @property
    def _where_token_is(self) -> str:
        """What is said to whoever shows no token, of one that nobody has chosen."""
        return "; it is in the file admin-token of the data folder" if self._is_token_kept else ""

    def check_metrics(self, headers: Headers) -> None:
        """Raises RequestError, 401 or 403, where a metrics token is set and this is not it."""
        if self._metrics_token:
            require(headers, [self._metrics_token])

    # What is not counted

    def drop_reason(self, headers: Headers) -> str | None:
        """Why a heartbeat is not counted: `bot`, `prefetch` or `dnt`; None: it is."""
        user_agent = headers.get(b"user-agent")
        if user_agent and is_bot(user_agent[:512]):
            return "bot"
        purpose = headers.get(b"sec-purpose") or headers.get(b"purpose") or headers.get(b"x-moz")
        if purpose and (b"prefetch" in purpose or b"prerender" in purpose or b"preview" in purpose):
            return "prefetch"
        if self._respects_dnt and (headers.get(b"dnt") == b"1" or headers.get(b"sec-gpc") == b"1"):
            return "dnt"
        return None


def _no_site(name: str) -> RequestError:
    return RequestError(404, f"there is no site {name!r}; see PRESENCE_SITES_FILE")
