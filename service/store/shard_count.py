"""Into how many shards sites are split: all copies must agree before one of them writes."""

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import structlog

from service.errors import ShardCountError, StoreError
from service.store.due import LISTS_LIFE_MS
from service.store.runner import ScriptRunner
from service.store.tags import generation_of, shard_number

if TYPE_CHECKING:
    from service.store.store import PresenceStore

ASK_AGAIN_S = 1.0

log = structlog.get_logger(__name__)


class ShardCount:
    """The number of shards that is noted in Redis."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def agree(self, *, may_note: bool = True) -> None:
        """Writes down into how many shards sites are split, or compares that with what is written.
        Without `may_note` nothing is written: whoever only looks decides nothing.

        Raises:
            ShardCountError: they are; whatever was written would not be found by the other copies.
            StoreError: Redis cannot say now.
        """
        client, keys = self._runner.client, self._runner.keys
        ours = str(keys.shards)
        async with self._runner.failures():
            is_ours = may_note and await client.set(
                keys.shard_count, ours, nx=True, px=LISTS_LIFE_MS
            )
            noted: str | None = None if is_ours else await client.get(keys.shard_count)
            # A release that noted nothing may have left sites behind.
            some: list[str] = await client.zrange(keys.due, 0, 99) if not noted else []
        some = [tag for tag in some if not generation_of(tag)]
        if some:
            is_split, least = "/" in some[0], 1 + max(map(shard_number, some))
            if is_split != (keys.shards > 1) or least > keys.shards:
                noted = f"{least} or more" if is_split else "1"
                if is_ours:
                    async with self._runner.failures():
                        await client.delete(keys.shard_count)
        if noted not in (ours, None):
            raise ShardCountError(
                f"PRESENCE_SHARDS is {ours}, but what is in Redis below {keys.prefix}: was written "
                f"with {noted}: set it to that, or choose another PRESENCE_KEY_PREFIX to begin anew"
            )


async def agree_or_ask_later(store: "PresenceStore") -> "asyncio.Task[None] | None":
    """Compares PRESENCE_SHARDS with what Redis says. Where Redis is away, which is not a reason to
    refuse to start, returns a task that goes on asking.

    Raises:
        ShardCountError: what is there was written with another number.
    """
    try:
        await store.agree_on_shards()
    except ShardCountError as error:
        log.error("cannot_start", reason=str(error))
        raise
    except StoreError:
        return asyncio.create_task(_ask_until_agreed(store), name="shard count")
    return None


async def _ask_until_agreed(store: "PresenceStore") -> None:
    while True:
        await asyncio.sleep(ASK_AGAIN_S)
        try:
            await store.agree_on_shards()
        except ShardCountError as error:
            log.critical("stops", reason=str(error))
            os.kill(os.getpid(), signal.SIGTERM)
        except StoreError:
            continue
        return
