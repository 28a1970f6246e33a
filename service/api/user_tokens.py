"""Who somebody is: tokens that a site's own backend signs for its users (RFC 7519, HS256 only)."""

import math
import re
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt
import msgspec

from service.api.requests.paths import clean_path
from service.sites import Site

LIFE_S = 24 * 3600  # the longest that a token may be valid
LEEWAY_S = 60  # between the clocks of those who sign and ours
MAX_TOKEN = 4096  # characters; longer ones are not looked at
MAX_NAME, MAX_AVATAR, MAX_SEES = 64, 256, 10
REMEMBERED = 50_000  # tokens, some 40 MB; beyond them the oldest are verified again
REFUSED_FOR_S = 60.0  # a token that is not valid is not verified again for so long

USER_ID = re.compile(r"[A-Za-z0-9_.:@-]{1,64}\Z")
_AVATAR = re.compile(r"https://[!-~]{1,248}\Z", re.IGNORECASE)
_HAS_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class User(NamedTuple):
    """Somebody, as a token says. `sees`: the pages whose users they may see, `*` at the end of one
    for all that begin so."""

    id: str
    name: str = ""
    avatar: str = ""
    sees: tuple[str, ...] = ()

    def may_see(self, path: str | None) -> bool:
        """Whether they may see who is on a page; None: on all pages."""
        if path is None:
            return not {"*", "/*"}.isdisjoint(self.sees)
        return any(
            path.startswith(one[:-1]) if one.endswith("*") else path == one for one in self.sees
        )


class Verdict(NamedTuple):
    """What came of a token: `ok`, `expired` or `invalid`, and whose it is if it is `ok`. `details`:
    what a heartbeat tells of the user, as JSON; empty: nothing; `expires`: s since the epoch."""

    word: str
    user: User | None = None
    details: str = ""
    expires: float = math.inf

    @classmethod
    def of(cls, user: User, expires: float = math.inf) -> "Verdict":
        """The verdict on a token of this user that holds."""
        # An empty text takes an earlier one back.
        told = msgspec.json.encode({"name": user.name, "avatar": user.avatar}).decode()
        return cls("ok", user, told, expires)


NOBODY, INVALID, EXPIRED = Verdict(""), Verdict("invalid"), Verdict("expired")


class UserTokens:
    """Verifies tokens, and remembers each until it expires: heartbeats come with the same one again
    and again."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # By token, and each with its site: one that is shown to another site is verified again.
        self._verdicts: dict[str, tuple[Verdict, float, str]] = {}

    def verify(self, name: str, site: Site, token: str) -> Verdict:
        """Whose a token is, for the site `name`. Nothing is raised: a token may hold anything."""
        remembered = self._verdicts.get(token)
        if remembered is not None:
            verdict, until, site_name = remembered
            if site_name == name and self._clock() < until:
                return verdict
        if len(token) > MAX_TOKEN or not site.user_secrets:
            return INVALID
        verdict, until = self._verified(name, site, token)
        if len(self._verdicts) >= REMEMBERED:
            for oldest in list(self._verdicts)[: REMEMBERED // 10]:
                del self._verdicts[oldest]
        self._verdicts.pop(token, None)
        self._verdicts[token] = verdict, until, name
        return verdict

    def _verified(self, name: str, site: Site, token: str) -> tuple[Verdict, float]:
        """The verdict, and until when it holds."""
        now = self._clock()
        for secret in site.user_secrets:
            try:
                claims = _claims_of(token, secret, name)
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
                continue  # the latter: a secret that looks like a public key
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                break
            if (user := _user_of(claims)) is None:
                break
            # PyJWT's own clock would be another one.
            expires = claims["exp"]
            if not now - LEEWAY_S < expires:
                return EXPIRED, now + REFUSED_FOR_S
            starts = max(_moment(claims, "nbf"), _moment(claims, "iat"))
            if expires > now + LIFE_S + LEEWAY_S or starts > now + LEEWAY_S:
                break
            return Verdict.of(user, expires + LEEWAY_S), expires + LEEWAY_S
        return INVALID, now + REFUSED_FOR_S


def _claims_of(token: str, secret: str, audience: str) -> dict[str, Any]:
    with warnings.catch_warnings():  # of a short secret: the start has said so
        warnings.simplefilter("ignore", UserWarning)
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience=audience,
            options={
                "require": ["exp", "aud", "sub"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    return claims


def _moment(claims: dict[str, Any], name: str) -> float:
    """A moment, s since the epoch; 0: it is not given, infinite: it is none."""
    value = claims.get(name, 0)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and value == value else float("inf")


def _user_of(claims: dict[str, Any]) -> User | None:
    """The user that claims tell of; None: one of them is not as it should be."""
    user, name, avatar = claims["sub"], claims.get("name") or "", claims.get("avatar") or ""
    sees = claims.get("sees") or []
    if not isinstance(user, str) or _moment(claims, "exp") == float("inf"):
        return None
    if not (is_user_id(user) and is_name(name) and is_avatar(avatar) and isinstance(sees, list)):
        return None
    if len(sees) > MAX_SEES:
        return None
    try:
        return User(user, name, avatar, tuple(map(clean_pattern, sees)))
    except ValueError:
        return None


def is_user_id(value: object) -> bool:
    """Whether it may be the id of a user."""
    return isinstance(value, str) and USER_ID.match(value) is not None


def is_name(value: object) -> bool:
    """Whether it may be the name of a user, or none."""
    return isinstance(value, str) and len(value) <= MAX_NAME and not _HAS_CONTROLS.search(value)


def is_avatar(value: object) -> bool:
    """Whether it may be the address of a user's picture, or none."""
    return value == "" or (isinstance(value, str) and _AVATAR.match(value) is not None)


def clean_pattern(pattern: object) -> str:
    """A pattern of pages, in the form in which paths are kept.

    Raises:
        ValueError: it is none.
    """
    if pattern in ("*", "/*"):
        return "/*"
    if not isinstance(pattern, str) or "*" in pattern[:-1]:
        raise ValueError("must be a path, with * at the end if anywhere")
    if "?" in pattern or "#" in pattern:  # what is cut off there would make it a wider one
        raise ValueError("must be a path without query and fragment")
    if not pattern.endswith("*"):
        return clean_path(pattern)
    if pattern.endswith("/*"):
        return f"{clean_path(pattern[:-1])}/*"
    return f"{clean_path(pattern[:-1])}*"


def mint(secret: str, site: str, user: User, *, expires: float) -> str:
    """A token, as a site's backend signs one. `expires`: s since the epoch."""
    claims: dict[str, Any] = {"aud": site, "sub": user.id, "exp": int(expires)}
    if user.name:
        claims["name"] = user.name
    if user.avatar:
        claims["avatar"] = user.avatar
    if user.sees:
        claims["sees"] = list(user.sees)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return jwt.encode(claims, secret, algorithm="HS256")
