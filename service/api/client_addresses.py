"""The address of a client, behind trusted proxies too, and the hash that stands for it in Redis."""

import hashlib
import secrets
from collections.abc import Sequence
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

from starlette.types import Scope

from service.api.request_head import peer_of
from service.settings import Settings

_LONGEST = 64  # of what may be an address, with a zone, a port and brackets
_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address, as a dual-stack socket shows it


class Address(NamedTuple):
    """One address; `limit`: the one that limits go by."""

    limit: str
    is_trusted: bool


class ClientAddresses:
    """The addresses that limits go by, as a deployment's proxies tell them."""

    def __init__(self, settings: Settings) -> None:
        # By the number of bytes of an address, (address & mask, mask).
        self._trusted: dict[int, list[tuple[int, int]]] = {4: [], 16: []}
        for network in settings.trusted_proxies:
            masked = int(network.network_address), int(network.netmask)
            self._trusted[network.max_prefixlen // 8].append(masked)
        # With ten thousand visitors each one's address is parsed each time: they come in turns.
        self._known = lru_cache(8192)(self._parsed)
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
        limit, is_trusted = self._of_peer(peer)
        if not is_trusted:
            return limit
        if self._header:
            # Where it is missing the request has not come by the proxy that sets it, and then
            # X-Forwarded-For is the client's own.
            named = self._named_client(headers)
            return named.limit if named else limit
        hops = [
            hop
            for name, value in headers
            if name == b"x-forwarded-for"
            for hop in value.decode("latin-1").split(",")
        ]
        for hop in reversed(hops):
            address = self._of_hop(hop)
            if address is None:
                break
            limit, is_trusted = address
            if not is_trusted:
                break
        return limit

    def _named_client(self, headers: Sequence[tuple[bytes, bytes]]) -> Address | None:
        """The address in PRESENCE_CLIENT_IP_HEADER; of several, in one header or more, the last
        counts, which the trusted proxy has written."""
        named = [value for name, value in headers if name == self._header]
        return self._of_hop(named[-1].decode("latin-1").rpartition(",")[2]) if named else None

    def is_from_trusted_proxy(self, scope: Scope) -> bool:
        """Whether the other end of the connection is one of PRESENCE_TRUSTED_PROXIES."""
        return self._of_peer(peer_of(scope)).is_trusted

    def _of_peer(self, peer: str) -> Address:
        if not peer:  # a unix socket: whoever may open it is let in by its owner
            return Address(peer, any(self._trusted.values()))
        return self._known(peer) or Address(peer, is_trusted=False)

    def _of_hop(self, hop: str) -> Address | None:
        """An address that a proxy tells, without port and brackets; None if it is no address."""
        hop = hop.strip()
        if hop.startswith("["):
            hop = hop[1:].partition("]")[0]
        elif hop.count(":") == 1:
            hop = hop.partition(":")[0]
        return self._known(hop) if len(hop) <= _LONGEST else None

    def _parsed(self, text: str) -> Address | None:
        text, _, zone = text.partition("%")
        try:
            packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
        except (OSError, ValueError):  # ValueError: it holds what no text in C can hold
            return None
        if packed.startswith(_MAPPED):
            packed = packed[12:]
        elif zone and len(packed) == 4:
            return None
        number = int.from_bytes(packed)
        is_trusted = any(number & mask == masked for masked, mask in self._trusted[len(packed)])
        if len(packed) == 4:
            return Address(inet_ntop(AF_INET, packed), is_trusted)
        return Address(inet_ntop(AF_INET6, packed[:8] + bytes(8)) + "/64", is_trusted)

    def hash(self, address: str) -> str:
        """A keyed hash of an address: no address is ever written to Redis."""
        if not self._hashes:
            return ""
        return _hash_address(self._key, address)


@lru_cache(maxsize=8192)
def _hash_address(key: bytes, address: str) -> str:
    return hashlib.blake2b(address.encode(), key=key, digest_size=8).hexdigest()
