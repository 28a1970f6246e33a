"""Bodies of requests, read within bounds of size and time."""

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from service.errors import RequestError

READ_TIMEOUT_S = 8.0  # for a whole body: it is at most some MiB


async def read_body(
    receive: Receive,
    headers: dict[bytes, bytes],
    most: int,
    take: Callable[[int], None] | None = None,
) -> bytes:
    """The whole body, counted while it streams in; `take` is told how long each piece is.

    Raises:
        RequestError: 413, it is longer than `most` bytes; 408, it takes too long.
        ClientDisconnect: nobody waits for an answer any more.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            message = await receive()
            body: bytes = message.get("body", b"")
            if take is not None:
                take(len(body))
            if message.get("more_body", False):
                parts = bytearray(body)
                while message.get("more_body", False) and len(parts) <= most:
                    message = await receive()
                    piece = message.get("body", b"")
                    if take is not None:
                        take(len(piece))
                    parts += piece
                body = bytes(parts)
    except TimeoutError:
        raise RequestError(
            408, "the body takes too long", headers={"Connection": "close"}
        ) from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if len(body) > most:
        raise _too_large(most)
    return body


def _too_large(most: int) -> RequestError:
    return RequestError(
        413, f"the body is longer than {most} bytes", headers={"Connection": "close"}
    )
