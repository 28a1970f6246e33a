"""Who somebody is: tokens that a site's own backend signs for its users (RFC 7519, HS256 only)."""

import math
import time
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jwt
import msgspec
from msgspec import Meta, Struct

from service.api.remembered import Remembered
from service.api.requests.fields import UserAvatar, UserId
from service.api.requests.json_bodies import decode_text
from service.api.requests.names import UserName
from service.api.requests.paths import clean_path
from service.sites import Site

LIFE_S = 24 * 3600  # the longest that a token may be valid
LEEWAY_S = 60  # between the clocks of those who sign and ours
MAX_TOKEN = 4096  # characters; longer ones are not looked at
MAX_SEES = 10
# Tokens, some 40 MB; beyond them the oldest are verified again. Those that do not hold are not
# among them: anybody can make as many as they like.
REMEMBERED = 50_000

Moment = Annotated[float, Meta(ge=0, le=1e12)]  # s since the epoch


class _Claims(Struct):
    """What a token says."""

    sub: UserId
    exp: Moment
    nbf: Moment = 0
    iat: Moment = 0
    name: UserName | None = None
    avatar: UserAvatar | None = None
    sees: Annotated[list[str], Meta(max_length=MAX_SEES)] | None = None


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
        self._verdicts: Remembered[str, tuple[Verdict, str]] = Remembered(REMEMBERED)

    def verify(self, name: str, site: Site, token: str) -> Verdict:
        """Whose a token is, for the site `name`. Nothing is raised: a token may hold anything."""
        remembered = self._verdicts.get(token)
        if remembered is not None:
            verdict, site_name = remembered
            if site_name == name and self.holds(verdict):
                return verdict
        if len(token) > MAX_TOKEN or not site.user_secrets:
            return INVALID
        verdict = self._verified(name, site, token)
        if verdict.user is not None:
            self._verdicts.add(token, (verdict, name))
        return verdict

    def holds(self, verdict: Verdict) -> bool:
        """Whether the token of a verdict has not expired since."""
        return self._clock() < verdict.expires

    def _verified(self, name: str, site: Site, token: str) -> Verdict:
        now = self._clock()
        for secret in site.user_secrets:
            try:
                claims = _claims_of(token, secret, name)
                if now >= claims.exp + LEEWAY_S:
                    return EXPIRED
                latest = now + LEEWAY_S
                if claims.exp > latest + LIFE_S or max(claims.nbf, claims.iat) > latest:
                    return INVALID
                return Verdict.of(_user_of(claims), claims.exp + LEEWAY_S)
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
                continue  # the latter: a secret that looks like a public key
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                break
        return INVALID


def _claims_of(token: str, secret: str, audience: str) -> _Claims:
    """What a token says that was signed with this secret.

    Raises:
        PyJWTError, ValueError, TypeError, RecursionError: it was not, or says what is none.
    """
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
            },  # by the clock here, and in `_Claims`
        )
    # None of these may be empty, but to say nothing is allowed.
    said = {name: value for name, value in claims.items() if value not in ("", [])}
    return msgspec.convert(said, _Claims, dec_hook=decode_text)


def _user_of(claims: _Claims) -> User:
    """Raises ValueError, one of `sees` is not a page."""
    sees = tuple(map(clean_pattern, claims.sees or ()))
    return User(claims.sub, str(claims.name or ""), claims.avatar or "", sees)


def clean_pattern(pattern: str) -> str:
    """A pattern of pages, in the form in which paths are kept.

    Raises:
        ValueError: it is none.
    """
    if pattern in ("*", "/*"):
        return "/*"
    if "*" in pattern[:-1]:
        raise ValueError("must be a path, with * at the end if anywhere")
    if "?" in pattern or "#" in pattern:  # what is cut off there would make it a wider one
        raise ValueError("must be a path without query and fragment")
    if not pattern.endswith("*"):
        path = clean_path(pattern)
        if path.endswith("*"):  # escaped: one page, and no pattern of all that begin so
            raise ValueError("must not name a page that ends in *")
        return path
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
