"""The head of a request: its headers, the peer it comes from, and its one Host."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from starlette.types import Scope

from service.errors import RequestError

Headers = Mapping[bytes, bytes]


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers by lower-case name; of one that is there twice, the last."""
    return dict(scope["headers"])


def peer_of(scope: Scope) -> str:
    """The address at the other end of the connection; empty on a unix socket."""
    client = scope.get("client")
    return client[0] if client else ""


# Set in the scope of a request that our server has read: it must have a Host; its target was a
# whole URL, of this scheme and authority.
NEEDS_HOST = "presence.needs_host"
TARGET = "presence.target"
COUNTED = "presence.counted"  # and of one whose answer metrics have counted, given up or not

# A host and maybe a port (RFC 3986, 3.2.2 and 3.2.3), but for the comma, which stands between two
# of them. A name may be empty only as a whole.
_HOST = re.compile(
    rb"(?:(?P<name>(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+)"
    rb"|\[(?:(?P<ipv6>[0-9A-Fa-f:.]+)|[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+;=:-]+)\])"
    rb"(?::0*(?P<port>[0-9]{0,5}))?\Z"
)
_TARGET = re.compile(rb"(https?)://([^/?#]*)(.*)\Z", re.IGNORECASE | re.DOTALL)
_DEFAULT_PORTS = {b"http": 80, b"https": 443}
_EXAMPLE = "such as presence.example.org or [2001:db8::1]:8080"


@lru_cache(maxsize=1024)
def is_host(value: bytes) -> bool:
    """Whether a Host header says a host, with its port if it is not the usual one, or nothing."""
    found = _HOST.match(value)
    if found is None:
        return not value
    try:
        if found["ipv6"]:
            ipaddress.IPv6Address(found["ipv6"].decode())
    except ValueError:
        return False
    return int(found["port"] or 0) < 65_536


def split_target(target: bytes) -> tuple[bytes, tuple[bytes, bytes]]:
    """The path and query of a target that is a whole URL (RFC 9112, 3.2.2), and its scheme and
    authority, which are empty where it is no URL of HTTP."""
    found = _TARGET.match(target)
    if found is None:
        return b"/", (b"", b"")
    scheme, authority, rest = found.groups()
    return rest if rest.startswith(b"/") else b"/" + rest, (scheme.lower(), authority)


def check_host(
    headers: Sequence[tuple[bytes, bytes]],
    *,
    needs_host: bool,
    target: tuple[bytes, bytes] | None = None,
) -> None:
    """A request of HTTP/1.1 has one Host header that says a host (RFC 9112, 3.2), and the same as
    its target where that is a whole URL: of two, a proxy may go by the other one. Raises
    RequestError, 400."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (needs_host and not hosts):
        count = len(hosts) or "none"
        raise RequestError(400, f"a request has one Host header, and this has {count}")
    if not all(map(is_host, hosts)):
        raise RequestError(400, f"the Host header must be a host and maybe a port, {_EXAMPLE}")
    if target is None:
        return
    scheme, authority = target
    if not authority or not is_host(authority):
        raise RequestError(400, "the target must be a path, or http:// or https://, a host and one")
    if hosts and _with_port(hosts[0], scheme) != _with_port(authority, scheme):
        raise RequestError(400, "the target and the Host header must name the same host and port")


def check_host_in(scope: Scope) -> None:
    """`check_host` of a request that came as an ASGI scope. Raises RequestError, 400."""
    check_host(scope["headers"], needs_host=NEEDS_HOST in scope, target=scope.get(TARGET))


def _with_port(host: bytes, scheme: bytes) -> tuple[bytes, int]:
    port = host.rpartition(b":")[2]
    if host.endswith(b"]") or port == host:  # an IPv6 address has colons of its own
        return host.lower(), _DEFAULT_PORTS[scheme]
    return host[: -len(port) - 1].lower(), int(port or _DEFAULT_PORTS[scheme])
