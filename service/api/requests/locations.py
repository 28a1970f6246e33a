"""Where a visitor is: country, city and coordinates."""

import unicodedata
from typing import Annotated

from msgspec import Meta

from service.api.requests.characters import has_unseen
from service.api.requests.fields import END

MAX_CITY = 64

# What networks and libraries say of no country. Cloudflare: XX not known, T1 Tor.
# MaxMind: A1 a proxy, A2 a satellite, O1 other, AP and EU a continent, -- nothing. ISO 3166-1
# leaves XX and ZZ to its users. Of words and signs, those that no country is called by.
NO_COUNTRY = frozenset(("XX", "ZZ", "T1", "A1", "A2", "O1", "AP", "EU"))
_WORDS = ("unknown", "undefined", "null", "none", "n/a")


def _in_any_case(word: str) -> str:
    return "".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word)


Country = Annotated[
    str,
    Meta(
        pattern=r"^(?:[A-Za-z]{2}|[AaOoTt]1|[Aa]2|[-?*]{0,2}|"
        + "|".join(map(_in_any_case, _WORDS))
        + ")"
        + END,
        description="two letters, ISO 3166-1 alpha-2. Not known: null, an empty text, -, --, ??, "
        "unknown, XX, T1, A1 and their kind",
    ),
]
Latitude = Annotated[float, Meta(ge=-90, le=90, description="degrees, stored to one decimal")]
Longitude = Annotated[float, Meta(ge=-180, le=180, description="degrees, stored to one decimal")]


def known_country(code: str) -> str | None:
    """The code of a country in upper case; None: it says that none is known, or is no code."""
    code = code.upper()
    known = len(code) == 2 and code.isascii() and code.isalpha() and code not in NO_COUNTRY
    return code if known else None


class City(str):
    """The name of a city, in which every character can be seen."""

    __slots__ = ()


def clean_city(raw: str) -> City:
    """The city's name, trimmed.

    Raises:
        ValueError: it is too long or holds what cannot be shown.
    """
    # What is too long is not normalized: for marks that takes a time of the square of their number.
    city = unicodedata.normalize("NFC", raw.strip()) if len(raw) <= MAX_CITY else raw
    if len(city) > MAX_CITY:
        raise ValueError(f"must be at most {MAX_CITY} characters")
    if has_unseen(city):
        raise ValueError("must not contain control characters or invisible ones")
    return City(city)
