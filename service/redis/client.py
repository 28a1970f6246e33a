"""`connect(url)`: the URL chooses the topology, once; no read and no write asks which one it is.

The deadlines of every topology stand here; calls of heartbeats have those of their caller instead
(dedicated_connection.py). redis-py's own defaults (5 s socket timeout, ten retries) would let one
frozen Redis hold a request for a minute.
"""

from functools import partial
from typing import Any, NamedTuple

from redis.asyncio import (
    BlockingConnectionPool,
    ConnectionPool,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio import Connection as TcpConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,
    TimeoutError,
)
from redis.maint_notifications import MaintNotificationsConfig

from service.errors import SettingsError
from service.redis.circuit_breaker import with_circuit_breaker
from service.redis.cluster import Cluster, ClusterLane
from service.redis.connection import Connection
from service.redis.dedicated_connection import DedicatedConnection
from service.redis.diagnosing import with_diagnosis
from service.redis.embedded import socket_of
from service.redis.hiredis_packing import with_hiredis_packing
from service.redis.replica_sets import Address, Finder, OfCluster, OfOnePrimary, replicas_of
from service.redis.replicas import ANSWER_WITHIN_S, Replicas, with_read_only
from service.redis.sentinels import OneSentinel, Sentinels
from service.redis.tls import check_tls
from service.redis_url import RedisUrl

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


class ReplicaReads(NamedTuple):
    """How replicas are read from: the key in which copies leave their clock at a primary, and how
    old an answer may be, in ms."""

    clock: str
    max_age_ms: int


def connect(
    url: str,
    *,
    answer_within_s: float = SOCKET_TIMEOUT_S,
    reads: ReplicaReads | None = None,
) -> Connection:
    """A connection by URL; nothing is sent yet, so it succeeds while Redis is down.

    Args:
        answer_within_s: how long one answer may take; only a check of everything asks for more.
        reads: that replicas are to answer reads; None: primaries answer everything.

    Raises:
        SettingsError: the URL is malformed.
    """
    try:
        parsed = RedisUrl.parse(url)
        check_tls(parsed)
    except ValueError as error:
        raise SettingsError(f"PRESENCE_REDIS_URL: its value {error}") from None
    options = _options(answer_within_s)
    match parsed.scheme:
        case "memory":
            return _memory()
        case "redis+sentinel":
            return _sentinel(parsed, options, reads)
        case "redis+cluster":
            return _cluster(parsed, options, reads)
    return _standalone(parsed, options, reads)


def _memory() -> Connection:
    from fakeredis import FakeAsyncRedis

    from service.redis.memory import MemoryServer

    return Connection(FakeAsyncRedis(server=MemoryServer(), decode_responses=True), "memory")


def _tls_of(url: RedisUrl) -> dict[str, Any]:
    return dict(url.tls) if url.is_tls else {}


def _replicas(
    finder: Finder, url: RedisUrl, options: dict[str, Any], reads: ReplicaReads | None
) -> Replicas | None:
    """Clients of replicas, which are reached as primaries are."""
    if reads is None:
        return None
    kind: type[AbstractConnection] = SSLConnection if url.is_tls else TcpConnection
    if url.scheme == "redis+cluster":
        kind = with_read_only(kind)

    def open_client(address: Address) -> Redis:
        host, port = address
        pool = BlockingConnectionPool(
            connection_class=with_circuit_breaker(with_hiredis_packing(kind)),
            max_connections=POOL_SIZE,
            timeout=ANSWER_WITHIN_S,
            db=url.database,
            username=url.username,
            password=url.password,
            host=host,
            port=port,
            **_tls_of(url),
            **options | {"retry": Retry(NoBackoff(), 0)},  # the primary is asked instead
        )
        return Redis.from_pool(pool)

    return Replicas(finder, open_client, reads.max_age_ms)


def _standalone(url: RedisUrl, options: dict[str, Any], reads: ReplicaReads | None) -> Connection:
    kind: type[AbstractConnection] = SSLConnection if url.is_tls else TcpConnection
    where: dict[str, Any] = {}
    if url.scheme in ("embedded", "unix"):
        kind = UnixDomainSocketConnection
        where["path"] = socket_of(url.path) if url.scheme == "embedded" else url.path
    else:
        ((where["host"], where["port"]),) = url.hosts
    pool = BlockingConnectionPool(
        connection_class=with_circuit_breaker(with_hiredis_packing(kind)),
        max_connections=POOL_SIZE,
        timeout=POOL_WAIT_S,
        db=url.database,
        username=url.username,
        password=url.password,
        **where,
        **_tls_of(url),
        **options,
    )
    topology = "embedded" if url.scheme == "embedded" else "standalone"
    client = Redis.from_pool(pool)
    finder = OfOnePrimary(partial(replicas_of, client), reads.clock if reads else "")
    replicas = _replicas(finder, url, options, reads)
    return Connection(client, topology, DedicatedConnection(pool), replicas=replicas)


def _sentinel(url: RedisUrl, options: dict[str, Any], reads: ReplicaReads | None) -> Connection:
    """`redis+sentinel://user:password@h:p,h:p/name?db=0&sentinel_password=…`: the credentials
    are those of the primary."""
    asking = {key: value for key, value in options.items() if key != "decode_responses"}
    asking["username"] = url.sentinel_username
    asking["password"] = url.sentinel_password
    # The next Sentinel is asked instead, and all of them twice, by the primary's own retry: a
    # handshake that is waited for in vain four times would take longer than a request may.
    asking["retry"] = Retry(NoBackoff(), 0)
    kind = SSLConnection if url.sentinel_tls else TcpConnection
    if url.sentinel_tls:
        asking |= url.tls
    sentinel: Any = Sentinels([])  # type: ignore[no-untyped-call]
    sentinel.sentinels = [
        OneSentinel.from_pool(
            ConnectionPool(connection_class=with_diagnosis(kind), host=host, port=port, **asking)
        )
        for host, port in url.hosts
    ]
    client = sentinel.master_for(
        url.primary,
        username=url.username,
        password=url.password,
        db=url.database,
        ssl=url.is_tls,
        max_connections=POOL_SIZE * 4,
        **_tls_of(url),
        **options,
    )
    pool = client.connection_pool
    pool.connection_class = with_circuit_breaker(with_hiredis_packing(pool.connection_class))
    finder = OfOnePrimary(
        partial(sentinel.discover_slaves, url.primary), reads.clock if reads else ""
    )
    return Connection(
        client,
        "sentinel",
        DedicatedConnection(pool),
        tuple(sentinel.sentinels),
        _replicas(finder, url, options, reads),
    )


def _cluster(url: RedisUrl, options: dict[str, Any], reads: ReplicaReads | None) -> Connection:
    client = Cluster(
        startup_nodes=[ClusterNode(host, port) for host, port in url.hosts],
        username=url.username,
        password=url.password,
        ssl=url.is_tls,
        max_connections=POOL_SIZE * 8,  # of a node; redis-py has no pool that waits for clusters
        require_full_coverage=False,
        # A slot that moved is learned by itself. redis-py would otherwise close every connection
        # after five of them, under the calls that are on their way to other nodes.
        reinitialize_steps=0,
        **options,
    )
    # What the nodes are opened with, as the cluster makes them known; its own arguments do not
    # have all of the options of TLS.
    kwargs = client.nodes_manager.connection_kwargs
    kwargs |= _tls_of(url)
    kwargs["connection_class"] = with_circuit_breaker(
        with_hiredis_packing(kwargs["connection_class"])
    )
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_class = with_diagnosis(node.connection_class)
        node.connection_kwargs |= _tls_of(url)
    finder = OfCluster(client, reads.clock if reads else "")
    replicas = _replicas(finder, url, options, reads)
    return Connection(client, "cluster", ClusterLane(client), replicas=replicas)
