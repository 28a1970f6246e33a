"""Connections of redis-py, made quicker and sturdier.

`Diagnosing` says why no connection comes about, `CircuitBreaker` stops connect storms,
`HiredisPacking` packs script calls in C, and `DedicatedConnection` keeps one connection for the
batches of heartbeats.
"""

import asyncio
import contextlib
import ssl
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.exceptions import (
    ConnectionError,
    InvalidResponse,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

from service.redis.diagnosis import Diagnoses, diagnosed
from service.redis.failures import NotRedis

RENEW_S = 1.0  # connections to what takes no writes are made anew, but not more often than that
PAUSE_S = 0.1  # between two tries to reach what could not be reached
C = TypeVar("C", bound=AbstractConnection)


@dataclass(slots=True)
class Endpoint:
    """The way to one address. While it is closed, one tries at a time."""

    closed_by: BaseException | None = None
    is_tried: bool = False
    not_before: float = 0.0
    renewed_at: float = 0.0  # connections that are older lead to where it led before


class Diagnosing(AbstractConnection):
    """Put before a connection class: tells who is not trusted and who speaks another protocol from
    who is not there."""

    _diagnoses: Diagnoses  # each client has its own

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Raises NotTrusted or a WrongProtocol where redis-py only says that it failed."""
        try:
            await super().connect_check_health(*args, **kwargs)
        except (ConnectionError, TimeoutError, InvalidResponse, ssl.SSLError) as error:
            host, port = getattr(self, "host", None), getattr(self, "port", None)
            address = None if host is None or port is None else (host, int(port))
            tls = self.ssl_context.get() if isinstance(self, SSLConnection) else None
            told = await diagnosed(error, address, tls, self._diagnoses)
            if told is None:
                raise
            raise told from error

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Also waits for the answer to a PING: a server that is frozen, or at its limit of clients,
        accepts connections all the same."""
        await super().on_connect_check_health(check_health)
        await self.send_command("PING", check_health=False)
        with contextlib.suppress(ResponseError):  # a refusal is an answer, too
            if await self.read_response() not in ("PONG", b"PONG"):
                raise NotRedis("not an answer to a PING")


def with_diagnosis(connection_class: type[C]) -> type[C]:
    """The connection class, saying why no connection comes about."""
    name = f"Diagnosing{connection_class.__name__}"
    return type(name, (Diagnosing, connection_class), {"_diagnoses": {}})


class CircuitBreaker(Diagnosing):
    """Put before a connection class."""

    _endpoints: defaultdict[tuple[Any, Any], Endpoint]  # by address; each client has its own
    _made_at = 0.0

    @property
    def _endpoint(self) -> Endpoint:
        return self._endpoints[getattr(self, "host", None), getattr(self, "port", None)]

    def should_reconnect(self) -> bool:
        """Also true for a connection made before its endpoint was last renewed."""
        marked: bool = super().should_reconnect()  # type: ignore[no-untyped-call]
        return marked or self._made_at < self._endpoint.renewed_at

    async def connect(self) -> None:
        """Replaces a connection that should reconnect, which redis-py checks on reads only."""
        if self.is_connected and self.should_reconnect():
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Tries once. After a failure one caller tries again, after a pause, and all others fail at
        once: if each request tried, they would storm a Redis that is down."""
        if self.is_connected:
            return
        endpoint = self._endpoint
        is_retrying = endpoint.closed_by is not None
        if is_retrying and endpoint.is_tried:
            # Keep the last error's type, so that a wrong password is not reported as unreachable.
            last = endpoint.closed_by
            kind = type(last) if isinstance(last, ConnectionError) else None
            raise (kind or ConnectionError)("the last connect has failed, and one is under way")
        try:
            if is_retrying:
                endpoint.is_tried = True
                await asyncio.sleep(endpoint.not_before - time.monotonic())
            self._made_at = time.monotonic()
            await super().connect_check_health(*args, **kwargs)
            endpoint.closed_by = None
        except BaseException as error:
            endpoint.closed_by = error
            endpoint.not_before = time.monotonic() + PAUSE_S
            raise
        finally:
            if is_retrying:
                endpoint.is_tried = False

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Turns uvloop's RuntimeError for a closed connection into redis-py's ConnectionError."""
        try:
            await super().send_packed_command(*args, **kwargs)
        except RuntimeError as error:
            raise ConnectionError("the connection was closed while writing") from error

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Renews the endpoint after a READONLY error: a primary that has become a replica keeps its
        connections, while its name, or its load balancer, leads elsewhere."""
        try:
            return await super().read_response(*args, **kwargs)
        except ReadOnlyError:
            endpoint, now = self._endpoint, time.monotonic()
            if now - endpoint.renewed_at > RENEW_S:
                endpoint.renewed_at = now
            raise


def with_circuit_breaker(connection_class: type[C]) -> type[C]:
    """The connection class with a circuit breaker for each endpoint."""
    name = f"Guarded{connection_class.__name__}"
    endpoints = defaultdict[Any, Endpoint](Endpoint)
    return type(
        name, (CircuitBreaker, connection_class), {"_endpoints": endpoints, "_diagnoses": {}}
    )


_SCRIPT_CALLS = frozenset(("EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO"))


class HiredisPacking(AbstractConnection):
    """A mixin that packs script calls in C. redis-py packs argument by argument in Python, which
    takes longer than the script itself. Other commands are left to redis-py: their names may be
    two words and their arguments of types that hiredis packs differently."""

    def pack_command(self, *args: Any) -> list[bytes]:
        if args[0] in _SCRIPT_CALLS:
            return [pack_command(args)]
        return super().pack_command(*args)


def with_hiredis_packing(connection_class: type[C]) -> type[C]:
    """The connection class, packing script calls in C."""
    return type(f"Packing{connection_class.__name__}", (HiredisPacking, connection_class), {})


class DedicatedConnection:
    """A client of one connection, for one caller at a time.

    Nothing here has a deadline: the caller's own ends what takes too long, and the connection
    with it, so that a reply that comes late is never taken for another's.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool: Any = pool  # redis-py has no types for what it gives
        self._connection: Any = None
        self._is_busy = False

    async def execute_command(self, *command: str | int) -> Any:
        """The reply of one command.

        Raises:
            RedisError: what Redis or the way to it answered.
        """
        (reply,) = await self.replies([command])
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def replies(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """The replies of many commands, sent as one, in order; an error that Redis answers stands
        in its place. Where the connection is lost all are sent again, once: they are scripts
        that change nothing the second time.

        Raises:
            RedisError, OSError: the server could not be reached, or broke off.
        """
        if self._is_busy:
            raise RuntimeError("a held connection has one caller at a time")
        self._is_busy = True
        try:
            connection = self._connection or await self._take()
            packed = [part for command in commands for part in connection.pack_command(*command)]
            try:
                return await _exchange(connection, packed, len(commands))
            except (ConnectionError, TimeoutError):
                return await _exchange(connection, packed, len(commands))
        finally:
            self._is_busy = False

    async def _take(self) -> Any:
        connection = await self._pool.get_connection()
        connection.socket_timeout = None  # it would cost a task for each call
        self._connection = connection
        return connection


async def _exchange(connection: Any, packed: list[bytes], count: int) -> list[Any]:
    # What fails closes the connection, in redis-py. `connect`, and not the next send, asks the
    # Sentinels where the primary is now.
    if connection.should_reconnect():
        await connection.disconnect(nowait=True)
    if not connection.is_connected:
        await connection.connect()
    await connection.send_packed_command(packed)
    replies: list[Any] = []
    for _ in range(count):
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies
