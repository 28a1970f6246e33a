"""`connect(url)`: the URL chooses the topology, once; nothing else asks which one it is.

The deadlines of every topology stand here. redis-py's own defaults (5 s socket timeout, ten
retries) would let one frozen Redis hold a request for a minute.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from redis.asyncio import BlockingConnectionPool, Redis, Sentinel
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError, TimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from service.errors import SettingsError
from service.redis.cluster import Cluster
from service.redis.connections import (
    DedicatedConnection,
    with_circuit_breaker,
    with_hiredis_packing,
)
from service.redis.embedded import socket_of
from service.redis.scripts import Client

CONNECT_TIMEOUT_S = 0.5
SOCKET_TIMEOUT_S = 0.75
POOL_SIZE = 16
POOL_WAIT_S = 0.5
DEADLINE_S = 1.8  # for one whole operation, retry included: an HTTP answer within 2 s
BATCH_DEADLINE_S = 0.85  # for one batch: what waits behind it still has its own turn in time


def _options(answer_within_s: float) -> dict[str, Any]:
    """What every connection is opened with.

    RESP2, because with RESP3 redis-py skips its check for unread data on a pooled connection
    unless maintenance notifications are off. One retry: a repeated script changes nothing. Nothing
    is told of the driver: a user with our commands only (deploy/redis.acl) may not say it.
    """
    return {
        "decode_responses": True,
        "driver_info": None,
        "protocol": 2,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": answer_within_s,
        "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError, TimeoutError)),
    }


@lru_cache(maxsize=65_536)
def _slot_of(tag: str) -> int:
    return key_slot(tag.encode())


@dataclass(frozen=True, slots=True)
class Connection:
    """The way to Redis. `topology` is a word for people; `held` is a client for one caller at a
    time, where one connection leads to everything."""

    client: Redis | RedisCluster
    topology: str
    held: DedicatedConnection | None = None
    helpers: tuple[Redis, ...] = ()  # clients of its own that find the way, such as to Sentinels

    def lane_of(self, tag: str) -> str:
        """Calls with the same lane travel one after the other, on one connection at a time.

        On one server that is everybody: what waits goes together. On a cluster it is all that
        one node holds, so that a node that is down holds up nobody but its sites.
        """
        if self.topology != "cluster":
            return ""
        assert isinstance(self.client, RedisCluster)
        node = self.client.nodes_manager.slots_cache.get(_slot_of(tag))
        return node[0].name if node else ""  # not known before the first answer

    @property
    def of_a_lane(self) -> Client:
        """The client of the one lane that there is, or of all lanes."""
        return self.held or self.client

    @property
    def mixes_sites(self) -> bool:
        """Whether one call may name keys of several sites: not where each has its slot."""
        return self.topology != "cluster"

    async def close(self) -> None:
        """Closes every connection."""
        for client in (self.client, *self.helpers):
            closing: Awaitable[None] = client.aclose()
            await closing


def connect(url: str, *, answer_within_s: float = SOCKET_TIMEOUT_S) -> Connection:
    """A connection by URL; nothing is sent yet, so it succeeds while Redis is down.

    Args:
        answer_within_s: how long one answer may take; only a check of everything asks for more.

    Raises:
        SettingsError: the URL is malformed.
    """
    scheme, _, rest = url.partition("://")
    options = _options(answer_within_s)
    try:
        match scheme:
            case "memory":
                return _memory()
            case "embedded":
                return _standalone(f"unix://{quote(socket_of(rest))}", "embedded", options)
            case "redis" | "rediss" | "unix":
                return _standalone(url, "standalone", options)
            case "redis+sentinel":
                return _sentinel(url, options)
            case "redis+cluster":
                return _cluster(url, options)
    except ValueError as error:
        raise SettingsError(f"PRESENCE_REDIS_URL: {error}") from None
    raise SettingsError(f"PRESENCE_REDIS_URL: unknown scheme {scheme}://")


def _memory() -> Connection:
    from fakeredis import FakeAsyncRedis, FakeServer

    return Connection(FakeAsyncRedis(server=FakeServer(), decode_responses=True), "memory")


def _standalone(url: str, topology: str, options: dict[str, Any]) -> Connection:
    pool = BlockingConnectionPool.from_url(
        url, max_connections=POOL_SIZE, timeout=POOL_WAIT_S, **options
    )
    pool.connection_class = with_circuit_breaker(with_hiredis_packing(pool.connection_class))
    return Connection(Redis.from_pool(pool), topology, DedicatedConnection(pool))


@dataclass(frozen=True, slots=True)
class _Address:
    """`scheme://user:password@h:p,h:p/path?option=…`, which urlsplit cannot read whole."""

    username: str | None
    password: str | None
    hosts: list[tuple[str, int]]
    path: str
    query: dict[str, list[str]]

    @classmethod
    def parse(cls, url: str, default_port: int) -> "_Address":
        rest, _, query = url.partition("://")[2].partition("?")
        netloc, _, path = rest.partition("/")
        credentials, _, places = netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        hosts = []
        for place in places.split(","):
            host, colon, port = place.rpartition(":")
            if not colon or place.endswith("]"):
                host, port = place, str(default_port)
            if not host or not port.isdigit():
                raise ValueError(f"{place!r} is not host:port")
            hosts.append((host.strip("[]"), int(port)))
        return cls(
            unquote(username) or None,
            unquote(password) or None,
            hosts,
            path.strip("/"),
            parse_qs(query),
        )

    def first(self, name: str) -> str | None:
        return self.query.get(name, [None])[0]


def _sentinel(url: str, options: dict[str, Any]) -> Connection:
    """`redis+sentinel://user:password@h:p,h:p/name?db=0&sentinel_password=…`: the credentials
    are those of the primary."""
    address = _Address.parse(url, 26379)
    if not address.path:
        raise ValueError("name the primary: redis+sentinel://host:port,host:port/name")
    asking = {key: value for key, value in options.items() if key != "decode_responses"}
    asking["username"] = address.first("sentinel_username")
    asking["password"] = address.first("sentinel_password")
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs=asking
    )
    client = sentinel.master_for(
        address.path,
        username=address.username,
        password=address.password,
        db=int(address.first("db") or 0),
        ssl=address.first("ssl") == "true",
        max_connections=POOL_SIZE * 4,
        **options,
    )
    pool = client.connection_pool
    pool.connection_class = with_circuit_breaker(with_hiredis_packing(pool.connection_class))
    return Connection(client, "sentinel", DedicatedConnection(pool), tuple(sentinel.sentinels))


def _cluster(url: str, options: dict[str, Any]) -> Connection:
    address = _Address.parse(url, 6379)
    client = Cluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        username=address.username,
        password=address.password,
        ssl=address.first("ssl") == "true",
        max_connections=POOL_SIZE * 8,  # of a node; redis-py has no pool that waits for clusters
        require_full_coverage=False,
        # A slot that moved is learned by itself. redis-py would otherwise close every connection
        # after five of them, under the calls that are on their way to other nodes.
        reinitialize_steps=0,
        **options,
    )
    # What the nodes are opened with, as the cluster makes them known.
    kwargs = client.nodes_manager.connection_kwargs
    kwargs["connection_class"] = with_circuit_breaker(
        with_hiredis_packing(kwargs["connection_class"])
    )
    return Connection(client, "cluster")
