"""How commands show what changes: once, or anew every second."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from service.cli.printing import stdout
from service.cli.reading import open_store, run
from service.errors import StoreError
from service.settings import Settings
from service.store.store import PresenceStore

REDRAW_S = 1.0

Drawn = Callable[[PresenceStore], Awaitable[RenderableType]]


def watch(settings: Settings, drawn: Drawn) -> None:
    """Shows what `drawn` gives every second, until Ctrl-C; into a pipe, one below the other."""
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        run(_watch(settings, drawn))


async def _watch(settings: Settings, drawn: Drawn) -> None:
    console = stdout()
    async with open_store(settings) as store:
        if not console.is_terminal:
            async for frame in _frames(store, drawn):
                console.print(frame)
            return
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            async for frame in _frames(store, drawn):
                live.update(frame, refresh=True)


async def _frames(store: PresenceStore, drawn: Drawn) -> AsyncIterator[RenderableType]:
    # A watcher outlives a Redis that is away for a while.
    while True:
        try:
            yield await drawn(store)
        except StoreError as error:
            yield Text(f"{error.detail}; trying again", "red")
        await asyncio.sleep(REDRAW_S)
