"""Forgets a user in what is kept of webhooks. It looks at all keys of Redis, so a command does it,
and no request."""

from typing import Any

from service.redis.connection import Connection
from service.store.keys import Keys
from service.store.webhooks import USER_FIELD

_CHUNK = 500  # keys that are looked at by one call


async def forget_user_everywhere(connection: Connection, keys: Keys, site: str, user: str) -> None:
    """Forgets that a user was told as online to any endpoint of which something is kept, also to
    those that are not in the sites file any more. Raises RedisError."""
    client: Any = connection.client
    async for key in client.scan_iter(match=keys.webhook(site, "*"), count=_CHUNK):
        await client.hdel(key, USER_FIELD + user)
