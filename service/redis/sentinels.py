"""Sentinels that say why they did not tell the primary."""

from typing import Any

from redis.asyncio import Redis, Sentinel
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import ConnectionError, TimeoutError

from service.redis.failures import NotTrusted, WrongProtocol


class OneSentinel(Redis):
    """Keeps its last error, of which redis-py's Sentinel keeps no more than how it prints."""

    last_error: BaseException | None = None

    async def sentinel_masters(self) -> Any:
        """As redis-py's."""
        try:
            masters = await super().sentinel_masters()
        except (ConnectionError, TimeoutError) as error:
            self.last_error = error
            raise
        self.last_error = None
        return masters


class Sentinels(Sentinel):
    """redis-py's, asking such as these."""

    sentinels: list[Any]

    async def discover_master(self, service_name: str) -> Any:
        """Says as well where no Sentinel is trusted, or none speaks our protocol."""
        try:
            return await super().discover_master(service_name)
        except MasterNotFoundError as error:
            for kind in (NotTrusted, WrongProtocol):
                for sentinel in self.sentinels:
                    if isinstance(sentinel.last_error, kind):
                        raise type(sentinel.last_error)("the Sentinels") from error
            raise
