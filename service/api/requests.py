"""What comes in over HTTP, as msgspec structs, with the only validation there is.

Decoding and checking are one step: whatever comes out of `decode_…` is clean, normalized and
bounded. What is refused is refused with the field and the remedy.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from service.errors import FieldError, RequestError
from service.sites import SITE_PATTERN as SITE_PATTERN
from service.sites import is_site_id

MAX_BODY_BYTES = 2 * 1024
MAX_TOKEN_BODY_BYTES = 8 * 1024  # of a heartbeat that tells by a token who it is
MAX_BATCH = 1000
MAX_BATCH_BODY_BYTES = 2 * 1024 * 1024  # 1,000 of the longest, and what stands between them
MAX_PATH_BYTES = 512
MAX_CITY = 64

# In Python `$` also matches before a last newline; `(?!\n)` takes that back.
_END = r"$(?!\n)"

SessionId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{16,64}" + _END,
        description="16 to 64 of A-Z, a-z, 0-9, _ and -; a UUID fits",
        examples=["5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"],
    ),
]
PageType = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9_-]{1,32}" + _END, description="1 to 32 of a-z, 0-9, _ and -"),
]
Country = Annotated[
    str,
    Meta(
        pattern=r"^(?:[A-Za-z]{2}|[AaOoTt]1|[Aa]2)" + _END,
        description="two letters, ISO 3166-1 alpha-2; XX, T1, A1 and their kind: not known",
    ),
]
# What networks say where they know no country. Cloudflare: XX not known, T1 Tor. MaxMind: A1 a
# proxy, A2 a satellite, O1 other, AP and EU a continent. ISO 3166-1 leaves XX and ZZ to its users.
NO_COUNTRY = frozenset(("XX", "ZZ", "T1", "A1", "A2", "O1", "AP", "EU"))
UserToken = Annotated[
    str, Meta(description="a token that the site's backend has signed: who somebody is")
]
UserId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.:@-]{1,64}" + _END,
        description="1 to 64 of A-Z, a-z, 0-9, _ . : @ and -",
    ),
]
UserName = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*" + _END,
        description="at most 64 characters, none of them a control character",
    ),
]
UserAvatar = Annotated[
    str,
    Meta(
        max_length=256,
        pattern=r"^https://[!-~]+" + _END,
        description="an https URL of at most 256 bytes",
    ),
]
Latitude = Annotated[float, Meta(ge=-90, le=90, description="degrees, stored to one decimal")]
Longitude = Annotated[float, Meta(ge=-180, le=180, description="degrees, stored to one decimal")]

_PLAIN_PATH = re.compile(
    r"/(?:[!-\"$&->@-\[\]-~](?:[!-\"$&->@-~ ]*[!-\"$&-.0->@-~])?)?\Z"  # no escapes
)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
# What takes no room, by Unicode's Default_Ignorable_Code_Point: two pages could look like one.
# Variation selectors are not among them: they are part of many emoji.
_ZERO_WIDTH = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065"
    "\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
)
_ESCAPES = re.compile("(?:%[0-9A-Fa-f]{2})+")
# Decoded, these would mean something else; and what is not UTF-8 cannot be.
_KEPT_ESCAPES = {ord(c): f"%{ord(c):02X}" for c in "/%?#"} | {
    0xDC00 + byte: f"%{byte:02X}" for byte in range(0x80, 0x100)
}


class PagePath(str):
    """A path that has been through `clean_path`."""

    __slots__ = ()


class ReferrerHost(str):
    """The host of a referrer, or empty."""

    __slots__ = ()


class City(str):
    """The name of a city, without control characters."""

    __slots__ = ()


def clean_path(raw: str) -> PagePath:
    """The path as it is kept, the same for all spellings of a page: without query string, fragment
    and trailing slash; escapes of UTF-8 decoded, but for those of `/ % ? #`; in normal form C.

    Raises:
        ValueError: it is not a path; the message says what would be right.
    """
    if len(raw) <= MAX_PATH_BYTES:
        return _remembered(raw)
    return _cleaned(raw)


def _cleaned(raw: str) -> PagePath:
    if _PLAIN_PATH.match(raw) and len(raw) <= MAX_PATH_BYTES and raw[1:2] != "/":
        return PagePath(raw)
    path = raw.partition("?")[0].partition("#")[0]
    if "%" in path:
        path = _without_escapes(path)
    if not path.startswith("/") or path.startswith(("//", "/\\")):
        raise ValueError(
            "must begin with exactly one /, such as /blog/hello; no scheme and no host"
        )
    has_unseen = any(c in _BIDI or unicodedata.category(c) in _UNSEEN for c in path)
    if has_unseen or _ZERO_WIDTH.search(path):
        raise ValueError(
            "must not contain control characters, zero-width characters, lone surrogates or "
            "direction overrides"
        )
    path = unicodedata.normalize("NFC", path)
    path = path.rstrip("/") or "/"  # all of them, so that cleaning twice changes nothing
    if len(path.encode()) > MAX_PATH_BYTES:
        raise ValueError(f"must be at most {MAX_PATH_BYTES} bytes of UTF-8 without its query")
    return PagePath(path)


def _without_escapes(path: str) -> str:
    """The path with the escapes decoded that stand for text and mean no more than it. Decoding
    `%%34%31` makes another escape, so it is repeated: cleaning twice changes nothing."""
    while (decoded := _ESCAPES.sub(_decoded, path)) != path:
        path = decoded
    return path


def _decoded(escapes: re.Match[str]) -> str:
    raw = bytes.fromhex(escapes[0].replace("%", ""))
    return raw.decode("utf-8", "surrogateescape").translate(_KEPT_ESCAPES)


# A site has few pages, and each is seen again and again. Longer texts are not remembered.
_remembered = lru_cache(maxsize=4096)(_cleaned)

_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#]*@)?([^/?#:@]+)", re.IGNORECASE)
_HOST_NAME = re.compile(r"[\w.-]{1,253}\Z")


def clean_referrer(raw: str) -> ReferrerHost:
    """The host of a referrer's URL, lower case; anything else about it is dropped.

    Raises:
        ValueError: it is longer than any URL a browser sends.
    """
    if len(raw) > MAX_BODY_BYTES:
        raise ValueError("must be a URL or a host")
    match = _HOST.match(raw)
    host = (match[1] if match else raw.partition("/")[0]).lower()
    return ReferrerHost(host if _HOST_NAME.match(host) else "")


def clean_city(raw: str) -> City:
    """The city's name, trimmed.

    Raises:
        ValueError: it is too long or holds what cannot be shown.
    """
    city = unicodedata.normalize("NFC", raw.strip())
    if len(raw) > MAX_CITY or len(city) > MAX_CITY:
        raise ValueError(f"must be at most {MAX_CITY} characters")
    if any(c in _BIDI or unicodedata.category(c) in _UNSEEN for c in city):
        raise ValueError("must not contain control characters or direction overrides")
    return City(city)


class HeartbeatBody(Struct, frozen=True):
    """Session S is on page P, and what is known of it. Unknown members are ignored."""

    sessionId: SessionId
    currentPath: PagePath
    pageType: PageType | None = None
    referrer: ReferrerHost | None = None
    country: Country | None = None
    city: City | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    userToken: UserToken | None = None


class BatchHeartbeat(HeartbeatBody, frozen=True):
    """A heartbeat of a batch. With the site's or the operator's token it may say who somebody is
    without a token of theirs."""

    userId: UserId | None = None
    name: UserName | None = None
    avatar: UserAvatar | None = None


class HeartbeatBatch(Struct, frozen=True):
    """Up to 1000 heartbeats of one site, written in order."""

    heartbeats: Annotated[list[BatchHeartbeat], Meta(max_length=MAX_BATCH)]


class _RawBatch(Struct, frozen=True):
    """A batch whose heartbeats are not looked at yet."""

    heartbeats: Annotated[list[msgspec.Raw], Meta(max_length=MAX_BATCH)]


class Leave(Struct, frozen=True):
    """Session S has gone. Where a first heartbeat is still on its way, `currentPath` tells that it
    is the page that was left; anything that is not a path is ignored."""

    sessionId: SessionId
    currentPath: str | None = None

    @property
    def path(self) -> str:
        """The page that was left, cleaned; empty: not known."""
        try:
            return clean_path(self.currentPath or "")
        except ValueError:
            return ""


class PageViewBody(Struct, frozen=True):
    """Session S has seen page P."""

    sessionId: SessionId
    path: PagePath
    pageType: PageType | None = None
    referrer: ReferrerHost | None = None


_JSON_NAMES = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}
_CLEANERS: dict[type, Callable[[str], str]] = {
    PagePath: clean_path,
    ReferrerHost: clean_referrer,
    City: clean_city,
}


def _decode_text(kind: type, raw: Any) -> Any:
    if not isinstance(raw, str):
        raise ValueError(f"must be a string, not {_JSON_NAMES[type(raw)]}")
    return _CLEANERS[kind](raw)


T = TypeVar("T")


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind, dec_hook=_decode_text)


_HEARTBEAT = _decoder(HeartbeatBody)
_BATCH_HEARTBEAT = _decoder(BatchHeartbeat)
_BATCH = _decoder(HeartbeatBatch)
_RAW_BATCH = _decoder(_RawBatch)
_LEAVE = _decoder(Leave)
_VIEW = _decoder(PageViewBody)


def decode_heartbeat(body: bytes) -> HeartbeatBody:
    """A heartbeat from its JSON.

    Raises:
        RequestError: 400, the body is not a JSON object.
        FieldError: 422, a field is invalid.
    """
    return _without_repeats(_decode(_HEARTBEAT, body), body)


H = TypeVar("H", bound=HeartbeatBody)


def _without_repeats(beat: H, body: bytes) -> H:
    quotes = body.count(b'"')
    if quotes == _BARE_QUOTES or (quotes == _BARE_QUOTES + 4 and beat.userToken is not None):
        return beat
    if quotes != _quotes_of(beat):
        _refuse_repeated_members(body)
    return beat


def is_bare(beat: HeartbeatBody) -> bool:
    """Whether a heartbeat says no more than who is where, as most do."""
    return _OPTIONAL(beat) == _NOTHING


def decode_batch(body: bytes) -> Sequence[BatchHeartbeat | RequestError]:
    """The heartbeats of a batch from its JSON, in order; in the place of an invalid one, what is
    wrong with it.

    Raises:
        RequestError: 400, the body is not a JSON object.
        FieldError: 422, it is not a batch.
    """
    try:
        beats = _BATCH.decode(body).heartbeats
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _decode_one_by_one(body)
    quotes = body.count(b'"') - 2
    if quotes != _BARE_QUOTES * len(beats) and quotes != sum(map(_quotes_of, beats)):
        return _decode_one_by_one(body)
    return beats


def _decode_one_by_one(body: bytes) -> list[BatchHeartbeat | RequestError]:
    body = _LONE_SURROGATES.sub(_as_nul, body)
    batch = _decode(_RAW_BATCH, body)
    try:
        _unique_members(json.loads(body.decode(), object_pairs_hook=list, parse_int=len))
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not a JSON object: {_reason(error)}") from None
    decoded: list[BatchHeartbeat | RequestError] = []
    for raw in batch.heartbeats:
        try:
            decoded.append(_without_repeats(_decode(_BATCH_HEARTBEAT, bytes(raw)), bytes(raw)))
        except RequestError as error:
            decoded.append(error)
    return decoded


# An escaped lone surrogate is JSON, but not to msgspec. A NUL in its place is refused where it
# matters, in a string of that one heartbeat.
_LONE_SURROGATES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def _as_nul(escape: re.Match[bytes]) -> bytes:
    return b"\\u0000" if escape["lone"] else escape[0]


def _quotes_of(beat: HeartbeatBody) -> int:
    """The quotes in a heartbeat's JSON if no member is there twice, none is unknown or null, and
    no string has a quote in it. A member that msgspec has overwritten would make more of them, so
    the same number proves that there is none; any other asks for a closer look."""
    optional = _OPTIONAL(beat)
    texts, numbers = optional[:4], optional[4:]
    quotes = _BARE_QUOTES + 4 * (4 - texts.count(None)) + 2 * (2 - numbers.count(None))
    if beat.userToken is not None:
        quotes += 4
    if isinstance(beat, BatchHeartbeat):
        quotes += 4 * (3 - (beat.userId, beat.name, beat.avatar).count(None))
    return quotes


_OPTIONAL = attrgetter("pageType", "referrer", "country", "city", "latitude", "longitude")
_NOTHING = (None,) * 6
_BARE_QUOTES = 8  # two members that are texts; nobody can be there who has fewer


def decode_leave(body: bytes) -> Leave:
    """A goodbye from its JSON; raises as `decode_heartbeat`."""
    return decode_careful(_LEAVE, body)


def decode_view(body: bytes) -> PageViewBody:
    """A page view from its JSON; raises as `decode_heartbeat`."""
    return decode_careful(_VIEW, body)


def decode_careful(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """A body that is not asked for often, from its JSON; raises as `decode_heartbeat`."""
    value = _decode(decoder, body)
    _refuse_repeated_members(body)
    return value


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _as_field_error(str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        _refuse_lone_surrogates(body)
        raise RequestError(400, f"the body is not a JSON object: {_reason(error)}") from None


_SURROGATES = re.compile("[\ud800-\udfff]")


def _refuse_lone_surrogates(body: bytes) -> None:
    """msgspec calls an escaped lone surrogate broken JSON; it is JSON, with a bad field."""
    if b"\\u" not in body:
        return
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    stack = [("", document)]
    while stack:
        where, value = stack.pop()
        if isinstance(value, dict):
            stack.extend((f"{where}.{name}".lstrip("."), item) for name, item in value.items())
        elif isinstance(value, list):
            stack.extend((f"{where}[{n}]", item) for n, item in enumerate(value))
        elif isinstance(value, str) and _SURROGATES.search(value):
            raise FieldError(where, f"{where} must not contain lone surrogates")


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>[^`]*)`)?\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_RULES = {
    "sessionId": "must be 16 to 64 of A-Z, a-z, 0-9, _ and -; a UUID fits",
    "pageType": "must be 1 to 32 of a-z, 0-9, _ and -",
    "country": "must be two letters, such as DE",
    "userId": "must be 1 to 64 of A-Z, a-z, 0-9, _ . : @ and -",
    "name": "must be at most 64 characters, without control characters",
    "avatar": "must be an https URL of at most 256 bytes",
    "latitude": "must be a number from -90 to 90",
    "longitude": "must be a number from -180 to 180",
    "heartbeats": f"must be a list of at most {MAX_BATCH} heartbeats",
}


def _as_field_error(message: str) -> RequestError:
    """msgspec's message, turned into the field and the remedy."""
    match = _WHERE.match(message)
    what, where = (match["what"], match["where"] or "") if match else (message, "")
    if missing := _MISSING.match(what):
        where = f"{where}.{missing[1]}" if where else missing[1]
        what = "is missing"
    elif not where:
        return RequestError(400, f"the body is not a JSON object: {what}")
    name = where.rpartition(".")[2]
    if what.startswith("must ") or what == "is missing":
        rule = _RULES.get(name)
        detail = f"{where} {what}" + (f"; it {rule}" if rule and what == "is missing" else "")
    elif name in _RULES:
        detail = f"{where} {_RULES[name]}"
    else:
        detail = f"{where}: {what}"
    return FieldError(where, detail)


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise FieldError(name[:100], "a member is there twice; send it once")
        members[name] = value
    return members


def _refuse_repeated_members(body: bytes) -> None:
    try:
        json.loads(body.decode(), object_pairs_hook=_unique_members)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not a JSON object: {_reason(error)}") from None


def check_site(site: str) -> str:
    """The site id itself.

    Raises:
        FieldError: 422, it is malformed.
    """
    if not is_site_id(site):
        raise FieldError(
            "site",
            "site must begin with a-z or 0-9 and be at most 63 of a-z, 0-9, . and -",
        )
    return site


def check_session_id(session_id: str) -> str:
    """The session id itself.

    Raises:
        FieldError: 422, it is malformed.
    """
    try:
        return msgspec.convert(session_id, SessionId)
    except msgspec.ValidationError:
        raise FieldError("sessionId", f"sessionId {_RULES['sessionId']}") from None
