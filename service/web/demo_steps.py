"""How those who live on the demo site do so: a step a tick."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from service.errors import StoreError

log = structlog.get_logger(__name__)

TICK_S = 0.7


async def take_steps(step: Callable[[float], Awaitable[None]]) -> None:
    """Takes a step each tick, until it is cancelled. A step is given the time of the event loop, s;
    where it raises StoreError, the next one goes on."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await step(loop.time())
        except StoreError as error:
            log.warning("demo_waits", detail=error.detail)
        await asyncio.sleep(TICK_S)
