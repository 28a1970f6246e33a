"""Finds out where a host is, and refuses what an endpoint may not reach."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Any, NamedTuple

from service.webhook_config import Webhook, is_public


class NotDelivered(Exception):
    """A try failed. `reason` goes into logs and status: nothing of a URL or a body is in it.
    `retry_after_s`: how long the next one is to wait, as the answer asks."""

    def __init__(self, reason: str, status: int | None = None, retry_after_s: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s


class SocketAddress(NamedTuple):
    """An address that a socket can connect to."""

    family: socket.AddressFamily
    address: tuple[Any, ...]


async def addresses_of(webhook: Webhook) -> list[SocketAddress]:
    """Where the host of an endpoint is now: these very addresses are to be connected to, for a
    name that is looked up again may lead elsewhere.

    Raises:
        NotDelivered: nowhere, or nowhere where it may be.
    """
    host = webhook.url.hostname
    assert host is not None
    port = webhook.url.port or (443 if webhook.url.scheme == "https" else 80)
    try:
        resolved = await _resolve(host, port)
    except (OSError, UnicodeError):
        raise NotDelivered("the name of its host is not known") from None
    allowed = [one for one in resolved if webhook.allow_private or _is_public(one)]
    if not allowed:
        raise NotDelivered("its host is in a private network: see allow_private")
    return allowed


async def _resolve(host: str, port: int) -> list[SocketAddress]:
    """In a thread of its own: a name that nobody answers for takes longer than a try, and those of
    the loop's executor, in which Redis is looked up, are few and waited for at the end."""
    loop = asyncio.get_running_loop()
    resolved: asyncio.Future[list[SocketAddress]] = loop.create_future()

    def settle(found: list[SocketAddress] | Exception) -> None:
        if resolved.done():  # nobody waits any more
            return
        if isinstance(found, Exception):
            resolved.set_exception(found)
        else:
            resolved.set_result(found)

    def look_up() -> None:
        found: list[SocketAddress] | Exception
        try:
            found = [
                SocketAddress(family, address)
                for family, _, _, _, address in socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM
                )
            ]
        except (OSError, UnicodeError) as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=look_up, name="webhook address", daemon=True).start()
    return await resolved


def _is_public(resolved: SocketAddress) -> bool:
    text = str(resolved.address[0]).partition("%")[0]  # fe80::1%eth0
    return is_public(ipaddress.ip_address(text))
