"""That all copies split sites into the same number of shards, before one of them writes."""

import asyncio
import os
import signal

import structlog

from service.errors import ShardCountError, StoreError
from service.store.store import PresenceStore

ASK_AGAIN_S = 1.0

log = structlog.get_logger(__name__)


async def agree_or_ask_later(store: PresenceStore) -> "asyncio.Task[None] | None":
    """Compares PRESENCE_SHARDS with what Redis says; a task that goes on asking, where it is away:
    that is no reason not to start.

    Raises:
        ShardCountError: what is there was written with another number.
    """
    try:
        await store.agree_on_shards()
    except ShardCountError as error:
        log.error("cannot_start", reason=str(error))
        raise
    except StoreError:
        return asyncio.create_task(_ask_until_agreed(store), name="layout")
    return None


async def _ask_until_agreed(store: PresenceStore) -> None:
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
