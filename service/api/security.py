"""Who may do what: origins, tokens, client addresses, limits, and what is not counted."""

import hashlib
import hmac
import ipaddress
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from starlette.types import Scope

from service.api.rate_limits import RateLimiter
from service.errors import RequestError, TokenError
from service.settings import Settings
from service.sites import Site

Headers = Mapping[bytes, bytes]

# Stands for every site that is not there, and takes the way of a private one, so that nobody can
# tell one from the other. No Origin is the empty text, and nobody knows the token.
UNKNOWN_SITE = Site(frozenset({""}), public=False, token=secrets.token_urlsafe(32))

# Those that name themselves, or give the address of a page about them. HTTP libraries are not among
# them: backends beat with them.
_BOT = re.compile(
    r"(?<!cu)bot(?:\b|_)|crawl|spider(?![ _-]?man)|slurp|archiver|facebookexternalhit|"
    r"facebookcatalog|meta-external|feedfetcher|mediapartners|preview|lighthouse|pagespeed|"
    r"gtmetrix|pingdom|uptime|monitoring|validator|scrapy|headless|prerender|rendertron|"
    r"phantomjs|slimerjs|puppeteer|playwright|selenium|webdriver|"
    r"\bgoogle-|-google\b|googleother|googleproducer|google favicon|"
    r"\bPTST\b|webpagetest|speedcurve|debugbear|catchpoint|synthetic|statuscake|site24x7|"
    r"thousandeyes|checkly|"
    r"yandex(?:images|video|media|blogs|webmaster|metrika|direct|favicons|accessibility)|"
    r"(?:chatgpt|claude|perplexity|mistralai)-(?:user|web)|anthropic-ai|cohere-ai|"
    r"httrack|heritrix|screaming frog|sitebulb|linkcheck|checklink|iframely|embedly|"
    r"\AWhatsApp/|\+https?://(?!github\.com/)",
    re.IGNORECASE,
)
# The system and the model of a phone, which may have any name; a robot that poses as one gives its
# own name elsewhere, or says here that it is compatible.
_PHONE = re.compile(r"\((?:Linux; )?(?:U; )?Android (?:(?!compatible|://)[^()]|\([^()]*\))*\)")


@lru_cache(maxsize=4096)
def is_bot(user_agent: bytes) -> bool:
    """Whether a User-Agent calls itself a crawler, a previewer, a monitor or a browser that no
    person looks at."""
    return _BOT.search(_PHONE.sub("", user_agent.decode("latin-1"), count=1)) is not None


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers by lower-case name; of one that is there twice, the last."""
    return dict(scope["headers"])


def peer_of(scope: Scope) -> str:
    """The address at the other end of the connection; empty on a unix socket."""
    client = scope.get("client")
    return client[0] if client else ""


NEEDS_HOST = "presence.needs_host"  # set in the scope of a request that our server has read


def check_host(headers: Sequence[tuple[bytes, bytes]], *, needs_host: bool) -> None:
    """A request of HTTP/1.1 has one Host header (RFC 9112, 3.2): of two, a proxy may go by the
    other one. Raises RequestError, 400."""
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (needs_host and not hosts):
        raise RequestError(400, f"a request has one Host header, and this has {hosts or 'none'}")


class Security:
    """The rules of one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._sites = settings.sites
        self._admin_token = settings.admin_token.encode()
        self._metrics_token = settings.metrics_token.encode()
        self._trusted = settings.trusted_proxies
        self._client_ip_header = settings.client_ip_header
        self._respects_dnt = settings.respect_dnt
        # Copies that share an operator's token share the key, and so count together; it is
        # never in Redis, so the addresses cannot be guessed back from what is there.
        key = settings.admin_token.encode() or secrets.token_bytes(32)
        self._address_key = hashlib.blake2b(key, person=b"presence-address").digest()
        # One that nobody has chosen opens what asks for a token, and closes nothing else.
        self._is_token_kept = settings.is_token_kept
        rate = settings.requests_per_second
        self._limiter = RateLimiter(rate, 2 * rate)
        self._guesses = RateLimiter(rate, 2 * rate)
        self.limits_new_sessions = settings.new_sessions_per_minute > 0

    # Sites and origins

    def find_site(self, site: str) -> Site | None:
        """What is configured of a site, or None where it is unknown."""
        return self._sites.find(site)

    def site(self, site: str) -> Site:
        """What is configured of a site.

        Raises:
            RequestError: 404, sites are configured and this one is not.
        """
        found = self._sites.find(site)
        if found is None:
            raise _no_site(site)
        return found

    def site_or_unknown(self, site: str) -> Site:
        """As `site`, but UNKNOWN_SITE for one that is not there, which the next check refuses."""
        return self._sites.find(site) or UNKNOWN_SITE

    def check_origin(self, name: str, site: Site, headers: Headers) -> None:
        """Only pages of the site's origins may write, and whoever has its token.

        CORS would not do: it keeps a foreign page from reading the answer, not from writing.

        Raises:
            RequestError: 403, or, as for an unknown site, 404 where the site is private.
        """
        if not site.origins:
            return
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and site.allows(origin):
            return
        if b"authorization" in headers and self._has_site_token(site, headers):
            self.site(name)
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
        return origin if site.allows(origin.decode("latin-1")) else None

    # Tokens

    def _has_site_token(self, site: Site, headers: Headers) -> bool:
        tokens = [token for token in (site.token.encode(), self._admin_token) if token]
        return _matches(headers, tokens)

    def check_backend(self, name: str, site: Site, headers: Headers) -> bool:
        """Whether a backend has shown a token; True lifts the per-address limits.

        Raises:
            RequestError: 401 or 403, a token is set and this is not it; 404, to an operator, for an
                unknown site.
        """
        tokens = [token for token in (site.token.encode(), self._admin_token) if token]
        if not tokens or (self._is_token_kept and not site.token):
            return _matches(headers, tokens)
        _require(headers, tokens)
        self.site(name)
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
        """Only who has the site's token or the operator's, of a public site as well.

        Raises:
            RequestError: 401 or 403; 404, to an operator, for an unknown site.
        """
        _require(headers, [token for token in (site.token.encode(), self._admin_token) if token])
        self.site(name)

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
        where = "; it is in the file admin-token of the data folder" if self._is_token_kept else ""
        _require(headers, [self._admin_token], where)

    def check_metrics(self, headers: Headers) -> None:
        """Raises RequestError, 401 or 403, where a metrics token is set and this is not it."""
        if self._metrics_token:
            _require(headers, [self._metrics_token])

    # Addresses and limits

    def client_address(self, scope: Scope) -> str:
        """The address that limits go by, of a request."""
        return self.address_of(peer_of(scope), scope["headers"])

    def address_of(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The address that limits go by: the peer's, or, behind trusted proxies, the one in
        PRESENCE_CLIENT_IP_HEADER or else the rightmost one in X-Forwarded-For that is not trusted.
        IPv6 counts by /64."""
        if self._trusted and self._is_trusted(peer):
            if self._client_ip_header:
                # Where it is missing the request has not come by the proxy that sets it, and then
                # X-Forwarded-For is the client's own.
                return _limit_address(self._named_client(headers) or peer)
            hops = [
                hop.strip()
                for name, value in headers
                if name == b"x-forwarded-for"
                for hop in value.decode("latin-1").split(",")
            ]
            for hop in reversed(hops):
                address = _plain_address(hop)
                if address is None:
                    break
                peer = address
                if not self._is_trusted(address):
                    break
        return _limit_address(peer)

    def _named_client(self, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        """The address in PRESENCE_CLIENT_IP_HEADER; of several headers, the last counts."""
        named = [value for name, value in headers if name == self._client_ip_header]
        return _plain_address(named[-1].decode("latin-1").strip()) if named else None

    def is_from_trusted_proxy(self, scope: Scope) -> bool:
        """Whether the other end of the connection is one of PRESENCE_TRUSTED_PROXIES."""
        return bool(self._trusted) and self._is_trusted(peer_of(scope))

    def _is_trusted(self, address: str) -> bool:
        if not address:  # a unix socket: whoever may open it is let in by its owner
            return True
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if parsed.version == 6 and parsed.ipv4_mapped:  # as a dual-stack socket shows IPv4
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._trusted)

    def admit(self, address: str) -> None:
        """Counts a request. Raises RequestError, 429, when there were too many."""
        wait_s = self._limiter.wait_s(address)
        if wait_s > 0:
            raise _too_many("requests", wait_s)

    def admit_more(self, address: str, most: int) -> int:
        """Counts up to `most` further requests, such as the heartbeats of a batch; how many may be
        written."""
        for admitted in range(most):
            if self._limiter.wait_s(address) > 0:
                return admitted
        return most

    def check_guesses(self, address: str) -> None:
        """Refuses an address that has shown too many wrong tokens, before the next is compared:
        the holder of a right one is not limited otherwise. Raises RequestError, 429."""
        wait_s = self._guesses.wait_s(address, counts=False)
        if wait_s > 0:
            raise _too_many("wrong tokens", wait_s)

    def note_guess(self, address: str) -> None:
        """Counts a token that was refused."""
        self._guesses.wait_s(address)

    def hash_address(self, address: str) -> str:
        """A keyed hash of an address: no address is ever written to Redis."""
        if not self.limits_new_sessions:
            return ""
        return _hash_address(self._address_key, address)

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


@lru_cache(maxsize=8192)
def _hash_address(key: bytes, address: str) -> str:
    return hashlib.blake2b(address.encode(), key=key, digest_size=8).hexdigest()


def _plain_address(hop: str) -> str | None:
    """An address of X-Forwarded-For without port and brackets; None if it is not an address."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def _limit_address(address: str) -> str:
    try:
        parsed: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _no_site(name: str) -> RequestError:
    return RequestError(404, f"there is no site {name!r}; see PRESENCE_SITES_FILE")


def _too_many(what: str, wait_s: float) -> RequestError:
    return RequestError(
        429,
        f"too many {what} from this address; slow down",
        headers={"Retry-After": str(math.ceil(wait_s))},
    )


def _bearer(headers: Headers) -> bytes | None:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None


def _matches(headers: Headers, tokens: list[bytes]) -> bool:
    given = _bearer(headers)
    if given is None:
        return False
    return any(hmac.compare_digest(given, token) for token in tokens)


def _require(headers: Headers, tokens: list[bytes], where: str = "") -> None:
    if _bearer(headers) is None:
        raise TokenError(
            401,
            f"a token is needed: Authorization: Bearer …{where}",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if not _matches(headers, tokens):
        raise TokenError(403, "this token has no access here")
