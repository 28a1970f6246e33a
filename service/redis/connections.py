"""Connections of redis-py, made quicker and sturdier.

`CircuitBreaker` stops connect storms, `HiredisPacking` packs script calls in C, and
`DedicatedConnection` keeps one connection for the batches of heartbeats.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ReadOnlyError, ResponseError, TimeoutError

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


class CircuitBreaker(AbstractConnection):
    """Put before a connection class."""

    _endpoints: defaultdict[tuple[Any, Any], Endpoint]  # by address; each client has its own
    _made_at = 0.0

    @property
    def _endpoint(self) -> Endpoint:
        return self._endpoints[getattr(self, "host", None), getattr(self, "port", None)]

    def should_reconnect(self) -> bool:
        """As redis-py's."""
        marked: bool = super().should_reconnect()  # type: ignore[no-untyped-call]
        return marked or self._made_at < self._endpoint.renewed_at

    async def connect(self) -> None:
        """As redis-py's."""
        if self.is_connected and self.should_reconnect():
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's: one try. Where the last one has failed, one tries again after a pause and
        the others fail at once: with each request trying, a Redis that is down would be stormed."""
        if self.is_connected:
            return
        way = self._endpoint
        is_retrying = way.closed_by is not None
        if is_retrying and way.is_tried:
            # A password that is wrong is not a Redis that is away: of the same kind as the last.
            kind = type(way.closed_by) if isinstance(way.closed_by, ConnectionError) else None
            raise (kind or ConnectionError)("the last connect has failed, and one is under way")
        try:
            if is_retrying:
                way.is_tried = True
                await asyncio.sleep(way.not_before - time.monotonic())
            self._made_at = time.monotonic()
            await super().connect_check_health(*args, **kwargs)
            way.closed_by = None
        except BaseException as error:
            way.closed_by = error
            way.not_before = time.monotonic() + PAUSE_S
            raise
        finally:
            if is_retrying:
                way.is_tried = False

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """As redis-py's, and one answer: a server that is frozen, or lets nobody in any more,
        accepts connections all the same."""
        await super().on_connect_check_health(check_health)
        await self.send_command("PING", check_health=False)
        with contextlib.suppress(ResponseError):  # that it may not be asked is an answer as well
            await self.read_response()

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's. Where the other side has just closed, uvloop raises a RuntimeError, which
        redis-py does not take for what it is."""
        try:
            await super().send_packed_command(*args, **kwargs)
        except RuntimeError as error:
            raise ConnectionError("the connection was closed while writing") from error

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's. A primary that has become a replica keeps its connections; whoever asks
        next goes to whatever its name, or its load balancer, leads to now."""
        try:
            return await super().read_response(*args, **kwargs)
        except ReadOnlyError:
            way, now = self._endpoint, time.monotonic()
            if now - way.renewed_at > RENEW_S:
                way.renewed_at = now
            raise


def with_circuit_breaker(connection_class: type[C]) -> type[C]:
    """The connection class, hardened."""
    name, ways = f"Hardened{connection_class.__name__}", defaultdict[Any, Endpoint](Endpoint)
    return type(name, (CircuitBreaker, connection_class), {"_endpoints": ways})


_SCRIPT_CALLS = frozenset(("EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO"))


class HiredisPacking(AbstractConnection):
    """Put before a connection class. Only script calls: their name is one word and their
    arguments are texts and whole numbers, which both packers write alike."""

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
