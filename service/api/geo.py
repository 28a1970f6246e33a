"""Where a client is, by the headers of the network in front of the service (GEO_HEADERS)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from service.api.requests.locations import clean_city, known_country


class Place(NamedTuple):
    """A country and maybe more; None is not known."""

    country: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None


NOWHERE = Place()

# Header names by source: country, city, latitude, longitude.
# Cloudflare: "Add visitor location headers" managed transform; Vercel: "Request headers";
# CloudFront: "Add CloudFront request headers".
_NAMES: dict[str, tuple[bytes, bytes, bytes, bytes]] = {
    "cloudflare": (b"cf-ipcountry", b"cf-ipcity", b"cf-iplatitude", b"cf-iplongitude"),
    "vercel": (
        b"x-vercel-ip-country",
        b"x-vercel-ip-city",
        b"x-vercel-ip-latitude",
        b"x-vercel-ip-longitude",
    ),
    "cloudfront": (
        b"cloudfront-viewer-country",
        b"cloudfront-viewer-city",
        b"cloudfront-viewer-latitude",
        b"cloudfront-viewer-longitude",
    ),
}


def place_of(headers: Mapping[bytes, bytes], source: str) -> Place:
    """The place that a source's headers name; what is not well-formed is not known."""
    if source == "none":
        return NOWHERE
    if source == "netlify":
        return _netlify(headers.get(b"x-nf-geo", b""))
    country, city, latitude, longitude = (headers.get(name) for name in _NAMES[source])
    return _place(country, city, latitude, longitude)


def _netlify(raw: bytes) -> Place:
    """`x-nf-geo` is base64 of {"city", "country": {"code"}, "latitude", "longitude"}."""
    try:
        geo: Any = msgspec.json.decode(base64.b64decode(raw))
        code = geo["country"]["code"]
        return _place(
            str(code).encode(),
            str(geo.get("city") or "").encode(),
            str(geo.get("latitude", "")).encode(),
            str(geo.get("longitude", "")).encode(),
        )
    except _MALFORMED:
        return NOWHERE


_MALFORMED = (
    binascii.Error,
    msgspec.MsgspecError,
    RecursionError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
)


def _place(
    country: bytes | None, city: bytes | None, latitude: bytes | None, longitude: bytes | None
) -> Place:
    return Place(
        known_country((country or b"").decode("latin-1")),
        _city(city or b""),
        _degrees(latitude, 90),
        _degrees(longitude, 180),
    )


def _city(raw: bytes) -> str | None:
    try:
        return clean_city(unquote(raw.decode("utf-8"))) or None
    except ValueError:
        return None


def _degrees(raw: bytes | None, most: float) -> float | None:
    try:
        value = float(raw or b"")
    except ValueError:
        return None
    return value if -most <= value <= most else None
