"""The sites file: who may write to a site, and who may read it.

["example.org"]
origins = ["https://example.org", "https://www.example.org"]
public = false
token = "a long random text"
shards = 4
user_secrets = ["another long random text"]

Its webhooks are read by webhook_config.py.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from service.origins import canonical_origin, matches_wildcard
from service.texts import check_marks, clean, decoded
from service.webhook_config import Webhook, webhooks_of

DEMO_SITE = "demo"  # the site of `presence serve --demo`
MOST_SHARDS = 1024
SITE_PATTERN = r"^[a-z0-9][a-z0-9.-]{0,62}$"
_SITE = re.compile(SITE_PATTERN[:-1] + r"\Z")


def is_site_id(text: str) -> bool:
    """Whether the text may name a site."""
    return len(text) <= 63 and _matches(text)


@lru_cache(maxsize=16_384)  # asked for each heartbeat; no longer texts are remembered
def _matches(text: str) -> bool:
    return _SITE.match(text) is not None


@dataclass(frozen=True, slots=True)
class Site:
    """What is configured of a site. `origins`: the only ones that may write, as browsers spell
    them; `https://*.example.org` stands for all below that name. Empty: any. `user_secrets`:
    what the tokens of its users are signed with; without any the site has no users. `shards`: into
    how many it begins to be split; None: as PRESENCE_SHARDS says."""

    origins: frozenset[str] = frozenset()
    public: bool = True
    token: str = ""
    user_secrets: tuple[str, ...] = field(default=(), repr=False)
    webhooks: tuple[Webhook, ...] = ()
    shards: int | None = None

    def allows(self, origin: str) -> bool:
        """Whether pages of an origin may write."""
        return (
            not self.origins
            or origin in self.origins
            or any(matches_wildcard(origin, own) for own in self.origins if "*" in own)
        )


ANY_SITE = Site()


@dataclass(frozen=True, slots=True)
class Sites:
    """The configured sites; when there are none, every site is known and open, but for those
    `besides`."""

    by_id: Mapping[str, Site]
    besides: Mapping[str, Site] = field(default_factory=dict)

    def find(self, site: str) -> Site | None:
        """What is configured of that site, or None where it is unknown."""
        return self.by_id.get(site) if self.by_id else self.besides.get(site, ANY_SITE)

    def has_users(self, site: str) -> bool:
        """Whether a site knows who somebody is."""
        found = self.find(site)
        return found is not None and bool(found.user_secrets)

    @property
    def shards(self) -> dict[str, int]:
        """Into how many shards sites begin to be split, of those that say it."""
        return {name: site.shards for name, site in self.by_id.items() if site.shards is not None}

    def with_users(self, site: str, secret: str) -> "Sites":
        """The same, but that this site has users, signed with that secret unless it has its own."""
        known = self.find(site)
        if known is None or known.user_secrets:
            return self
        changed = {site: replace(known, user_secrets=(secret,))}
        return Sites({**self.by_id, **changed}) if self.by_id else Sites({}, changed)


def load_sites(path: Path) -> Sites:
    """Reads a sites file.

    Raises:
        ValueError: it cannot be read; the message says why and continues "PRESENCE_SITES_FILE: …".
    """
    try:
        document = tomllib.loads(decoded(path.read_bytes()))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None
    # [sites."example.org"] is understood as well: no site has only tables for its settings.
    nested = document.get("sites")
    if (
        len(document) == 1
        and isinstance(nested, dict)
        and all(isinstance(value, dict) for value in nested.values())
    ):
        document = nested
    if not document:
        raise ValueError("names no site")
    return Sites({name: _site(name, table) for name, table in document.items()})


def _site(name: str, table: Any) -> Site:
    if not is_site_id(name):
        raise ValueError(f"has a bad site id {name!r}: a-z, 0-9, . and -, at most 63 characters")
    if not isinstance(table, dict):
        raise ValueError(f'must give {name!r} as a table: ["{name}"]')
    unknown = set(table) - {"origins", "public", "token", "user_secrets", "webhooks", "shards"}
    if unknown:
        first = sorted(unknown)[0]
        hint = ""
        if isinstance(table[first], dict):  # [blog.example.org] is a table in a table
            hint = f'; a name with dots stands in quotes: ["{name}.{first}…"]'
        raise ValueError(f"has an unknown key {first!r} for the site {name!r}{hint}")
    origins = table.get("origins", [])
    if not isinstance(origins, list) or not all(isinstance(o, str) for o in origins):
        raise ValueError(f"must give the origins of {name!r} as a list of texts")
    public, token = table.get("public", True), table.get("token", "")
    if not isinstance(public, bool) or not isinstance(token, str):
        raise ValueError(f"must give {name!r} public as true or false and token as a string")
    try:
        if token:
            token = check_token(clean(token))
            if not token:
                raise ValueError("is blank: give one, or leave it out")
    except ValueError as error:
        raise ValueError(f"has a bad token for {name!r}: it {error}") from None
    shards = table.get("shards")
    if shards is not None and not (type(shards) is int and 1 <= shards <= MOST_SHARDS):
        raise ValueError(f"must give the shards of {name!r} as a number from 1 to {MOST_SHARDS}")
    user_secrets = _user_secrets(name, table.get("user_secrets", []))
    webhooks = webhooks_of(name, table.get("webhooks", []), has_users=bool(user_secrets))
    try:
        allowed = frozenset(map(canonical_origin, origins))
        return Site(allowed, public, token, user_secrets, webhooks, shards)
    except ValueError as error:
        raise ValueError(f"has a bad origin for {name!r}: {error}") from None


def _user_secrets(name: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(secret, str) for secret in given):
        raise ValueError(f"must give the user_secrets of {name!r} as a list of texts")
    try:
        secrets = tuple(check_marks(clean(secret, "\r\n")) for secret in given)
    except ValueError as error:
        raise ValueError(f"has a bad text among the user_secrets of {name!r}: it {error}") from None
    if not all(secret.strip() for secret in secrets):
        raise ValueError(f"has an empty text among the user_secrets of {name!r}: take it out")
    return secrets


def check_token(token: str) -> str:
    """The token.

    Raises:
        ValueError: no request could carry it; the message goes on after its name.
    """
    if len(token) > 1 and token[0] == token[-1] and token[0] in "\"'":
        raise ValueError("stands in quotes, which would be a part of it: leave them out")
    check_marks(token)
    if not (token.isascii() and token.isprintable()):
        raise ValueError(
            "has characters that a header cannot carry: use ASCII letters, digits and signs"
        )
    return token
