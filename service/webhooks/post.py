"""Sends one message over a connection of its own, and looks at nothing but the status.

Not an HTTP library: of what they do (redirects, cookies, pools, proxies of the environment) nothing
may happen here, and two things must that they do not offer: that the very address is connected to
that was checked, and that nothing is written after `may_write` has said no, however long the
connection took to open.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import cache

import httptools

from service.webhook_config import Webhook
from service.webhooks.addresses import NotDelivered, SocketAddress, addresses_of

TRY_S = 5.0
_HEAD_BYTES = 65_536  # of an answer, with those of 1xx
_CHUNK = 16_384
# A message fits into what the kernel buffers: what was written is not written later, by a process
# that was frozen in between.
_SEND_BUFFER = 262_144
_SECONDS = re.compile(rb"[0-9]{1,9}\Z")


async def post(
    webhook: Webhook,
    headers: Mapping[str, str],
    body: bytes,
    *,
    may_write: Callable[[], bool],
    try_s: float = TRY_S,
) -> int:
    """The status of the answer, 200 to 299.

    Args:
        may_write: asked at the last moment; what it says no to is not sent.

    Raises:
        NotDelivered: there was another answer, or none in time.
    """
    try:
        async with asyncio.timeout(try_s):
            answer = await _exchange(webhook, _request(webhook, headers, body), may_write, try_s)
    except TimeoutError:
        raise NotDelivered(f"no answer within {try_s:g} s") from None
    except ssl.SSLCertVerificationError:
        raise NotDelivered("its certificate is not trusted") from None
    except ssl.SSLError:
        raise NotDelivered("no TLS connection can be made to it") from None
    except ConnectionRefusedError:
        raise NotDelivered("the connection is refused") from None
    except (OSError, EOFError):
        raise NotDelivered("the connection broke off") from None
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        raise NotDelivered("its answer is not HTTP") from None
    if not 200 <= answer.status <= 299:
        raise NotDelivered(f"answered {answer.status}", answer.status, answer.retry_after_s)
    return answer.status


def _request(webhook: Webhook, headers: Mapping[str, str], body: bytes) -> bytes:
    url = webhook.url
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    lines = [
        f"POST {target} HTTP/1.1",
        f"host: {url.netloc}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


async def _exchange(
    webhook: Webhook, request: bytes, may_write: Callable[[], bool], try_s: float
) -> "_Answer":
    failure: Exception = NotDelivered("the name of its host is not known")
    addresses = await addresses_of(webhook)
    # One that swallows what it is sent leaves the others their time, and the answer some.
    share_s = try_s / (len(addresses) + 1)
    for address in addresses:
        within_s = None if address is addresses[-1] else share_s
        try:
            reader, writer = await _connect(webhook, address, within_s)
        except ssl.SSLError:
            raise
        except OSError as error:  # or none in time: its next address may answer
            failure = error
            continue
        try:
            if not may_write():
                raise NotDelivered("another copy sends by now")
            writer.write(request)
            return await _answer(reader)
        finally:
            writer.transport.abort()
    raise failure


async def _connect(
    webhook: Webhook, resolved: SocketAddress, within_s: float | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    opened = socket.socket(resolved.family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        async with asyncio.timeout(within_s):
            await asyncio.get_running_loop().sock_connect(opened, resolved.address)
        if webhook.url.scheme == "http":
            return await asyncio.open_connection(sock=opened)
        name = webhook.url.hostname
        return await asyncio.open_connection(sock=opened, ssl=_tls(), server_hostname=name)
    except BaseException:
        opened.close()
        raise


@cache
def _tls() -> ssl.SSLContext:
    """The certificates that the system trusts; SSL_CERT_FILE names others."""
    return ssl.create_default_context()


class _Answer:
    """What httptools tells of an answer: the first status that is not 1xx, and what came with it.
    Of Retry-After only seconds are read: a date is of a clock that may be wrong."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = self.retry_after_s = 0

    def on_message_begin(self) -> None:
        self.retry_after_s = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status and name.lower() == b"retry-after" and _SECONDS.match(value):
            self.retry_after_s = int(value)

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= 200 and not self.status:
            self.status = status


async def _answer(reader: asyncio.StreamReader) -> _Answer:
    answer, room = _Answer(), _HEAD_BYTES
    while not answer.status:
        chunk = await reader.read(_CHUNK)
        room -= len(chunk)
        if not chunk:
            raise EOFError
        if room < 0:
            raise NotDelivered("the head of its answer does not end")
        answer.parser.feed_data(chunk)
    return answer
