"""Why a connection to Redis does not come about, beyond what redis-py says of it.

A server that is spoken to in another protocol seldom says so: Redis waits for the line to end when
it is sent a TLS handshake, and hangs up when it is sent plain text where it speaks TLS. So the
other protocol is tried, once in a while, with nothing in it that is secret.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Iterator

from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    TimeoutError,
)

from service.redis.failures import NotTrusted, WrongProtocol

TRY_EVERY_S = 1.0
TRY_FOR_S = 0.2
Found = NotTrusted | WrongProtocol | None
Diagnoses = dict[tuple[str, int], tuple[float, Found]]  # when it was tried, and what was found


async def diagnosed(
    error: BaseException,
    address: tuple[str, int],
    tls: ssl.SSLContext | None,
    diagnoses: Diagnoses,
) -> Found:
    """The error that says more than this one, or None where there is none.

    Args:
        tls: with what the connection was tried; None: in plain text.
        diagnoses: of each address the last one, kept by the caller.
    """
    if isinstance(error, (AuthenticationError, NotTrusted, WrongProtocol)):
        return None
    if isinstance(error, InvalidResponse):
        return WrongProtocol("not an answer in Redis's protocol")
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLEOFError):
            break
        if isinstance(cause, ssl.SSLError):
            return _of_tls(cause)
        if isinstance(cause, ConnectionRefusedError):
            return None
    if isinstance(error, TimeoutError) and tls is None:
        return None  # who speaks TLS hangs up
    tried_at, found = diagnoses.get(address, (-TRY_EVERY_S, None))
    if time.monotonic() - tried_at > TRY_EVERY_S:
        found = await _found(address, tls)
        diagnoses[address] = time.monotonic(), found
    return found


async def _found(address: tuple[str, int], tls: ssl.SSLContext | None) -> Found:
    if tls is None:
        return WrongProtocol("TLS is spoken there") if await _speaks_tls(*address) else None
    if await _speaks_plain(*address):
        return WrongProtocol("plain text is spoken there")
    return await _refused(*address, tls)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _of_tls(error: ssl.SSLError) -> NotTrusted | WrongProtocol:
    # Ours is refused with an alert, such as CERTIFICATE_REQUIRED or UNKNOWN_CA.
    reason = error.reason or ""
    if "CERT" in reason or "UNKNOWN_CA" in reason or isinstance(error, ssl.CertificateError):
        return NotTrusted(reason)
    return WrongProtocol(reason)


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent
    try:
        async with asyncio.timeout(TRY_FOR_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:  # TimeoutError is one
        return False
    writer.transport.abort()
    return True


async def _speaks_plain(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(TRY_FOR_S):
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.closing(writer.transport):
                writer.write(b"PING\r\n")
                return await reader.read(1) in (b"+", b"-")
    except OSError:
        return False


async def _refused(host: str, port: int, tls: ssl.SSLContext) -> Found:
    """Why we were hung up on after the handshake. What we had written by then may have kept the
    reason, that our certificate is missing or not trusted, from being read."""
    try:
        async with asyncio.timeout(TRY_FOR_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
            with contextlib.closing(writer.transport):
                await reader.read(1)
    except ssl.SSLEOFError:
        return None
    except ssl.SSLError as error:
        return _of_tls(error)
    except OSError:
        return None
    return None
