"""Removes expired sessions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.errors import StoreError
from service.store.runner import ScriptRunner

SWEEP_LIMIT = 75  # sessions removed by one call: about 0.5 ms in which Redis serves nobody else


class Sweep(NamedTuple):
    """What a sweep did. `next_ms`: when the next session expires, None when nobody is left."""

    removed: int
    backlog: int
    next_ms: int | None
    now_ms: int


class StoreSweeps:
    """The sweeps of site shards, by their tags."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def sweep(self, tag: str, limit: int = SWEEP_LIMIT) -> Sweep:
        """Removes up to `limit` expired sessions of a site shard. Raises StoreError."""
        (result,) = await self.sweep_many([tag], limit)
        if isinstance(result, StoreError):
            raise result
        return result

    async def sweep_many(
        self, tags: Sequence[str], limit: int = SWEEP_LIMIT
    ) -> list[Sweep | StoreError]:
        """Like `sweep`, for many site shards in one pipeline; a refusal is the
        result of its own shard."""
        runner = self._runner
        shards = [runner.keys.of_tag(tag) for tag in tags]
        args = (*runner.config.arguments, limit)
        async with runner.failures():
            replies = await runner.replies(
                lambda hour: [
                    runner.call("sweep", shard, hour, (*args, *runner.user_arguments(shard)))
                    for shard in shards
                ]
            )
        return [
            runner.error_of(reply) if isinstance(reply, Exception) else _sweep_of(reply)
            for reply in replies
        ]


def _sweep_of(reply: Any) -> Sweep:
    now, _, removed, backlog, next_ms = reply
    return Sweep(int(removed), int(backlog), int(next_ms) if next_ms else None, int(now))
