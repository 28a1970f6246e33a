"""A cluster's client that takes what happens to clusters in its stride.

redis-py's own sends ASKING on one connection and the command on another, closes every connection
to every node where a slot is down for a moment or the slots are asked for anew, and makes all calls
wait while it asks a node that is dead for them. `Cluster` carries out commands on one key or one
slot, alone and in pipelines, by the rules of the cluster specification; all else is left to
redis-py.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio.cluster import (
    ClusterNode,
    ClusterPipeline,
    NodesManager,
    PipelineCommand,
    PipelineStrategy,
    RedisCluster,
)
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    MaxConnectionsError,
    MovedError,
    RedisClusterException,
    RedisError,
    TimeoutError,
    TryAgainError,
)

LEARN_EVERY_S = 0.2  # no more often
LOST_AFTER_S = 0.5  # who is given up after so long does not answer; before, nobody waits any more
LEARNED_WITHIN_S = 0.25  # for how long a second try waits for it
UNSETTLED_S = 1.6  # for how long a call waits for a slot that is being moved; it has 1.8
PAUSE_S = 0.01  # before asking again; each time twice as long, for asking slows the move as well
LONGEST_PAUSE_S = 0.08
MOVING_S = 1.0  # for how long a slot counts as being moved after it was last seen to be
QUICK_REDIRECTS = 2  # those of a slot that has moved: MOVED, and ASK if it is moving on
# Where the key of a command stands; a script's keys share a slot, so the first will do.
_KEY_AT = dict.fromkeys(("EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO"), 3) | dict.fromkeys(
    (
        "DEL", "GET", "HGET", "HGETALL", "HKEYS", "HMGET", "PEXPIRE", "PFCOUNT", "PTTL", "SET",
        "TYPE", "XRANGE", "XREVRANGE", "ZADD", "ZCARD", "ZCOUNT", "ZMSCORE", "ZRANGE",
        "ZRANGEBYLEX", "ZSCORE",
    ),
    1,
)  # fmt: skip
Redirect = MovedError | AskError | TryAgainError


class Cluster(RedisCluster):
    """redis-py's client, with commands on one slot carried out here."""

    _learning: asyncio.Task[None] | None = None
    _learned_at = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        made = self.nodes_manager
        self.nodes_manager = _Nodes(
            list(made.startup_nodes.values()),
            made.require_full_coverage,
            made.connection_kwargs,
            event_dispatcher=made._event_dispatcher,
        )
        self._moving: dict[int, float] = {}  # slots, and until when they count as being moved

    def is_moving(self, slot: int) -> bool:
        """Whether a call on that slot may have to wait for its move to end."""
        if not self._moving:
            return False
        until = self._moving.get(slot)
        if until is None:
            return False
        if time.monotonic() < until:
            return True
        del self._moving[slot]
        return False

    def _note_moves(self, commands: Sequence[PipelineCommand]) -> None:
        until = time.monotonic() + MOVING_S
        for command in commands:
            self._moving[_slot_of(command)] = until

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Carries out commands on one slot here; leaves the others to redis-py."""
        if args[0] not in _KEY_AT or "target_nodes" in kwargs:
            return await super().execute_command(*args, **kwargs)
        command = PipelineCommand(0, *args, **kwargs)
        await self.carry_out((command,))
        return _result_of(command)

    def pipeline(self, transaction: bool | None = None, shard_hint: Any = None) -> ClusterPipeline:
        """Its commands are carried out here, unless it is a transaction."""
        pipeline = super().pipeline(transaction, shard_hint)
        if not transaction:
            pipeline._execution_strategy = _Strategy(pipeline)
        return pipeline

    async def carry_out(
        self, commands: Sequence[PipelineCommand], patience_s: float = UNSETTLED_S
    ) -> None:
        """Gives each command its result, or the error that it ended with. Those of one node
        travel together, in order.

        Args:
            patience_s: for how long a slot is waited for that is being moved, in seconds; after
                that its commands end with a TryAgainError.

        Raises:
            RedisClusterException: no node can be reached that says where the slots are.
        """
        if not self.nodes_manager.slots_cache:
            await self.initialize()
        until = time.monotonic() + patience_s
        asked: dict[int, AskError] = {}  # by command: where the last ASK led
        redirects, pause_s, may_retry = 0, PAUSE_S, True
        todo = list(commands)
        while todo:
            await self._send(todo, asked)
            # Alone those whose redirection can be followed, and those of a connection that broke.
            todo = [command for command in commands if isinstance(command.result, Redirect)]
            if todo:
                if redirects >= QUICK_REDIRECTS or any(map(_is_to_wait, todo)):
                    self._note_moves(todo)
                    if time.monotonic() >= until:
                        for command in todo:
                            command.result = TryAgainError("the slot is being moved")
                        todo = []
                    else:
                        await asyncio.sleep(pause_s)
                        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                redirects += 1
            if may_retry and (lost := [c for c in commands if _is_lost(c.result)]):
                may_retry = False
                todo += lost
                # Its slots may be elsewhere by now, and what was known of them out of date.
                if self._learning is not None:
                    await asyncio.wait((self._learning,), timeout=LEARNED_WITHIN_S)

    async def _send(self, commands: Sequence[PipelineCommand], asked: dict[int, AskError]) -> None:
        by_node: dict[str, tuple[ClusterNode, list[PipelineCommand]]] = {}
        for command in commands:
            try:
                node, is_asking = await self._node_of(command, asked)
            except RedisError as error:
                command.result = error
                continue
            _, batch = by_node.setdefault(node.name, (node, []))
            if is_asking:
                batch.append(PipelineCommand(0, "ASKING"))
            batch.append(command)
        await asyncio.gather(*(self._send_to(*one) for one in by_node.values()))

    async def _send_to(self, node: ClusterNode, batch: list[PipelineCommand]) -> None:
        for command in batch:
            command.result = None
        started = time.monotonic()
        try:
            await node.execute_pipeline(batch)
        except asyncio.CancelledError:
            # The caller's deadline may come before redis-py's own: a frozen node is lost as well.
            if time.monotonic() - started > LOST_AFTER_S:
                self._learn(node.name)
            raise
        except (RedisError, OSError) as error:
            for command in batch:
                command.result = error
        results = [command.result for command in batch]
        if any(_is_lost(result) for result in results):
            # Whatever else is open to it is as dead. It is closed by who takes it next: closed
            # here, it could be taken before the end of that.
            for connection in node._connections:
                connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
            self._learn(node.name)
        elif any(isinstance(result, ClusterDownError) for result in results):
            self._learn()

    async def _node_of(
        self, command: PipelineCommand, asked: dict[int, AskError]
    ) -> tuple[ClusterNode, bool]:
        """Where a command goes, by its last answers; and whether it must be asked for there."""
        nodes, last = self.nodes_manager, command.result
        if isinstance(last, MovedError):  # redis-py makes it a kind of AskError
            asked.pop(id(command), None)
        elif isinstance(last, AskError):
            asked[id(command)] = last
        # Some of its keys are where ASK led, and the others are still to come: TRYAGAIN is no
        # reason to go back.
        if isinstance(last, (AskError, TryAgainError)) and id(command) in asked:
            return self._node_at(asked[id(command)]), True
        slot = _slot_of(command)
        if isinstance(last, MovedError):
            if slot not in nodes.slots_cache:
                return self._node_at(last), False
            await nodes.move_slot(last)
        holders = nodes.slots_cache.get(slot)
        if not holders:
            self._learn()
            raise ClusterDownError("nobody holds the slot")
        return holders[0], False

    def _node_at(self, redirect: AskError) -> ClusterNode:
        nodes = self.nodes_manager
        node: ClusterNode | None = nodes.get_node(redirect.host, redirect.port)
        if node is None:  # one that has no slots yet
            node = ClusterNode(redirect.host, redirect.port, "primary", **nodes.connection_kwargs)
            nodes.set_nodes(nodes.nodes_cache, {node.name: node})
        return node

    def _learn(self, failed: str | None = None) -> None:
        """Asks some node which one holds which slots, while everything else goes on."""
        is_due = time.monotonic() - self._learned_at > LEARN_EVERY_S
        if is_due and (self._learning is None or self._learning.done()):
            self._learning = asyncio.create_task(self._learn_slots(failed))

    async def _learn_slots(self, failed: str | None) -> None:
        try:
            await self.nodes_manager.initialize(last_failed_node_name=failed)
        except (RedisClusterException, RedisError, OSError):
            pass  # what was known may still help, and the next failure asks again
        finally:
            self._learned_at = time.monotonic()

    async def aclose(self) -> None:
        """Also ends the task that learns where slots are."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait((self._learning,))
        await super().aclose()


class ClusterLane:
    """A cluster's client for batches that others wait behind: what is on a slot that is being
    moved ends with a TryAgainError at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def execute_command(self, *command: str | int) -> Any:
        """The reply of one command on one slot. Raises RedisError."""
        made = PipelineCommand(0, *command)
        await self._cluster.carry_out((made,), 0.0)
        return _result_of(made)

    async def replies(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """The replies of many; those of one node travel together, in order. An error stands
        for its reply.

        Raises:
            RedisClusterException: no node can be reached that says where the slots are.
        """
        made = [PipelineCommand(0, *command) for command in commands]
        await self._cluster.carry_out(made, 0.0)
        return [command.result for command in made]


class _Nodes(NodesManager):
    """Keeps the connections to nodes that are still there. redis-py makes all of them anew each
    time the slots are asked for; a node that is busy with a failover may not take them in time."""

    __slots__ = ()

    def set_nodes(
        self,
        old: dict[str, ClusterNode],
        new: dict[str, ClusterNode],
        remove_old: bool = False,
    ) -> None:
        """Whether a node is a primary decides no more than who is asked: one that has become a
        replica answers MOVED on the same connection."""
        stay = {name: old.pop(name) for name in new if name in old}
        for name, node in stay.items():
            node.server_type = new[name].server_type
        come = {name: node for name, node in new.items() if name not in stay}
        super().set_nodes(old, come, remove_old)
        old.update(stay)


class _Strategy(PipelineStrategy):
    """Carries out a pipeline that is not a transaction."""

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> Any:
        """Sends the commands of each node together, in order."""
        commands = self._command_queue
        # redis-py adds `keys` to reads for itself.
        if any(c.args[0] not in _KEY_AT or c.kwargs.keys() - {"keys"} for c in commands):
            return await super().execute(raise_on_error, allow_redirections)
        client = self._pipe.cluster_client
        assert isinstance(client, Cluster)
        await client.carry_out(commands)
        results = [command.result for command in commands]
        for result in results:
            if raise_on_error and isinstance(result, Exception):
                raise result
        return results


def _result_of(command: PipelineCommand) -> Any:
    if isinstance(command.result, Exception):
        raise command.result
    return command.result


def _slot_of(command: PipelineCommand) -> int:
    return key_slot(str(command.args[_KEY_AT[command.args[0]]]).encode())


def _is_to_wait(command: PipelineCommand) -> bool:
    return isinstance(command.result, TryAgainError)


def _is_lost(result: Any) -> bool:
    is_broken = isinstance(result, (ConnectionError, TimeoutError, OSError))
    return is_broken and not isinstance(result, MaxConnectionsError)
