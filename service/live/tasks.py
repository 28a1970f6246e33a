"""How background tasks end."""

import asyncio
from typing import Any


def consume_exception(task: "asyncio.Task[Any]") -> None:
    """Retrieves the exception of a task that is done, lest asyncio logs that nobody did; those who
    still wait for the task are given it all the same."""
    if not task.cancelled():
        task.exception()
