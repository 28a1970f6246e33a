"""Tokens that requests show, as `Authorization: Bearer …`."""

import hmac

from service.api.request_head import Headers
from service.errors import TokenError


def bearer(headers: Headers) -> bytes | None:
    """The token that is shown, or None."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None


def matches(headers: Headers, tokens: list[bytes]) -> bool:
    """Whether the token that is shown is one of these; compared in constant time."""
    given = bearer(headers)
    if given is None:
        return False
    return any(hmac.compare_digest(given, token) for token in tokens)


def require(headers: Headers, tokens: list[bytes], where: str = "") -> None:
    """Raises TokenError: 401, no token is shown; 403, it is none of these."""
    if bearer(headers) is None:
        raise TokenError(
            401,
            f"a token is needed: Authorization: Bearer …{where}",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if not matches(headers, tokens):
        raise TokenError(403, "this token has no access here")
