"""Paths of pages: one page, one name."""

import re
import unicodedata
from functools import lru_cache

from service.api.requests.characters import has_unseen

MAX_PATH_BYTES = 512
# As it is written: a syllable of three bytes may be written as three letters, in 27 characters.
_MAX_SPELLED = 16 * MAX_PATH_BYTES
# Without escapes: two bytes, such as those of U+0390, may be three characters. To put marks into
# their order takes a time that grows with the square of their number.
_MAX_DECOMPOSED = MAX_PATH_BYTES // 2 * 3
# How often escapes of escapes are decoded; no browser writes any.
_MAX_DECODED = 8

_PLAIN_PATH = re.compile(
    r"/(?:[!-\"$&->@-\[\]-~](?:[!-\"$&->@-~ ]*[!-\"$&-.0->@-~])?)?\Z"  # no escapes
)
_TOO_LONG = f"must be at most {MAX_PATH_BYTES} bytes of UTF-8 without its query"
_ESCAPES = re.compile("(?:%[0-9A-Fa-f]{2})+")
# Decoded, these would mean something else; and what is not UTF-8 cannot be.
_KEPT_ESCAPES = {ord(c): f"%{ord(c):02X}" for c in "/%?#"} | {
    0xDC00 + byte: f"%{byte:02X}" for byte in range(0x80, 0x100)
}


class PagePath(str):
    """A path that has been through `clean_path`."""

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
    if len(path) > _MAX_SPELLED:
        raise ValueError(_TOO_LONG)
    if "%" in path:
        path = _without_escapes(path)
    if not path.startswith("/") or path.startswith(("//", "/\\")):
        raise ValueError(
            "must begin with exactly one /, such as /blog/hello; no scheme and no host"
        )
    if has_unseen(path):
        raise ValueError(
            "must not contain control characters, zero-width characters, lone surrogates or "
            "direction overrides"
        )
    path = path.rstrip("/") or "/"  # all of them, so that cleaning twice changes nothing
    if len(path) > _MAX_DECOMPOSED:
        raise ValueError(_TOO_LONG)
    path = unicodedata.normalize("NFC", path)
    if len(path.encode()) > MAX_PATH_BYTES:
        raise ValueError(_TOO_LONG)
    return PagePath(path)


def _without_escapes(path: str) -> str:
    """The path with the escapes decoded that stand for text and mean no more than it. Decoding
    `%%34%31` makes another escape, so it is repeated: cleaning twice changes nothing."""
    for _ in range(_MAX_DECODED):
        decoded = _ESCAPES.sub(_decoded, path)
        if decoded == path:
            return path
        path = decoded
    raise ValueError(f"must not be escaped more than {_MAX_DECODED - 1} times")


def _decoded(escapes: re.Match[str]) -> str:
    raw = bytes.fromhex(escapes[0].replace("%", ""))
    return raw.decode("utf-8", "surrogateescape").translate(_KEPT_ESCAPES)


# A site has few pages, and each is seen again and again. Longer texts are not remembered.
_remembered = lru_cache(maxsize=4096)(_cleaned)
