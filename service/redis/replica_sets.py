"""Which replicas there are: asked of the primary, of the Sentinels, or of the cluster."""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from redis.crc import key_slot

Address = tuple[str, int]


class ReplicaSet(NamedTuple):
    """A primary, by the key in which copies leave their clock there, and its replicas."""

    clock: str
    replicas: Sequence[Address]


class Finder(Protocol):
    """Knows the primaries and their replicas."""

    async def find(self) -> Mapping[str, ReplicaSet]:
        """Those that there are now, by the name of the primary. Raises RedisError."""

    def primary_of(self, key: str) -> str | None:
        """The name of the primary that holds a key, as found last; None: it is not known."""


class OfOnePrimary:
    """Those of one primary, or of whoever is the primary now.

    Args:
        ask: for the addresses of its replicas.
        clock: the key for clocks.
    """

    def __init__(self, ask: Callable[[], Awaitable[Sequence[Address]]], clock: str) -> None:
        self._ask = ask
        self._clock = clock

    async def find(self) -> Mapping[str, ReplicaSet]:
        """As of Finder."""
        return {"": ReplicaSet(self._clock, await self._ask())}

    def primary_of(self, key: str) -> str | None:
        """There is one."""
        return ""


class OfCluster:
    """Those of each primary of a cluster.

    Args:
        client: of the cluster.
        clock: the keys for clocks are `clock:{n}`, each with a slot that its primary has.
    """

    def __init__(self, client: Any, clock: str) -> None:
        self._client = client
        self._clock = clock
        self._starts: list[int] = []  # of ranges of slots, in order
        self._ranges: list[tuple[int, str]] = []  # where they end, and who has them
        self._clocks: dict[str, str] = {}  # by the name of the primary

    async def find(self) -> Mapping[str, ReplicaSet]:
        """As of Finder."""
        slots: dict[tuple[int, int], Any] = await self._client.execute_command("CLUSTER SLOTS")
        found = {
            first: (last, _name(nodes["primary"]), [_address(node) for node in nodes["replicas"]])
            for (first, last), nodes in sorted(slots.items())
        }
        starts, ranges = list(found), [(last, name) for last, name, _ in found.values()]
        if (starts, ranges) != (self._starts, self._ranges):
            self._starts, self._ranges = starts, ranges
            self._clocks = self._choose_clocks({name for _, name in ranges})
        return {
            name: ReplicaSet(self._clocks[name], replicas)
            for _, name, replicas in found.values()
            if name in self._clocks
        }

    def _choose_clocks(self, names: set[str]) -> dict[str, str]:
        """A key of each primary. Even one with few slots has one of so many keys; one that has
        none is not read from."""
        clocks: dict[str, str] = {}
        for n in range(16_384):
            if len(clocks) == len(names):
                break
            key = f"{self._clock}:{{{n}}}"
            owner = self.primary_of(key)
            if owner is not None:
                clocks.setdefault(owner, key)
        return clocks

    def primary_of(self, key: str) -> str | None:
        """As of Finder."""
        slot = key_slot(key.encode())
        n = bisect_right(self._starts, slot) - 1
        if n < 0 or slot > self._ranges[n][0]:
            return None
        return self._ranges[n][1]


async def replicas_of(client: Any) -> Sequence[Address]:
    """The replicas that a primary tells of. Raises RedisError."""
    told: list[Any] = await client.execute_command("ROLE")
    if told[0] != "master":
        return []
    return [(str(host), int(port)) for host, port, _ in told[2]]


def _address(node: Sequence[Any]) -> Address:
    return str(node[0]), int(node[1])


def _name(node: Sequence[Any]) -> str:
    return "{}:{}".format(*_address(node))
