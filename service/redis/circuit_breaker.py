"""Connections of redis-py that storm no Redis that is down, or has moved."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ReadOnlyError

from service.redis.diagnosing import Diagnosing

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
