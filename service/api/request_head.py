"""The head of a request: its headers, the peer it comes from, and its one Host."""

from collections.abc import Mapping, Sequence

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


NEEDS_HOST = "presence.needs_host"  # set in the scope of a request that our server has read
COUNTED = "presence.counted"  # and of one whose answer metrics have counted, given up or not


def check_host(headers: Sequence[tuple[bytes, bytes]], *, needs_host: bool) -> None:
    """A request of HTTP/1.1 has one Host header (RFC 9112, 3.2): of two, a proxy may go by the
    other one. Raises RequestError, 400."""
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (needs_host and not hosts):
        raise RequestError(400, f"a request has one Host header, and this has {hosts or 'none'}")
