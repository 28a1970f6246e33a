"""Share tokens: whoever has one may read the numbers of one private site, until it is revoked.

Redis keeps the SHA-256 of each, by name. A copy of the service remembers those of a site for
`FRESH_S`, which is how long a token may go on holding after it was revoked through another copy;
one it does not know makes it look again, at most once in `AGAIN_S`. What Redis cannot say now does
not hold.
"""

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.api.coalescer import Coalescer
from service.errors import StoreError

FRESH_S = 5.0
AGAIN_S = 1.0
MOST_SITES = 1024  # that are remembered: names come from requests, and need not be sites
_TOKEN = re.compile(rb"share_[A-Za-z0-9_-]{43}")


def make_share_token() -> str:
    """A new token of 256 random bits. Its beginning says what it is, also to those who search for
    tokens that have leaked."""
    return f"share_{secrets.token_urlsafe(32)}"


def digest_of(token: bytes) -> str | None:
    """What is kept of a token; None: it is not a share token by its form."""
    return hashlib.sha256(token).hexdigest() if _TOKEN.fullmatch(token) else None


@dataclass(frozen=True, slots=True)
class ShareLease:
    """A share token that has let somebody in, to be asked again while they stay."""

    tokens: "ShareTokens"
    site: str
    digest: str

    @property
    def every_s(self) -> float:
        """After how long to ask again at the latest."""
        return self.tokens.fresh_s

    async def holds(self) -> bool:
        """Whether the token still holds; what Redis cannot say now does not."""
        try:
            return await self.tokens.holds(self.site, self.digest)
        except StoreError:
            return False


class ShareTokens:
    """The share tokens of all sites, as far as this copy remembers them.

    Args:
        read: gives the digests of the tokens of a site that hold, or raises StoreError.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        read: Callable[[str], Awaitable[frozenset[str]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = Coalescer(read)
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()
        self.fresh_s = FRESH_S

    async def holds(self, site: str, digest: str) -> bool:
        """Whether a token opens a site. For a site that is not there it takes as long as for one
        that is private, so that time does not tell which it is.

        Raises:
            StoreError: Redis cannot say, and what is remembered is too old.
        """
        read_at, digests = self._known.get(site, (-self.fresh_s, frozenset[str]()))
        age_s = self._clock() - read_at
        # Of digests of random tokens nothing can be learned from how long a look takes.
        is_known = digest in digests
        if age_s >= (self.fresh_s if is_known else min(AGAIN_S, self.fresh_s)):
            is_known = digest in await self._look(site)
        return is_known

    def lease(self, site: str, digest: str) -> "ShareLease":
        """For whoever is let in for longer than one answer."""
        return ShareLease(self, site, digest)

    async def _look(self, site: str) -> frozenset[str]:
        read_at = self._clock()  # what is revoked while it is read may still be in the answer
        digests = await self._read.get(site)
        self._known[site] = read_at, digests
        self._known.move_to_end(site)
        if len(self._known) > MOST_SITES:
            self._known.popitem(last=False)
        return digests

    def forget(self, site: str) -> None:
        """Looks again when next asked: a token was made or revoked here."""
        self._known.pop(site, None)

    async def settled(self) -> None:
        """Waits until Redis is not asked any more."""
        await self._read.settled()
