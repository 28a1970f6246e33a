"""Tokens that requests show, as `Authorization: Bearer …`."""

import hmac

from service.api.request_head import Headers
from service.errors import TokenError

CHALLENGE = {"WWW-Authenticate": "Bearer"}  # with a 401, RFC 9110, 11.6.1


def bearer(headers: Headers) -> bytes | None:
    """The token that is shown, or None."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None


def matches(headers: Headers, tokens: list[bytes]) -> bool:
    """Whether the token that is shown is one of these."""
    given = bearer(headers)
    return given is not None and _is_one_of(given, tokens)


def require(headers: Headers, tokens: list[bytes], where: str = "") -> None:
    """Raises TokenError: 401, no token is shown; 403, it is none of these."""
    given = bearer(headers)
    if given is None:
        raise TokenError(
            401,
            f"a token is needed: Authorization: Bearer …{where}",
            headers=CHALLENGE,
        )
    if not _is_one_of(given, tokens):
        raise TokenError(403, "this token has no access here")


def _is_one_of(given: bytes, tokens: list[bytes]) -> bool:
    """Compares in constant time."""
    return any(hmac.compare_digest(given, token) for token in tokens)
