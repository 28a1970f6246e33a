"""Origins as browsers spell them in the Origin header (HTML, 7.1.1; URL Standard, 3.5 and 4.3)."""

import ipaddress
import re
import unicodedata
from urllib.parse import quote, unquote

from service.numbers import whole_number

# The schemes whose hosts are names of the network, in the URL Standard "special", with their ports.
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
# What is left of the beginning without a ://, as of http:example.org, https//a.org and //a.org.
_BEGINNING = re.compile(r"(?:(https?)(?:[:;][/\\]*|[/\\]+))?[/\\]*", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?\Z")
_BELOW = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
# Apps have schemes of their own; what stands for the host is theirs, but for these characters.
_NOT_OPAQUE = re.compile(r"[\s<>^|*\x00]")
# Below co.uk and its kind anybody can have a name, as below a top-level domain.
_REGISTRY = re.compile(
    r"(?:ac|co|com|edu|go|gob|gov|ltd|mil|ne|net|nom|or|org|plc|sch)\.[a-z]{2}\.?\Z"
)
_NUMBER = re.compile(r"(?P<hex>0x[0-9a-f]*)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")
# Letters that Python's IDNA (2003) replaces and browsers keep.
_DEVIATIONS = frozenset("ßς\u200c\u200d")


def canonical_origin(text: str) -> str:
    """The origin as browsers spell it.

    Raises:
        ValueError: it is none; the message quotes it and says what would be right.
    """
    given, text = text, text.strip()
    try:
        return _canonical(text)
    except ValueError as error:
        raise ValueError(f"{given!r} {error}") from None


def _canonical(text: str) -> str:
    if text in ("*", ""):
        raise ValueError("is not an origin: leave `origins` out to let any page write")
    if text.lower() == "null":
        raise ValueError("is every sandboxed frame and every local file: it cannot be let in")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError(f"has no scheme: write {_with_scheme(text)}")
    scheme = scheme.lower()
    if not _SCHEME.match(scheme):
        raise ValueError("has a bad scheme: write https://host[:port]")
    if scheme == "file":
        raise ValueError("cannot be let in: browsers send `null` for every local file")
    rest = rest.removesuffix("/")
    if any(character in rest for character in "/?#@\\"):
        raise ValueError("is more than an origin: write scheme://host[:port], without a path")
    host, port = _host_and_port(rest)
    shown = _canonical_host(host) if scheme in _DEFAULT_PORTS else _app_host(host)
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{shown}"
    return f"{scheme}://{shown}:{port}"


def _with_scheme(text: str) -> str:
    """What somebody may have meant who has left out the scheme, or part of it."""
    found = _BEGINNING.match(text)
    scheme, end = (found[1] or "https", found.end()) if found else ("https", 0)
    meant = f"{scheme.lower()}://{re.split('[/?#]', text[end:])[0]}"
    try:
        _canonical(meant)
    except ValueError:
        return "https://host[:port]"
    return meant


def _host_and_port(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", text)
    if found is None or ":" in (found[2] or ""):
        raise ValueError("has a bad host: an IPv6 address stands in brackets")
    host, port = found[1], found[2]
    if not port:  # browsers leave out an empty one
        return host, None
    try:
        return host, whole_number(port, 1, 65_535)
    except ValueError:
        raise ValueError(
            "has a bad port: list each port, from 1 to 65535, in an origin of its own"
        ) from None


def _app_host(host: str) -> str:
    """Of an app: nothing in it is a name, so browsers leave letters and numbers as they are."""
    if host.startswith("["):
        return _ipv6(host)
    if "*" in host:
        raise ValueError("has a *: apps have no names below one another, so list each of them")
    if not host or _NOT_OPAQUE.search(host):
        raise ValueError("has a bad host: write scheme://host[:port]")
    return quote(host, safe="".join(map(chr, range(0x20, 0x7F))))


def _canonical_host(host: str) -> str:
    if host.startswith("["):
        return _ipv6(host)
    if "*" in host:
        return f"*.{_wildcard_below(host)}"
    host = _ascii(host).lower()
    if not _NAME.match(host):
        raise ValueError("has a bad host: write https://host[:port]")
    last = host.removesuffix(".").rpartition(".")[2]
    return _ipv4(host) if last.isdigit() or _NUMBER.fullmatch(last) else host


def _wildcard_below(host: str) -> str:
    below = host.removeprefix("*.")
    if "*" in below or below == host:
        raise ValueError("has a * that is not the whole first part: https://*.example.org")
    name = _canonical_host(below)
    if name.rpartition(".")[2].isdigit():
        raise ValueError("has a * before an address, below which there are no names")
    if name != "localhost" and ("." not in name.strip(".") or _REGISTRY.match(name)):
        raise ValueError("lets in too many: name a domain, as in https://*.example.org")
    return name


def _ascii(host: str) -> str:
    """Without escapes, and with names in other letters as `xn--…`."""
    host = unquote(host) if "%" in host else host
    if host.isascii():
        return host
    # What came after Unicode 3.2 this IDNA does not know either.
    new = any(unicodedata.ucd_3_2_0.category(character) == "Cn" for character in host)
    if new or _DEVIATIONS & set(host):
        raise ValueError("has a name that is spelled in several ways: write it as xn--…")
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise ValueError("has a bad host") from None


def _ipv4(host: str) -> str:
    """Of one to four numbers, of which the last fills the rest: 127.1 is 127.0.0.1."""
    numbers = []
    for part in host.removesuffix(".").split("."):
        found = _NUMBER.fullmatch(part)
        if found is None:
            raise ValueError("has a bad IPv4 address")
        base = {"hex": 16, "octal": 8, "decimal": 10}[found.lastgroup or ""]
        numbers.append(int(part.removeprefix("0x") or "0", base))
    *first, last = numbers
    if len(numbers) > 4 or max(first, default=0) > 255 or last >= 256 ** (5 - len(numbers)):
        raise ValueError("has a bad IPv4 address")
    return str(ipaddress.IPv4Address(last + sum(n << 24 - 8 * i for i, n in enumerate(first))))


def _ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        raise ValueError("has a bad IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("has a bad IPv6 address: write it without its zone")
    if address.ipv4_mapped is not None:  # which Python 3.13 spells otherwise
        high, low = divmod(int(address.ipv4_mapped), 1 << 16)
        return f"[::ffff:{high:x}:{low:x}]"
    return f"[{address.compressed}]"


def matches_wildcard(origin: str, wildcard: str) -> bool:
    """Whether an origin, as a browser sends it, is below the name of `scheme://*.name[:port]`."""
    before, _, behind = wildcard.partition("*")
    below = origin.removeprefix(before).removesuffix(behind)
    return origin == f"{before}{below}{behind}" and _BELOW.match(below) is not None
