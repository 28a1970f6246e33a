"""The tables `[["blog".webhooks]]` of the sites file: where what happens on a site is sent.

[["blog".webhooks]]
name = "backend"
url = "https://example.org/presence"
secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
events = ["site.occupied", "site.vacated"]
"""

import base64
import binascii
import difflib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

OF_THE_SITE = ("site.occupied", "site.vacated", "active.above", "active.below")
OF_A_PAGE = ("page.above",)
OF_USERS = ("user.online", "user.offline")
EVENT_TYPES = (*OF_THE_SITE, *OF_A_PAGE, *OF_USERS)
FORMATS = ("standard", "slack")
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")
_SECRET_PREFIX = "whsec_"  # noqa: S105
_SECRET_BYTES = range(24, 65)  # Standard Webhooks, "Signature scheme"
_KEYS = frozenset({
    "name", "url", "secrets", "events", "path", "above", "below", "for", "cooldown", "settle",
    "format", "allow_private",
})  # fmt: skip
_DAY = 86_400
SETTLE_S = 5.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Webhook:
    """One endpoint of a site. `keys`: what its messages are signed with. Times in seconds."""

    name: str
    url: SplitResult = field(repr=False)  # a path may be the secret, such as Slack's
    keys: tuple[bytes, ...] = field(repr=False)
    events: frozenset[str]
    path: str = ""
    above: int | None = None
    below: int | None = None
    for_s: float = 0.0
    cooldown_s: float = 0.0
    settle_s: float = SETTLE_S
    format: str = "standard"
    allow_private: bool = False

    @property
    def origin(self) -> str:
        """Scheme, host and port of the address, which is all that is ever shown of it."""
        return f"{self.url.scheme}://{self.url.netloc}"


def webhooks_of(site: str, tables: Any, *, has_users: bool) -> tuple[Webhook, ...]:
    """The webhooks of a site, in order.

    Raises:
        ValueError: a table is wrong; the message continues "PRESENCE_SITES_FILE: …".
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(
            f'must give the webhooks of {site!r} as tables: [["{site}".webhooks]], each with name, '
            "url, secrets and events"
        )
    found: dict[str, Webhook] = {}
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        called = repr(name) if isinstance(name, str) and name else f"number {number}"
        try:
            webhook = _webhook(table, has_users=has_users)
            if webhook.name in found:
                raise ValueError("has the name of another one: each needs its own")
        except ValueError as error:
            raise ValueError(f"has a bad webhook of {site!r}, {called}: it {error}") from None
        found[webhook.name] = webhook
    return tuple(found.values())


def _webhook(table: dict[str, Any], *, has_users: bool) -> Webhook:
    for key in table:
        if key not in _KEYS:
            raise ValueError(f"has an unknown key {key!r}{_near(key, _KEYS)}")
    name = table.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ValueError("needs a name: a-z, 0-9, _ and -, at most 63 characters")
    style = _one_of("format", table.get("format", "standard"), FORMATS)
    allow_private = table.get("allow_private", False)
    if not isinstance(allow_private, bool):
        raise ValueError("must have allow_private as true or false")
    events = _events(table.get("events"), has_users=has_users)
    above, below = _whole(table, "above", 0), _whole(table, "below", 1)
    _check_thresholds(events, table.get("path"), above, below)
    return Webhook(
        name,
        _url(table.get("url"), allow_private=allow_private),
        _keys(table.get("secrets", []), is_needed=style == "standard"),
        events,
        _path(table.get("path")),
        above,
        below,
        _seconds(table, "for", 0, _DAY),
        _seconds(table, "cooldown", 0, 30 * _DAY),
        _seconds(table, "settle", SETTLE_S, 3600),
        style,
        allow_private,
    )


def _events(given: Any, *, has_users: bool) -> frozenset[str]:
    if not isinstance(given, list) or not given:
        raise ValueError(f"needs events, a list of {', '.join(EVENT_TYPES)}")
    for kind in given:
        if kind not in EVENT_TYPES:
            raise ValueError(
                f"has an unknown event {kind!r}{_near(kind, EVENT_TYPES)}: there are "
                + ", ".join(EVENT_TYPES)
            )
        if kind in OF_USERS and not has_users:
            raise ValueError(f"has {kind}, but the site has no user_secrets, so nobody is known")
    return frozenset(given)


def _check_thresholds(
    events: frozenset[str], path: Any, above: int | None, below: int | None
) -> None:
    """Each event has what it compares with, and nothing stands there that is compared with
    nothing."""
    rising = sorted(events & {"active.above", "page.above"})
    comparing = rising + sorted(events & {"active.below"})
    if rising and above is None:
        raise ValueError(f"has {rising[0]} and needs above: more than so many are here")
    if "active.below" in events and below is None:
        raise ValueError("has active.below and needs below: fewer than so many are here")
    if "page.above" in events and path is None:
        raise ValueError("has page.above and needs path, such as /checkout")
    for key, value, used_by in (
        ("above", above, comparing),
        ("below", below, comparing),
        ("path", path, sorted(events & {"page.above"})),
    ):
        if value is not None and not used_by:
            raise ValueError(f"has {key}, which none of its events looks at")
    if above is not None and below is not None and below > above + 1:
        raise ValueError("has below over above: both would hold at once")


def _url(given: Any, *, allow_private: bool) -> SplitResult:
    if not isinstance(given, str) or not given:
        raise ValueError("needs a url, such as https://example.org/presence")
    if not given.isascii() or not given.isprintable() or " " in given:
        raise ValueError("has characters in its url that are not allowed there: escape them")
    try:
        url = urlsplit(given)
        port = url.port
    except ValueError:
        raise ValueError("has a url that is none") from None
    if url.scheme not in ("https", "http") or not url.hostname or port == 0:
        raise ValueError("must have a url that begins with https:// and a host")
    if "@" in url.netloc:
        raise ValueError("has a user or a password in its url: messages are signed instead")
    if "#" in given:
        raise ValueError("has a # in its url, which nobody would be sent")
    if url.scheme == "http" and not allow_private:
        raise ValueError(
            "must have a url that begins with https://; http:// is for private networks, with "
            "allow_private = true"
        )
    try:
        address = ipaddress.ip_address(url.hostname)
    except ValueError:
        pass
    else:
        if not allow_private and not is_public(address):
            raise ValueError(
                "has a url of this machine or of a private network: say allow_private = true if "
                "that is meant"
            )
    return url


def _keys(given: Any, *, is_needed: bool) -> tuple[bytes, ...]:
    if not isinstance(given, list) or (is_needed and not given):
        raise ValueError(
            'needs secrets, a list such as ["whsec_…"]: `echo whsec_$(openssl rand -base64 32)` '
            "makes one"
        )
    return tuple(map(_key, given))


def _key(secret: Any) -> bytes:
    """Nothing of a secret is ever named."""
    if not isinstance(secret, str) or not secret.startswith(_SECRET_PREFIX):
        raise ValueError("has a secret that does not begin with whsec_")
    text = secret.removeprefix(_SECRET_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("has a secret that is not base64 after whsec_") from None
    if len(key) not in _SECRET_BYTES:
        raise ValueError("has a secret that is not 24 to 64 bytes long, decoded")
    return key


def _path(given: Any) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or not given.startswith("/") or set(given) & set("?#\t\r\n"):
        raise ValueError("must have a path that begins with /, without a query, such as /checkout")
    return given.rstrip("/") or "/"


def _whole(table: dict[str, Any], key: str, low: int) -> int | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= 10**9:
        raise ValueError(f"must have {key} as a whole number from {low} on")
    return value


def _seconds(table: dict[str, Any], key: str, default: float, high: int) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
        raise ValueError(f"must have {key} as seconds from 0 to {high}")
    return float(value)


def _one_of(key: str, value: Any, names: Iterable[str]) -> str:
    if value not in names:
        raise ValueError(f"must have {key} as one of {', '.join(names)}")
    return str(value)


def _near(word: Any, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), list(words), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet: not of this machine, of a private network or of a
    link, also where it is written as, or leads through, one of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _behind_nat64(address)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _behind_nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """RFC 6052: the well-known prefix, and that of local use (RFC 8215)."""
    if any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
