"""Connections of redis-py that say why none comes about."""

import contextlib
import ssl
from typing import Any, TypeVar

from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.exceptions import ConnectionError, InvalidResponse, ResponseError, TimeoutError

from service.redis.diagnosis import Diagnoses, diagnosed
from service.redis.failures import NotRedis
from service.redis.shared_tls import shared

C = TypeVar("C", bound=AbstractConnection)


class Diagnosing(AbstractConnection):
    """Put before a connection class: tells who is not trusted and who speaks another protocol from
    who is not there."""

    _diagnoses: Diagnoses  # each client has its own

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Raises NotTrusted or a WrongProtocol where redis-py only says that it failed."""
        if isinstance(self, SSLConnection):
            self.ssl_context = shared(self.ssl_context)
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
