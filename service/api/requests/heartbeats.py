"""The body of a heartbeat."""

from operator import attrgetter
from typing import TypeVar

from msgspec import Struct

from service.api.requests.fields import (
    Device,
    PageType,
    SessionId,
    UserAvatar,
    UserId,
    UserToken,
)
from service.api.requests.json_bodies import decode, decoder_of, refuse_repeated_members
from service.api.requests.locations import City, Country, Latitude, Longitude
from service.api.requests.names import UserName
from service.api.requests.paths import PagePath
from service.api.requests.referrers import ReferrerHost
from service.api.requests.source_texts import SourceText


class HeartbeatBody(Struct, frozen=True):
    """Session S is on page P, and what is known of it. Unknown members are ignored. With `source`,
    empty where somebody came directly, it says how the session came, which counts when it begins;
    `medium` and `campaign` are part of that."""

    sessionId: SessionId
    currentPath: PagePath
    pageType: PageType | None = None
    referrer: ReferrerHost | None = None
    country: Country | None = None
    city: City | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    userToken: UserToken | None = None
    source: SourceText | None = None
    medium: SourceText | None = None
    campaign: SourceText | None = None


class BatchHeartbeat(HeartbeatBody, frozen=True):
    """A heartbeat of a batch. With the site's or the operator's token it may say who somebody is
    without a token of theirs. `device` counts with a `source`."""

    userId: UserId | None = None
    name: UserName | None = None
    avatar: UserAvatar | None = None
    device: Device | None = None


_HEARTBEAT = decoder_of(HeartbeatBody)


def decode_heartbeat(body: bytes) -> HeartbeatBody:
    """A heartbeat from its JSON.

    Raises:
        RequestError: 400, the body is not a JSON object.
        FieldError: 422, a field is invalid.
    """
    beat = decode(_HEARTBEAT, body)
    return beat if body.count(b'"') == BARE_QUOTES else without_repeats(beat, body)


H = TypeVar("H", bound=HeartbeatBody)


def without_repeats(beat: H, body: bytes) -> H:
    """The heartbeat itself. Raises FieldError, 422, where its JSON has a member twice."""
    quotes = body.count(b'"')
    if quotes == BARE_QUOTES or (quotes == BARE_QUOTES + 4 and beat.userToken is not None):
        return beat
    if quotes != quotes_of(beat):
        refuse_repeated_members(body)
    return beat


def is_bare(beat: HeartbeatBody) -> bool:
    """Whether a heartbeat says no more than who is where, as most do."""
    return _OPTIONAL(beat) == _NOTHING


def quotes_of(beat: HeartbeatBody) -> int:
    """The quotes in a heartbeat's JSON if no member is there twice, none is unknown or null, and
    no string has a quote in it. A member that msgspec has overwritten would make more of them, so
    the same number proves that there is none; any other asks for a closer look."""
    optional = _OPTIONAL(beat)
    texts, numbers = optional[:4], optional[4:]
    quotes = BARE_QUOTES + 4 * (4 - texts.count(None)) + 2 * (2 - numbers.count(None))
    if beat.userToken is not None:
        quotes += 4
    quotes += 4 * (3 - (beat.source, beat.medium, beat.campaign).count(None))
    if isinstance(beat, BatchHeartbeat):
        quotes += 4 * (4 - (beat.userId, beat.name, beat.avatar, beat.device).count(None))
    return quotes


_OPTIONAL = attrgetter("pageType", "referrer", "country", "city", "latitude", "longitude")
_NOTHING = (None,) * 6
BARE_QUOTES = 8  # two members that are texts; nobody can be there who has fewer
