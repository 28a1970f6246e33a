"""The address of a client, behind trusted proxies too, and the hash that stands for it in Redis."""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from starlette.types import Scope

from service.api.request_head import peer_of
from service.settings import Settings


class ClientAddresses:
    """The addresses that limits go by, as a deployment's proxies tell them."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = settings.trusted_proxies
        self._header = settings.client_ip_header
        # Copies that share an operator's token share the key, and so count together; it is
        # never in Redis, so the addresses cannot be guessed back from what is there.
        key = settings.admin_token.encode() or secrets.token_bytes(32)
        self._key = hashlib.blake2b(key, person=b"presence-address").digest()
        self._hashes = settings.new_sessions_per_minute > 0

    def of_request(self, scope: Scope) -> str:
        """The address that limits go by, of a request."""
        return self.of(peer_of(scope), scope["headers"])

    def of(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The address that limits go by: the peer's, or, behind trusted proxies, the one in
        PRESENCE_CLIENT_IP_HEADER or else the rightmost one in X-Forwarded-For that is not trusted.
        IPv6 counts by /64."""
        if self._trusted and self._is_trusted(peer):
            if self._header:
                # Where it is missing the request has not come by the proxy that sets it, and then
                # X-Forwarded-For is the client's own.
                return _limit_address(self._named_client(headers) or peer)
            hops = [
                hop.strip()
                for name, value in headers
                if name == b"x-forwarded-for"
                for hop in value.decode("latin-1").split(",")
            ]
            for hop in reversed(hops):
                address = _plain_address(hop)
                if address is None:
                    break
                peer = address
                if not self._is_trusted(address):
                    break
        return _limit_address(peer)

    def _named_client(self, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        """The address in PRESENCE_CLIENT_IP_HEADER; of several, in one header or more, the last
        counts, which the trusted proxy has written."""
        named = [value for name, value in headers if name == self._header]
        if not named:
            return None
        return _plain_address(named[-1].decode("latin-1").rpartition(",")[2].strip())

    def is_from_trusted_proxy(self, scope: Scope) -> bool:
        """Whether the other end of the connection is one of PRESENCE_TRUSTED_PROXIES."""
        return bool(self._trusted) and self._is_trusted(peer_of(scope))

    def _is_trusted(self, address: str) -> bool:
        if not address:  # a unix socket: whoever may open it is let in by its owner
            return True
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if parsed.version == 6 and parsed.ipv4_mapped:  # as a dual-stack socket shows IPv4
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._trusted)

    def hash(self, address: str) -> str:
        """A keyed hash of an address: no address is ever written to Redis."""
        if not self._hashes:
            return ""
        return _hash_address(self._key, address)


@lru_cache(maxsize=8192)
def _hash_address(key: bytes, address: str) -> str:
    return hashlib.blake2b(address.encode(), key=key, digest_size=8).hexdigest()


def _plain_address(hop: str) -> str | None:
    """An address of X-Forwarded-For without port and brackets; None if it is not an address."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def _limit_address(address: str) -> str:
    try:
        parsed: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
