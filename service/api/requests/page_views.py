"""The body of a page view."""

from msgspec import Struct

from service.api.requests.fields import PageType, SessionId
from service.api.requests.json_bodies import decode_careful, decoder_of
from service.api.requests.paths import PagePath
from service.api.requests.referrers import ReferrerHost


class PageViewBody(Struct, frozen=True):
    """Session S has seen page P."""

    sessionId: SessionId
    path: PagePath
    pageType: PageType | None = None
    referrer: ReferrerHost | None = None


_VIEW = decoder_of(PageViewBody)


def decode_view(body: bytes) -> PageViewBody:
    """A page view from its JSON; raises as `decode_heartbeat`."""
    return decode_careful(_VIEW, body)
