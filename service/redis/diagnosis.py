"""Why a connection to Redis does not come about, beyond what redis-py says of it.

A server that is spoken to in another protocol seldom says so: Redis waits for the line to end when
it is sent a TLS handshake, and hangs up when it is sent plain text where it speaks TLS. So the
other protocol is tried, once in a while, with nothing in it that is secret. Three things are told
apart: who is not trusted, who is not understood, and (None) who is not there.
"""

import asyncio
import contextlib
import re
import ssl
import time

from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    TimeoutError,
)

from service.redis.failures import (
    NoCommonTls,
    NotRedis,
    NotTrusted,
    SpeaksPlain,
    SpeaksTls,
    WrongProtocol,
)

TRY_EVERY_S = 1.0
TRY_FOR_S = 0.2
_TLS_ALERT = 21  # the first byte with which TLS refuses plain text
_REDIS = re.compile(rb"\+PONG|-[A-Z]+ ")  # it may refuse a PING: NOAUTH, NOPERM, DENIED, LOADING
_OF_TRUST = ("CERT", "UNKNOWN_CA", "ACCESS_DENIED")  # in OpenSSL's names of reasons
_GARBLED = (InvalidResponse, NotRedis)  # an answer, but not one in Redis's protocol
Address = tuple[str, int]
Found = NotTrusted | WrongProtocol | None
Diagnoses = dict[Address, tuple[float, asyncio.Future[Found]]]  # since when it is tried


async def diagnosed(
    error: BaseException,
    address: Address | None,
    tls: ssl.SSLContext | None,
    diagnoses: Diagnoses,
) -> Found:
    """The error that says more than this one, or None where there is none.

    Args:
        address: where it was; None: on a Unix socket.
        tls: with what the connection was tried; None: in plain text.
        diagnoses: of each address the last one, kept by the caller.
    """
    if isinstance(error, (AuthenticationError, NotTrusted, WrongProtocol)):
        return None
    cause = _cause_of(error)
    is_garbled = isinstance(cause, _GARBLED)
    if is_garbled and (tls is not None or address is None):
        return NotRedis("not an answer in Redis's protocol")
    if address is None or isinstance(cause, ConnectionRefusedError):
        return None
    if isinstance(cause, ssl.SSLError) and _is_of_trust(cause):
        return NotTrusted(cause.reason)
    if isinstance(error, TimeoutError) and tls is None:
        return None  # who speaks TLS hangs up
    tried_at, trying = diagnoses.get(address, (-TRY_EVERY_S, None))
    if trying is None or time.monotonic() - tried_at > TRY_EVERY_S:
        # Of all who fail at once, one tries: who hangs up on everybody is not to be stormed.
        of = _of_plain(address, is_garbled) if tls is None else _of_tls(address, tls, cause)
        trying = asyncio.ensure_future(of)
        diagnoses[address] = time.monotonic(), trying
    return await asyncio.shield(trying)


def _cause_of(error: BaseException) -> BaseException | None:
    """The first of its causes that says more than that there is no connection."""
    telling = (ssl.SSLError, ConnectionRefusedError, *_GARBLED)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, telling):
        cause = cause.__cause__ or cause.__context__
    return cause


def _is_of_trust(error: ssl.SSLError) -> bool:
    # Ours is refused with an alert, such as CERTIFICATE_REQUIRED or UNKNOWN_CA.
    reason = error.reason or ""
    return isinstance(error, ssl.CertificateError) or any(word in reason for word in _OF_TRUST)


async def _of_plain(address: Address, is_garbled: bool) -> Found:
    """Why plain text was not understood, or hung up on."""
    if await _handshake(address) is not None:
        return SpeaksTls("TLS is spoken there")
    if is_garbled or await _says(address) == "other":
        return NotRedis("something else answers")
    return None


async def _of_tls(address: Address, tls: ssl.SSLContext, cause: BaseException | None) -> Found:
    """Why a handshake did not come about."""
    says = await _says(address)
    if says == "redis":
        return SpeaksPlain("plain text is spoken there")
    reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        outcome = await _handshake(address)
        # Where a certificate of ours is asked for, TLS 1.2 says no more than that it has failed.
        if outcome == "ALERT" and "HANDSHAKE_FAILURE" in reason:
            return NotTrusted(reason)
        if outcome in ("", "ALERT", "VERSION"):
            return NoCommonTls(reason)
        return NotRedis(reason)
    return NotRedis("something else answers") if says == "other" else await _refused(address, tls)


async def _handshake(address: Address) -> str | None:
    """Tries TLS as it is by default, with any certificate, and sends nothing in it. Empty: it
    works; ALERT: it is TLS, and refuses; VERSION: it is too old; None: it is not TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(TRY_FOR_S):
            _, writer = await asyncio.open_connection(*address, ssl=context)
    except ssl.SSLError as error:
        reason = error.reason or ""
        if reason in ("UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"):
            return "VERSION"
        return "ALERT" if "ALERT" in reason else None
    except OSError:  # TimeoutError is one
        return None
    writer.transport.abort()
    return ""


async def _says(address: Address) -> str:
    """Who answers a PING in plain text: redis, other, or empty: nobody."""
    try:
        async with asyncio.timeout(TRY_FOR_S):
            reader, writer = await asyncio.open_connection(*address)
            with contextlib.closing(writer.transport):
                writer.write(b"PING\r\n")
                answer = await reader.read(16)
    except OSError:
        return ""
    if not answer or answer[0] == _TLS_ALERT:
        return ""
    return "redis" if _REDIS.match(answer) else "other"


async def _refused(address: Address, tls: ssl.SSLContext) -> Found:
    """Why we were hung up on after the handshake. What we had written by then may have kept the
    reason, that our certificate is missing or not trusted, from being read."""
    try:
        async with asyncio.timeout(TRY_FOR_S):
            reader, writer = await asyncio.open_connection(*address, ssl=tls)
            with contextlib.closing(writer.transport):
                await reader.read(1)
    except ssl.SSLError as error:
        return NotTrusted(error.reason) if _is_of_trust(error) else None
    except OSError:
        return None
    return None
