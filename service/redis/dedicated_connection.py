"""One connection, kept for the batches of heartbeats."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError, ResponseError, TimeoutError


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
            raise RuntimeError("a dedicated connection has one caller at a time")
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
