"""Referrers, of which only the host is kept."""

import re

from service.api.requests.characters import has_unseen
from service.api.requests.sizes import MAX_BODY_BYTES

_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#]*@)?([^/?#:@]+)", re.IGNORECASE)
_HOST_NAME = re.compile(r"[\w.-]{1,253}\Z")


class ReferrerHost(str):
    """The host of a referrer, or empty."""

    __slots__ = ()


def clean_referrer(raw: str) -> ReferrerHost:
    """The host of a referrer's URL, lower case; anything else about it is dropped.

    Raises:
        ValueError: it is longer than any URL a browser sends.
    """
    if len(raw) > MAX_BODY_BYTES:
        raise ValueError("must be a URL or a host")
    match = _HOST.match(raw)
    host = (match[1] if match else raw.partition("/")[0]).lower()
    return ReferrerHost(host if _HOST_NAME.match(host) and not has_unseen(host) else "")
