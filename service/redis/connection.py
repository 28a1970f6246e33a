"""The way to Redis, as `connect` opens it."""

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MovedError, ResponseError

from service.redis.cluster import Cluster, ClusterLane
from service.redis.dedicated_connection import DedicatedConnection
from service.redis.failures import WrongTopology, kind_of
from service.redis.replicas import Replicas
from service.redis.scripts import Client

MOVING_LANES = 64  # for slots that are being moved: enough that two of them hardly ever share one
KEYS_LOOKED_FOR = 256  # so that one is of another node, even where this one has nearly all slots


@lru_cache(maxsize=65_536)
def _slot_of(tag: str) -> int:
    return key_slot(tag.encode())


@dataclass(frozen=True, slots=True)
class Connection:
    """The way to Redis. `topology` is a word for people; `dedicated` is a client for the calls of a
    lane, where there is one that suits them better."""

    client: Redis | RedisCluster
    topology: str
    dedicated: DedicatedConnection | ClusterLane | None = None
    helpers: tuple[Redis, ...] = ()  # clients of its own that find the way, such as to Sentinels
    replicas: Replicas | None = None  # which answer reads, where that is wanted

    def lane_of(self, tag: str) -> str:
        """Calls with the same lane travel one after the other, on one connection at a time.

        On one server that is everybody: what waits goes together. On a cluster it is all that
        one node holds, so that a node that is down holds up nobody but its sites; and what is
        just being moved, which may have to wait, has a lane of its own.
        """
        if self.topology != "cluster":
            return ""
        assert isinstance(self.client, Cluster)
        slot = _slot_of(tag)
        if self.client.is_moving(slot):
            return f"moving {slot % MOVING_LANES}"
        node = self.client.nodes_manager.slots_cache.get(slot)
        return node[0].name if node else ""  # not known before the first answer

    @property
    def lane_client(self) -> Client:
        """The client of the one lane that there is, or of all lanes."""
        return self.dedicated or self.client

    @property
    def allows_cross_slot(self) -> bool:
        """Whether one call may name keys of several sites: not where each has its slot."""
        return self.topology != "cluster"

    async def check_topology(self, key: str) -> None:
        """Finds out that one server is not one, which a single key may not show.

        A cluster of one node, or behind a proxy that routes, serves all the same.

        Args:
            key: what the keys begin with that are looked for on the way.

        Raises:
            WrongTopology: it is a node of a cluster, or a Sentinel.
        """
        if self.topology != "standalone":
            return
        client: Any = self.client
        try:
            # Without arguments it changes nothing, and no ACL forbids it.
            hello = await client.execute_command("HELLO")
        except ResponseError:  # a proxy that does not know it
            return
        pairs = (
            hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2], strict=True))
        )
        if pairs.get("mode") == "sentinel":
            raise WrongTopology("sentinel")
        if pairs.get("mode") == "cluster":
            pipeline = client.pipeline(transaction=False)
            for n in range(KEYS_LOOKED_FOR):
                pipeline.exists(f"{key}:{n}")
            replies = await pipeline.execute(raise_on_error=False)
            # Where slots are missing, or the cluster is down, no key is told where to go.
            if any(isinstance(reply, (MovedError, ClusterDownError)) for reply in replies):
                raise WrongTopology("cluster")

    def kind_of(self, error: BaseException) -> str:
        """The kind of a failure, as of `failures`; who did not ask for a cluster is told first of
        all that there is one."""
        kind = kind_of(error)
        return "cluster" if kind == "CLUSTERDOWN" and self.topology != "cluster" else kind

    async def close(self) -> None:
        """Closes every connection."""
        if self.replicas is not None:
            await self.replicas.close()
        for client in (self.client, *self.helpers):
            closing: Awaitable[None] = client.aclose()
            await closing
