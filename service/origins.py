"""Origins as browsers spell them in the Origin header (HTML, 7.1.1; URL Standard, 3.5 and 4.3)."""

import ipaddress
import re

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")
# Apps have schemes of their own; what stands for the host is theirs, too.
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_.])?\Z")
_BELOW = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\Z")
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
    if text == "null":
        raise ValueError("is every sandboxed frame and every local file: it cannot be let in")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError(f"has no scheme: write https://{text}")
    scheme = scheme.lower()
    if not _SCHEME.match(scheme):
        raise ValueError("has a bad scheme: write https://host[:port]")
    if scheme == "file":
        raise ValueError("cannot be let in: browsers send `null` for every local file")
    rest = rest.removesuffix("/")
    if any(character in rest for character in "/?#@\\"):
        raise ValueError("is more than an origin: write scheme://host[:port], without a path")
    host, port = _host_and_port(rest)
    shown = _canonical_host(host)
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{shown}"
    return f"{scheme}://{shown}:{port}"


def _host_and_port(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", text)
    if found is None or ":" in (found[2] or ""):
        raise ValueError("has a bad host: an IPv6 address stands in brackets")
    host, port = found[1], found[2]
    if not port:  # browsers leave out an empty one
        return host, None
    if not (port.isascii() and port.isdigit() and int(port) < 65_536):
        raise ValueError("has a bad port: list each port, from 1 to 65535, in an origin of its own")
    return host, int(port)


def _canonical_host(host: str) -> str:
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            raise ValueError("has a bad IPv6 address") from None
    if "*" in host:
        below = host.removeprefix("*.")
        if "*" in below or below == host:
            raise ValueError("has a * that is not the whole first part: https://*.example.org")
        if "." not in below.strip(".") and below.lower() != "localhost":
            raise ValueError("lets in too many: name a domain, as in https://*.example.org")
        return f"*.{_canonical_host(below)}"
    host = host.lower()
    if not host.isascii():
        if _DEVIATIONS & set(host):
            raise ValueError("has a name that is spelled in several ways: write it as xn--…")
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise ValueError("has a bad host") from None
    if not _HOST.match(host):
        raise ValueError("has a bad host: write https://host[:port]")
    if host.rstrip(".").rpartition(".")[2].isdigit():
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError("has a bad IPv4 address") from None
    return host


def matches_wildcard(origin: str, wildcard: str) -> bool:
    """Whether an origin, as a browser sends it, is below the name of `scheme://*.name[:port]`."""
    before, _, behind = wildcard.partition("*")
    below = origin.removeprefix(before).removesuffix(behind)
    return origin == f"{before}{below}{behind}" and _BELOW.match(below) is not None
