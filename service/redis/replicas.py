"""Reads from replicas, as long as what they hold is recent.

Every copy has each primary write its clock into a key, a few times a second. A replica that shows
such a mark has everything that its primary had at that moment, so the mark says how old an answer
may be: no clock of a replica is asked, and none is trusted.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from service.redis.failures import FAILURES
from service.redis.replica_sets import Address, Finder, ReplicaSet
from service.redis.scripts import Call, Command, run_mixed

MARK_EVERY_S = 0.25
CLOCK_LIFE_MS = 60_000
FIND_EVERY_S = 1.0  # between two looks for which replicas there are
ANSWER_WITHIN_S = 0.3  # then the primary is asked, which has its own time to answer
AWAY_S = 1.0  # for how long one that failed is not asked

C = TypeVar("C", bound=AbstractConnection)

log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """What was answered, or an error in its place, and the moment (ms, by the primary's clock) of
    which it has everything."""

    value: Any
    as_of_ms: int
    is_of_replica: bool = False


class ReadOnlyConnection(AbstractConnection):
    """Put before a connection class: tells a node of a cluster that reads are enough, without
    which a replica sends everybody to its primary."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Raises ResponseError where an ACL forbids it."""
        await super().on_connect_check_health(check_health)
        await self.send_command("READONLY", check_health=False)
        await self.read_response()


def with_read_only(connection_class: type[C]) -> type[C]:
    """The connection class, for replicas in a cluster."""
    return type(f"ReadOnly{connection_class.__name__}", (ReadOnlyConnection, connection_class), {})


class _Replica:
    """One replica, and until when it is not asked."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.away_until = 0.0

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self.away_until


class Replicas:
    """The replicas of all primaries. A copy stays with one of each, so that what it reads does not
    go back and forth in time; another copy may stay with another.

    Args:
        finder: says which there are.
        open_client: gives a client of a replica.
        max_age_ms: an answer that may be older is not given.
    """

    def __init__(
        self,
        finder: Finder,
        open_client: Callable[[Address], Redis],
        max_age_ms: int,
    ) -> None:
        self._finder = finder
        self._open_client = open_client
        self._max_age_ms = max_age_ms
        # Told of each read of a primary's replicas: answered, old or away.
        self.observe: Callable[[str], None] = lambda outcome: None
        self._sets: Mapping[str, ReplicaSet] = {}  # by the name of the primary
        self._replicas: dict[Address, _Replica] = {}
        self._chosen: dict[str, Address] = {}

    async def read(
        self, commands: Sequence[Call | Command], now_ms: Callable[[], int]
    ) -> list[Answer | None]:
        """The answers in order; None where no replica can tell, or only what is too old. Raises
        nothing of Redis: a replica is a chance, not a need.

        Args:
            now_ms: the primary's time.
        """
        answers: list[Answer | None] = [None] * len(commands)
        rows_of: dict[str, list[int]] = {}
        for n, command in enumerate(commands):
            name = self._finder.primary_of(_key_of(command))
            if name is not None:
                rows_of.setdefault(name, []).append(n)
        found = await asyncio.gather(
            *(
                self._ask(name, [commands[n] for n in rows], now_ms)
                for name, rows in rows_of.items()
            )
        )
        for rows, some in zip(rows_of.values(), found, strict=True):
            for n, answer in zip(rows, some, strict=False):  # none, or all
                answers[n] = answer
        return answers

    async def _ask(
        self, name: str, commands: Sequence[Call | Command], now_ms: Callable[[], int]
    ) -> list[Answer]:
        """The answers of one replica; none where it cannot tell."""
        replica = self._choose(name)
        if replica is None:
            self.observe("away")
            return []
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                mark, *values = await run_mixed(
                    replica.client, [("GET", self._sets[name].clock), *commands]
                )
        except FAILURES:
            mark, values = None, []
        if not isinstance(mark, str):
            # It is away, is loading, has lost its primary, or never had what is marked.
            replica.away_until = time.monotonic() + AWAY_S
            self.observe("away")
            return []
        as_of_ms = int(mark)
        age_ms = now_ms() - as_of_ms
        # What is an error here may be none there: the slot has moved, a script is not permitted.
        is_answer = age_ms <= self._max_age_ms and not any(map(_is_error, values))
        self.observe("answered" if is_answer else "old")
        if not is_answer:
            return []
        return [Answer(value, as_of_ms, True) for value in values]

    def _choose(self, name: str) -> _Replica | None:
        """The replica to ask: that of the last time, as long as it answers."""
        addresses = self._sets[name].replicas if name in self._sets else ()
        chosen = self._chosen.get(name)
        for address in (chosen, *random.sample(addresses, len(addresses))):
            if address is None or address not in addresses:
                continue
            replica = self._replicas[address]
            if not replica.is_away:
                self._chosen[name] = address
                return replica
        return None

    async def run(self, mark: Callable[[str], Awaitable[None]]) -> None:
        """Marks the primaries, and looks which replicas there are, until it is cancelled. Failures
        are outlived: without marks, everything is asked of the primaries.

        Args:
            mark: writes the clock of a primary into a key of it. Raises RedisError.
        """
        looked_at, failed = -FIND_EVERY_S, ""
        while True:
            try:
                await self._mark_all(mark)
                if time.monotonic() - looked_at >= FIND_EVERY_S:
                    looked_at = time.monotonic()
                    await self._look()
                failed = ""
            except FAILURES as error:
                if failed != (failed := type(error).__name__):
                    log.warning("replicas_not_marked", kind=failed)
            await asyncio.sleep(MARK_EVERY_S)

    async def _mark_all(self, mark: Callable[[str], Awaitable[None]]) -> None:
        """A primary that is down or frozen does not keep the marks from the others."""

        async def mark_soon(clock: str) -> None:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await mark(clock)

        clocks = [one.clock for one in self._sets.values() if one.replicas]
        ended = await asyncio.gather(*map(mark_soon, clocks), return_exceptions=True)
        for failure in ended:
            if failure is not None:
                raise failure

    async def _look(self) -> None:
        async with asyncio.timeout(ANSWER_WITHIN_S):  # marks do not wait for who is frozen
            sets = await self._finder.find()
        known = {address for one in sets.values() for address in one.replicas}
        for address in known - self._replicas.keys():
            self._replicas[address] = _Replica(self._open_client(address))
        self._sets = sets
        for address in self._replicas.keys() - known:
            await self._replicas.pop(address).client.aclose()

    async def close(self) -> None:
        """Closes every connection."""
        replicas, self._replicas, self._sets = self._replicas, {}, {}
        for replica in replicas.values():
            await replica.client.aclose()


def _key_of(command: Call | Command) -> str:
    if isinstance(command, Call):
        return command.keys[0]
    return str(command[2 if command[0] == "XINFO" else 1])


def _is_error(value: Any) -> bool:
    return isinstance(value, Exception)
